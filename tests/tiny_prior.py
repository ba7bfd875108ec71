"""A config of the prior system whose runs take seconds."""

import os
from pathlib import Path

from keras_wsss.config import Config

# As in tests/tiny.py, which `--config` cannot import.
SIZE = 64
ENCODER_WEIGHTS = "encoder.weights.h5"
STEPS = 6
WARMUP = 2


def tiny_prior_config(data: Path | str):
    """A config for pictures of `write_shapes` below `data`, 64 pixels.

    It names the source pictures and masks, which the system must never read;
    the tests' folder is without them.
    """
    return Config.published().replace(
        {
            "name": "tiny_prior",
            "system": "prior",
            "split.name": "shapes",
            "data.source_annotations": f"{data}/source/instances.json",
            "data.source_images": f"{data}/source/images",
            "data.target_tags": f"{data}/target/train_tags.csv",
            "data.target_images": f"{data}/target/JPEGImages",
            "data.eval_root": f"{data}/target",
            "image.size": SIZE + 1,
            "image.resize": 72,
            "model.encoder": "vgg_small",
            "model.encoder_weights": f"{data}/{ENCODER_WEIGHTS}",
            "prior.class_size": 48,
            "prior.test_size": SIZE + 1,
            "prior.dropout": 0.2,
            "prior.fc6_dilation": 3,
            # The checkpoint at the end of the warm-up is resumed from, too.
            "prior.segment_start": "classifier",
            "prior.crf_iterations": 2,
            "prior.test_iterations": 2,
            "train.log_every": 1,
            "train.checkpoint_every": 2,
            "train.heldout_every": 4,
            "train.examples": 2,
            "phases.joint.steps": STEPS,
            "phases.joint.warmup_steps": WARMUP,
            "phases.joint.target_pictures": 2,
            "phases.joint.learning_rate": 1e-3,
            "phases.joint.warmup_learning_rate": 1e-3,
            "inference.tag_threshold": 0.1,
        }
    )


def get_config():
    """For `--config tests/tiny_prior.py`."""
    return tiny_prior_config(os.environ.get("KERAS_WSSS_TINY", "."))
