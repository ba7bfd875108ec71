"""The prior system on the embedded data set, with a narrow network.

Tags of arrow, clover, fish, heart, mushroom and star alone; scored on those
six and background, beside configs/shapes.py, which has masks of 14 others.

    python -m keras_wsss.data shapes --out demo/shapes
    python train.py --phase joint --config configs/prior_shapes.py \
        --workdir demo/prior
    python evaluate.py --workdir demo/prior

Not run yet; its rates are untested.
"""

import os

from keras_wsss.config import default_config


def get_config():
    """Returns the config."""
    config = default_config()
    config.name = "prior_shapes"
    config.system = "prior"
    config.split.name = "shapes"

    root = os.environ.get("KERAS_WSSS_SHAPES", "demo/shapes")
    config.data.target_tags = f"{root}/target/train_tags.csv"
    config.data.target_images = f"{root}/target/JPEGImages"
    config.data.eval_root = f"{root}/target"

    config.image.size = 129
    config.image.resize = 145
    config.model.encoder = "vgg_small"
    config.prior.class_size = 96
    config.prior.test_size = 145
    config.prior.fc_multiplier = 5.0
    config.prior.head_multiplier = 5.0
    config.prior.test_appearance_xy = 16.0
    config.prior.test_smoothness_xy = 2.0
    config.prior.crf_appearance_xy = 2.0
    config.prior.crf_smoothness_xy = 0.25

    config.inference.tag_threshold = 0.1  # the class gate
    config.train.log_every = 50
    config.train.checkpoint_every = 200
    config.train.heldout_every = 200

    phase = config.joint
    phase.steps = 800
    phase.target_pairs = 8
    phase.warmup_steps = 250
    phase.warmup_learning_rate = 3e-3
    phase.learning_rate = 3e-3
    return config
