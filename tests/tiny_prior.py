"""A config of the prior system whose runs take seconds."""

import os
from pathlib import Path

from keras_wsss.config import default_config

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
    config = default_config()
    config.name = "tiny_prior"
    config.system = "prior"
    config.split.name = "shapes"
    config.data.source_annotations = f"{data}/source/instances.json"
    config.data.source_images = f"{data}/source/images"
    config.data.target_tags = f"{data}/target/train_tags.csv"
    config.data.target_images = f"{data}/target/JPEGImages"
    config.data.eval_root = f"{data}/target"
    config.image.size, config.image.resize = SIZE + 1, 72
    config.model.encoder = "vgg_small"
    config.model.encoder_weights = f"{data}/{ENCODER_WEIGHTS}"
    config.prior.class_size = 48
    config.prior.test_size = SIZE + 1
    config.prior.dropout = 0.2
    config.prior.fc6_dilation = 3
    # The checkpoint at the end of the warm-up is resumed from, too.
    config.prior.segment_start = "classifier"
    config.prior.crf_iterations = config.prior.test_iterations = 2
    config.train.log_every = 1
    config.train.checkpoint_every = 2
    config.train.heldout_every = 4
    config.train.examples = 2
    config.joint.steps = STEPS
    config.joint.warmup_steps = WARMUP
    config.joint.target_pairs = 2
    config.joint.learning_rate = config.joint.warmup_learning_rate = 1e-3
    config.inference.tag_threshold = 0.1
    return config


def get_config():
    """For `--config tests/tiny_prior.py`."""
    return tiny_prior_config(os.environ.get("KERAS_WSSS_TINY", "."))
