"""The prior system on the embedded data set, with a narrow network.

Tags of arrow, clover, fish, heart, mushroom and star alone; scored on those
six and background, beside configs/shapes.py, which has masks of 14 others.

    python -m keras_wsss.data shapes --out demo/shapes
    python train.py --phase joint --config configs/prior_shapes.py \
        --workdir demo/prior
    python evaluate.py --workdir demo/prior

Rates and dropout were chosen by the tags of 300 training pictures held out of
a trial, the weight of stream S by its loss. Its figures are in docs/prior.md.
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
    config.data.eval_negatives = f"{root}/target/without"

    # Windows of 121 pixels of pictures brought to 129. Streams A and H see
    # them at the 128 pixels that vgg_small was trained for, 8 x 8 class maps.
    config.image.size = 121
    config.image.resize = 129
    config.model.encoder = "vgg_small"
    config.prior.class_size = 128
    config.prior.test_size = 129
    # vgg_small already knows silhouettes: its lower blocks stay, and fc6, fc7
    # and the heads, which begin with random weights, learn fast. More than a
    # tenth of dropout costs more updates than there are.
    config.prior.frozen_blocks = 4
    config.prior.segment_start = "classifier"
    config.prior.fc6_dilation = 4  # 12 on 41 x 41 cells, here 16 x 16
    config.prior.warmup_head_only = True
    config.prior.dropout = 0.1
    config.prior.fc_multiplier = 5.0
    config.prior.head_multiplier = 5.0
    # As the lower blocks stay, this is the rate of stream S and nothing else.
    config.prior.segment_weight = 10.0
    config.prior.test_appearance_xy = 16.0
    config.prior.test_smoothness_xy = 2.0
    config.prior.crf_appearance_xy = 2.0
    config.prior.crf_smoothness_xy = 0.25

    config.inference.tag_threshold = 0.1  # the class gate
    config.train.log_every = 20
    config.train.checkpoint_every = 140
    config.train.heldout_every = 140

    phase = config.joint
    phase.steps = 280
    phase.target_pairs = 16
    phase.warmup_steps = 160
    phase.warmup_learning_rate = 3e-3
    phase.learning_rate = 3e-3
    phase.final_learning_rate = 1e-3
    return config
