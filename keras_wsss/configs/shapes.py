"""TransferNet on the embedded data set "shapes": what `make demo` runs.

Masks of 14 silhouettes (disc, ring, cross, ...), tags of 6 others (arrow,
clover, fish, heart, mushroom, star); scored on those six and background.

    python -m keras_wsss.data shapes --out demo/shapes
    python train.py --phase decoder --config shapes \
        --workdir demo/decoder
    python train.py --phase transfer --config shapes \
        --workdir demo/transfer --init_from demo/decoder
    python pseudo_labels.py --workdir demo/transfer --out demo/pseudo_labels \
        --norefine
    python train.py --phase transfer --config shapes \
        --workdir demo/self_training --init_from demo/transfer \
        --config.data.target_masks=demo/pseudo_labels \
        --config.phases.transfer.warmup_steps=0 \
        --config.phases.transfer.target_pictures=8 \
        --config.phases.transfer.steps=350
    python evaluate.py --workdir demo/self_training

Pseudo labels are not refined here, because that would take longer than all
else about them.

The model's additions were tried in a rehearsal in which cross, crescent, drop
and tee played target (docs/data.md).
"""

import os
from pathlib import Path

from keras_wsss.config import Config


def get_config() -> Config:
    """Returns the config."""
    root = os.environ.get("KERAS_WSSS_SHAPES", "demo/shapes")
    return Config().replace(
        {
            "name": "shapes",
            "split.name": "shapes",
            "data.source_annotations": f"{root}/source/instances.json",
            "data.source_images": f"{root}/source/images",
            "data.target_tags": f"{root}/target/train_tags.csv",
            "data.target_images": f"{root}/target/JPEGImages",
            "data.eval_root": f"{root}/target",
            "data.eval_negatives": f"{root}/target/without",
            "data.min_pixels": 12,
            # Whole pictures at their own size, so that the encoder's outputs
            # can be cached: a step is three times faster.
            "image.size": 128,
            "image.resize": 128,
            "cache.folder": str(Path(root).parent / "cache"),
            "cache.switches": True,
            "model.encoder": "vgg_small",
            "model.output_stride": 2,
            "model.ignore_padding": False,
            "model.attention_units": 128,
            # The features of vgg_small have a root mean square of 0.22.
            "model.attention_gain": 36.0,
            "model.classifier_gain": 4.5,
            "model.decoder_width": 0.5,
            "model.guide_features": 16,
            "train.feature_dropout": 0.2,
            # Both chosen on held-out tags, see docs/results.md.
            "model.tagger_sharpness": 0.1,
            "train.tagger_multiplier": 8.0,
            "train.labels_per_image": 2,
            "train.log_every": 100,
            "train.heldout_every": 250,
            "phases.attention.steps": 1000,
            "phases.attention.source_pictures": 16,
            "phases.attention.learning_rate": 2e-3,
            "phases.decoder.steps": 600,
            "phases.decoder.source_pictures": 16,
            "phases.decoder.learning_rate": 2e-3,
            "phases.decoder.warmup_steps": 300,
            "phases.decoder.warmup_learning_rate": 2e-3,
            "phases.transfer.steps": 450,
            "phases.transfer.source_pictures": 16,
            "phases.transfer.learning_rate": 2e-3,
            "phases.transfer.warmup_steps": 200,
            "inference.background_factor": 0.3,
        }
    )
