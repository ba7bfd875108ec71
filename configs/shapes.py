"""TransferNet on the embedded data set "shapes": what `make demo` runs.

Masks of 14 silhouettes (disc, ring, cross, ...), tags of 6 others (arrow,
clover, fish, heart, mushroom, star); scored on those six and background.

    python -m keras_wsss.data shapes --out demo/shapes
    python train.py --phase decoder --config configs/shapes.py \
        --workdir demo/decoder
    python train.py --phase transfer --config configs/shapes.py \
        --workdir demo/transfer --init_from demo/decoder
    python pseudo_labels.py --workdir demo/transfer --out demo/pseudo_labels \
        --norefine
    python train.py --phase transfer --config configs/shapes.py \
        --workdir demo/self_training --init_from demo/transfer \
        --config.data.target_masks=demo/pseudo_labels \
        --config.transfer.warmup_steps=0 --config.transfer.target_pairs=8 \
        --config.transfer.steps=350
    python evaluate.py --workdir demo/self_training

Pseudo labels are not refined here, because that would take longer than all
else about them.

The model's additions were tried in a rehearsal in which cross, crescent, drop
and tee played target (docs/data.md).
"""

import os
from pathlib import Path

from keras_wsss.config import default_config


def get_config():
    """Returns the config."""
    config = default_config()
    config.name = "shapes"
    config.split.name = "shapes"

    root = os.environ.get("KERAS_WSSS_SHAPES", "demo/shapes")
    config.data.source_annotations = f"{root}/source/instances.json"
    config.data.source_images = f"{root}/source/images"
    config.data.target_tags = f"{root}/target/train_tags.csv"
    config.data.target_images = f"{root}/target/JPEGImages"
    config.data.eval_root = f"{root}/target"
    config.data.eval_negatives = f"{root}/target/without"
    config.data.min_pixels = 12

    # Whole pictures at their own size, so that the encoder's outputs can be
    # cached: a step is three times faster.
    config.image.size = 128
    config.image.resize = 128
    config.feature_cache = str(Path(root).parent / "cache")
    config.cache_switches = True

    config.model.encoder = "vgg_small"
    config.model.attention = "conv"
    config.model.attention_units = 128
    # The features of vgg_small have a root mean square of 0.22.
    config.model.attention_gain = 36.0
    config.model.classifier_gain = 4.5
    config.model.judge = "tagger"
    config.model.normalization = "max"
    config.model.decoder_width = 0.5
    config.model.output_stride = 2
    config.model.initializer = "he"
    config.model.shortcut = True
    config.model.guide_maps = True
    config.model.guide_features = 16
    config.train.feature_dropout = 0.2
    config.inference.relative = True
    config.inference.background_factor = 0.3
    config.inference.rank_by_tag = True
    config.train.last_classifier_multiplier = 1.0
    # Chosen on held-out tags, see docs/results.md.
    config.train.tagger_multiplier = 8.0
    config.train.overlap_weight = 1.0

    config.train.labels_per_image = 2
    config.train.log_every = 100
    config.train.checkpoint_every = 250
    config.train.heldout_every = 250
    for phase, steps, target in (
        ("attention", 1000, 16),
        ("decoder", 600, 0),
        ("transfer", 450, 16),
    ):
        config[phase].steps = steps
        config[phase].source_pairs = 16
        config[phase].target_pairs = target
        config[phase].learning_rate = 2e-3
        config[phase].final_learning_rate = 1e-4
    config.decoder.warmup_steps = 300
    config.transfer.warmup_steps = 200
    config.decoder.warmup_learning_rate = 2e-3
    return config
