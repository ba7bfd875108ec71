"""TransferNet on the mini set, protocol mini75, for two CPU cores.

As mini60, but with masks of all 75 COCO categories other than the five
animals, which are scored together with the background.

    python train.py --phase attention --config mini75 \
        --workdir runs/mini75/attention
    python train.py --phase transfer --config mini75 \
        --workdir runs/mini75/transfer --init_from runs/mini75/attention \
        --config.phases.transfer.steps=1650
    python pseudo_labels.py --workdir runs/mini75/transfer \
        --out runs/mini75/pseudo_labels
    python train.py --phase transfer --config mini75 \
        --workdir runs/mini75/self_training --init_from runs/mini75/transfer \
        --config.data.target_masks=runs/mini75/pseudo_labels \
        --config.phases.transfer.warmup_steps=0 \
        --config.phases.transfer.target_pictures=8
    python evaluate.py --workdir runs/mini75/self_training
"""

from keras_wsss.config import Config
from keras_wsss.configs import mini60


def get_config() -> Config:
    """Returns the config."""
    return mini60.get_config().replace(
        {"name": "mini75", "split.name": "mini75"}
    )
