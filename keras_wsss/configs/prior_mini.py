"""The prior system on the mini set, tags alone, for two CPU cores.

Tags of the 20 VOC categories and nothing of the source pictures; scored on
cat, cow, dog, horse, sheep, person and background (protocol mini60). Not VOC:
the figures can be compared with those of the same protocol only.

    python train.py --phase joint --config prior_mini \
        --workdir runs/prior_mini --encoder_weights VGG16_WEIGHTS
    python evaluate.py --workdir runs/prior_mini

What differs from prior_voc12, for the sake of time: windows of 161
pixels of pictures brought to 177 (321 and 513 there), streams A and H at 112
pixels (224), blocks 1 to 4 fixed, 5 pictures an update, few updates. fc6 and
fc7 begin with random weights when the weights file has convolutions only:
they learn ten times as fast, with less dropout, and stream S begins with what
the classifier has learned by the end of the warm-up.

Rates and dropout were chosen by the tags of 300 training pictures held out of
a trial of the class head, on fixed features of conv5.
"""

import os

from keras_wsss.config import Config
from keras_wsss.configs.mini60 import ROOT


def get_config() -> Config:
    """Returns the config."""
    root = os.environ.get("KERAS_WSSS_MINI", ROOT)
    return Config.published("prior").replace(
        {
            "name": "prior_mini",
            "split.name": "mini60",
            "data.target_tags": f"{root}/target/train_tags.csv",
            "data.target_images": f"{root}/target/JPEGImages",
            "data.eval_root": f"{root}/target",
            "image.size": 161,
            "image.resize": 177,
            "prior.class_size": 112,
            "prior.test_size": 177,
            "prior.frozen_blocks": 4,
            "prior.warmup_head_only": True,
            "prior.fc_multiplier": 10.0,
            "prior.dropout": 0.2,
            "prior.segment_start": "classifier",
            "prior.fc6_dilation": 6,  # on a grid of half the side
            # Lengths of the CRFs follow the pictures' size: 177 / 513.
            "prior.test_appearance_xy": 50 * 177 / 513,
            "prior.test_smoothness_xy": 3 * 177 / 513,
            "prior.crf_appearance_xy": 50 * 177 / 513 / 8,
            "prior.crf_smoothness_xy": 3 * 177 / 513 / 8,
            "inference.scales": (1.0, 1.27),
            "train.log_every": 10,
            "train.checkpoint_every": 100,
            "train.heldout_every": 200,
            "phases.joint.steps": 1550,
            "phases.joint.target_pictures": 5,
            "phases.joint.warmup_steps": 900,
        }
    )
