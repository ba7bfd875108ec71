"""The prior system on the embedded data set, with a narrow network.

Tags of arrow, clover, fish, heart, mushroom and star alone; scored on those
six and background, beside shapes, which has masks of 14 others.

    python -m keras_wsss.data shapes --out demo/shapes
    python train.py --phase joint --config prior_shapes \
        --workdir demo/prior
    python evaluate.py --workdir demo/prior

Rates and dropout were chosen by the tags of 300 training pictures held out of
a trial, the weight of stream S by its loss. Its figures are in docs/prior.md.
"""

import os

from keras_wsss.config import Config


def get_config() -> Config:
    """Returns the config."""
    root = os.environ.get("KERAS_WSSS_SHAPES", "demo/shapes")
    return Config.published("prior").replace(
        {
            "name": "prior_shapes",
            "split.name": "shapes",
            "data.target_tags": f"{root}/target/train_tags.csv",
            "data.target_images": f"{root}/target/JPEGImages",
            "data.eval_root": f"{root}/target",
            "data.eval_negatives": f"{root}/target/without",
            # Windows of 121 pixels of pictures brought to 129. Streams A and H
            # see them at the 128 pixels that vgg_small was trained for, 8 x 8
            # class maps.
            "image.size": 121,
            "image.resize": 129,
            "model.encoder": "vgg_small",
            "prior.class_size": 128,
            "prior.test_size": 129,
            # vgg_small already knows silhouettes: its lower blocks stay, and
            # fc6, fc7 and the heads, which begin with random weights, learn
            # fast. More than a tenth of dropout costs more updates than there
            # are.
            "prior.frozen_blocks": 4,
            "prior.segment_start": "classifier",
            "prior.fc6_dilation": 4,  # 12 on 41 x 41 cells, here 16 x 16
            "prior.warmup_head_only": True,
            "prior.dropout": 0.1,
            "prior.fc_multiplier": 5.0,
            "prior.head_multiplier": 5.0,
            # As the lower blocks stay, this is the rate of stream S and
            # nothing else.
            "prior.segment_weight": 10.0,
            "prior.test_appearance_xy": 16.0,
            "prior.test_smoothness_xy": 2.0,
            "prior.crf_appearance_xy": 2.0,
            "prior.crf_smoothness_xy": 0.25,
            "train.log_every": 20,
            "train.checkpoint_every": 140,
            "train.heldout_every": 140,
            "phases.joint.steps": 280,
            "phases.joint.target_pictures": 16,
            "phases.joint.warmup_steps": 160,
            "phases.joint.warmup_learning_rate": 3e-3,
            "phases.joint.learning_rate": 3e-3,
            "phases.joint.final_learning_rate": 1e-3,
        }
    )
