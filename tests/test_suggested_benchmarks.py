"""Benchmarks of suggestions: who plays the person, and what is compared."""

import numpy as np
import pytest
from tiny import tiny_config

from benchmarks.suggested_masks import write_masks
from benchmarks.suggested_tags import compare
from keras_wsss.config import split_of
from keras_wsss.errors import ConfigError
from keras_wsss.training.inputs import read_training_data
from keras_wsss.training.run import train


def counts(wrong):
    """Pixel counts of a picture with 10 pixels of each of two classes."""
    return np.array([[10, 0], [wrong, 10 - wrong]])


def test_gains_of_tags_are_those_of_one_matrix():
    predicted = np.array([counts(w) for w in (0, 10, 0, 0)])
    corrected = np.array([counts(0)] * 4)
    order = np.array([1, 0, 2, 3])
    found = compare(predicted, corrected, order, 1, 4000, [0, 1])
    start = np.mean([40 / 50, 30 / 40])
    assert found["predicted tags"] == pytest.approx(start)
    assert found["all corrected"] == 1.0
    assert found["gain of suggested"] == pytest.approx(1 - start)
    # One random picture of four is the one.
    assert found["gain of random"] == pytest.approx((1 - start) / 4, rel=0.15)
    assert found["random choices as good, share"] == pytest.approx(0.25, 0.15)
    with pytest.raises(ConfigError, match="--count is 4 of 4 pictures"):
        compare(predicted, corrected, order, 4, 1, [0, 1])


def test_drawn_again_masks_train_and_agree_with_the_tags(
    shapes_dir, decoder_run, tmp_path
):
    config = tiny_config(shapes_dir)
    split = split_of(config)
    records = read_training_data(config, with_target=True).target
    images = [r.image_path for r in records if r.labels][:3]
    write_masks(tmp_path / "masks", images, split, seed=0)
    config = config.replace(
        {
            "data.target_masks": f"person:{tmp_path / 'masks'}",
            "phases.transfer.steps": 1,
        }
    )
    data = read_training_data(config, with_target=True)
    assert sum(r.trusted for r in data.target) == 3
    assert data.counts["persons_masks"]["retagged"] == []
    lines = []
    train(
        config, "transfer", tmp_path / "run", decoder_run[0],
        log=lines.append,
    )  # fmt: skip
    assert "A person's masks: 3 pictures." in lines
    with pytest.raises(ConfigError, match="is not of the set with seed 1"):
        write_masks(tmp_path / "other", images, split, seed=1)
