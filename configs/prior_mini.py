"""The prior system on the mini set, tags alone, for two CPU cores.

Tags of the 20 VOC categories and nothing of the source pictures; scored on
cat, cow, dog, horse, sheep, person and background (protocol mini60). Not VOC:
the figures can be compared with those of the same protocol only.

    python train.py --phase joint --config configs/prior_mini.py \
        --workdir runs/prior_mini --encoder_weights VGG16_WEIGHTS
    python evaluate.py --workdir runs/prior_mini

What differs from configs/prior_voc12.py, for the sake of time: windows of 161
pixels of pictures brought to 177 (321 and 513 there), streams A and H at 112
pixels (224), blocks 1 to 4 fixed, 5 pictures an update, few updates. fc6 and
fc7 begin with random weights when the weights file has convolutions only:
they learn ten times as fast, with less dropout, and stream S begins with what
the classifier has learned by the end of the warm-up.

Rates and dropout were chosen by the tags of 300 training pictures held out of
a trial of the class head, on fixed features of conv5.
"""

import os

from keras_wsss.config import default_config


def get_config():
    """Returns the config."""
    config = default_config()
    config.name = "prior_mini"
    config.system = "prior"
    config.split.name = "mini60"

    # The folder of the mini set: see docs/data.md.
    root = os.environ.get("KERAS_WSSS_MINI", "../shared/data/mini")
    config.data.target_tags = f"{root}/target/train_tags.csv"
    config.data.target_images = f"{root}/target/JPEGImages"
    config.data.eval_root = f"{root}/target"

    config.image.size = 161
    config.image.resize = 177
    config.prior.class_size = 112
    config.prior.test_size = 177
    config.prior.frozen_blocks = 4
    config.prior.warmup_head_only = True
    config.prior.fc_multiplier = 10.0
    config.prior.dropout = 0.2
    config.prior.segment_start = "classifier"
    config.prior.fc6_dilation = 6  # on a grid of half the side
    # The length of the CRF of the test follows the pictures' size: 177 / 513.
    config.prior.test_appearance_xy = 50 * 177 / 513
    config.prior.test_smoothness_xy = 3 * 177 / 513
    config.prior.crf_appearance_xy = config.prior.test_appearance_xy / 8
    config.prior.crf_smoothness_xy = config.prior.test_smoothness_xy / 8

    config.inference.tag_threshold = 0.1  # the class gate
    config.inference.scales = (1.0, 1.27)

    config.train.log_every = 10
    config.train.checkpoint_every = 100
    config.train.heldout_every = 200

    phase = config.joint
    phase.steps = 1550
    phase.target_pairs = 5
    phase.warmup_steps = 900
    phase.warmup_learning_rate = 1e-4
    phase.learning_rate = 1e-4
    phase.final_learning_rate = 0.0
    return config
