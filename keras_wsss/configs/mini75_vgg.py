"""TransferNet on VGG-16, the mini set, protocol mini75, two CPU cores.

As mini60_vgg, but with masks of all 75 COCO categories other than the five
animals, which are scored together with the background.

    python train.py --phase decoder --config mini75_vgg \
        --workdir runs/mini75_vgg/decoder --encoder_weights VGG16_WEIGHTS
    python train.py --phase transfer --config mini75_vgg \
        --workdir runs/mini75_vgg/transfer --init_from runs/mini75_vgg/decoder
    python pseudo_labels.py --workdir runs/mini75_vgg/transfer \
        --out runs/mini75_vgg/pseudo_labels
    python train.py --phase transfer --config mini75_vgg \
        --workdir runs/mini75_vgg/self_training \
        --init_from runs/mini75_vgg/transfer \
        --config.data.target_masks=runs/mini75_vgg/pseudo_labels \
        --config.phases.transfer.warmup_steps=0 \
        --config.phases.transfer.target_pictures=8
    python evaluate.py --workdir runs/mini75_vgg/self_training
"""

from keras_wsss.config import Config
from keras_wsss.configs import mini75
from keras_wsss.configs.mini60_vgg import VGG16


def get_config() -> Config:
    """Returns the config."""
    return mini75.get_config().replace({"name": "mini75_vgg", **VGG16})
