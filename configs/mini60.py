"""TransferNet on the mini set, protocol mini60, for two CPU cores.

Masks of the 60 COCO categories that VOC lacks, tags of the 20 VOC categories;
scored on cat, cow, dog, horse, sheep, person and background. Not VOC: the
figures can be compared with each other only. They stand in docs/results.md.

    python train.py --phase attention --config configs/mini60.py \
        --workdir runs/mini60/attention --encoder_weights VGG16_WEIGHTS
    python train.py --phase transfer --config configs/mini60.py \
        --workdir runs/mini60/transfer --init_from runs/mini60/attention \
        --config.transfer.steps=1650
    python pseudo_labels.py --workdir runs/mini60/transfer \
        --out runs/mini60/pseudo_labels
    python train.py --phase transfer --config configs/mini60.py \
        --workdir runs/mini60/self_training --init_from runs/mini60/transfer \
        --config.data.target_masks=runs/mini60/pseudo_labels \
        --config.transfer.warmup_steps=0 --config.transfer.target_pairs=8
    python evaluate.py --workdir runs/mini60/self_training
"""

import os

from keras_wsss.config import default_config


def get_config():
    """Returns the config."""
    config = default_config()
    config.name = "mini60"
    config.split.name = "mini60"

    # The folder of the mini set: see docs/data.md.
    root = os.environ.get("KERAS_WSSS_MINI", "../shared/data/mini")
    config.data.source_annotations = f"{root}/source/instances.json"
    config.data.source_images = f"{root}/source/images"
    config.data.target_tags = f"{root}/target/train_tags.csv"
    config.data.target_images = f"{root}/target/JPEGImages"
    config.data.eval_root = f"{root}/target"
    # 482 source pictures: too few to throw away those with persons.
    config.data.exclude_images_with_target = False

    config.data.min_pixels = 1500

    # Chosen for two CPU cores: VGG-16 at 224 pixels costs 0.25 s a picture,
    # once; the decoder is most of a step.
    config.image.size = 224
    config.image.resize = 224
    config.feature_cache = "runs/cache"
    config.cache_switches = True  # so that every picture is encoded once

    config.model.attention = "conv"
    config.model.attention_units = 256
    config.model.attention_gain = 270.0
    config.model.classifier_gain = 30.0
    config.model.judge = "tagger"
    config.model.normalization = "max"
    config.model.decoder_width = 0.25
    config.model.output_stride = 2
    config.model.initializer = "he"
    config.model.shortcut = True
    config.model.guide_maps = True
    config.model.guide_features = 32
    config.train.feature_dropout = 0.3
    config.train.last_classifier_multiplier = 1.0
    # Chosen on held-out tags, see docs/results.md.
    config.train.tagger_multiplier = 3.0
    config.train.overlap_weight = 1.0

    config.inference.relative = True
    config.inference.background_factor = 0.18
    config.inference.rank_by_tag = True

    config.train.checkpoint_every = 250
    config.train.heldout_every = 400

    phase = config.attention
    phase.steps = 600
    phase.source_pairs = 8
    phase.target_pairs = 16
    phase.learning_rate = 1e-3
    phase.final_learning_rate = 1e-4

    phase = config.decoder
    phase.steps = 1500
    phase.warmup_steps = 250
    phase.source_pairs = 8
    phase.learning_rate = 1.5e-3
    phase.final_learning_rate = 1e-4

    phase = config.transfer
    phase.steps = 750
    # The new categories' rows of the attention first, then the decoder too.
    phase.warmup_steps = 150
    # Tags are cheap: target pairs do not pass the decoder.
    phase.source_pairs = 8
    phase.target_pairs = 16
    phase.learning_rate = 1e-3
    phase.final_learning_rate = 1e-4
    return config
