"""TransferNet on VGG-16, the mini set, protocol mini60, two CPU cores.

Masks of the 60 COCO categories that VOC lacks, tags of the 20 VOC categories;
scored on cat, cow, dog, horse, sheep, person and background. Not VOC: the
figures can be compared with each other only. They stand in docs/results.md.

As mini60, but for the published encoder. VGG-16 at 224 pixels costs 0.25 s a
picture, once, and the decoder is most of a step.

    python train.py --phase attention --config mini60_vgg \
        --workdir runs/mini60_vgg/attention --encoder_weights VGG16_WEIGHTS
    python train.py --phase transfer --config mini60_vgg \
        --workdir runs/mini60_vgg/transfer \
        --init_from runs/mini60_vgg/attention \
        --config.phases.transfer.steps=1650
    python pseudo_labels.py --workdir runs/mini60_vgg/transfer \
        --out runs/mini60_vgg/pseudo_labels
    python train.py --phase transfer --config mini60_vgg \
        --workdir runs/mini60_vgg/self_training \
        --init_from runs/mini60_vgg/transfer \
        --config.data.target_masks=runs/mini60_vgg/pseudo_labels \
        --config.phases.transfer.warmup_steps=0 \
        --config.phases.transfer.target_pictures=8
    python evaluate.py --workdir runs/mini60_vgg/self_training
"""

from keras_wsss.config import Config
from keras_wsss.configs import mini60

# The published encoder at 224 pixels, for two CPU cores.
VGG16 = {
    "model.encoder": "vgg16",
    "model.output_stride": 2,
    "model.ignore_padding": False,
    "image.size": 224,
    "image.resize": 224,
}


def get_config() -> Config:
    """Returns the config."""
    return mini60.get_config().replace({"name": "mini60_vgg", **VGG16})
