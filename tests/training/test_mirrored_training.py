"""Two devices of a MirroredStrategy give what one device gives."""

import numpy as np
import pytest
import tensorflow as tf
from tiny import tiny_config

from keras_wsss.checkpoints import load_latest
from keras_wsss.errors import ConfigError
from keras_wsss.run_folder import CHECKPOINTS
from keras_wsss.training.devices import make_strategy
from keras_wsss.training.run import train

STEPS = 20


def run(shapes_dir, workdir, strategy):
    """Both losses from the first step on, target pictures too."""
    config = tiny_config(shapes_dir)
    config = config.replace(
        {
            "phases.decoder.steps": STEPS,
            "phases.decoder.target_pictures": 4,
            "phases.decoder.warmup_steps": 0,
            "train.checkpoint_every": STEPS,
            "train.heldout_every": STEPS,
            "train.log_every": STEPS,
            "train.examples": 0,
        }
    )
    results = train(
        config, "decoder", workdir, strategy_name=strategy, log=lambda _: 0
    )
    return results, load_latest(workdir / CHECKPOINTS).arrays


@pytest.fixture(scope="module")
def runs(shapes_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("mirrored")
    return {
        name: run(shapes_dir, folder / name, name)
        for name in ("one", "mirrored")
    }


def test_losses_and_weights_agree(runs):
    (one, weights), (two, other) = runs["one"], runs["mirrored"]
    assert (one["devices"], two["devices"]) == (1, 2)
    names = set(one["last"]) - {"pairs_per_second"}
    assert {"class_loss", "mask_loss", "tag_loss"} <= names
    for name in names:
        assert one["last"][name] == pytest.approx(two["last"][name], abs=1e-5)
    assert weights.keys() == other.keys()
    for name, array in weights.items():
        # One bias for all positions: softmax does not see it, its gradient
        # is rounding noise, and Adam makes full steps of that.
        if "att_w/bias" in name or "att_w_bias" in name:
            continue
        np.testing.assert_allclose(
            array, other[name], rtol=0, atol=1e-5, err_msg=name
        )


def test_held_out_scores_agree(runs):
    one, two = (runs[name][0]["heldout"] for name in ("one", "mirrored"))
    assert one == pytest.approx(two, abs=1e-3)


def test_devices_that_cannot_share_are_refused(shapes_dir, tmp_path):
    """Before anything is read."""
    config = tiny_config(tmp_path / "nowhere").replace(
        {
            "phases.decoder.source_pictures": 3,
            "model.encoder_weights": tiny_config(
                shapes_dir
            ).model.encoder_weights,
        }
    )
    with pytest.raises(ConfigError, match="3, which 2 devices cannot share"):
        train(config, "decoder", tmp_path / "d", strategy_name="mirrored")


def test_strategies():
    assert make_strategy("one").num_replicas_in_sync == 1
    mirrored = make_strategy("mirrored")
    assert mirrored.num_replicas_in_sync == 2
    assert make_strategy("mirrored") is mirrored
    if not tf.config.list_logical_devices("GPU"):
        assert make_strategy("auto").num_replicas_in_sync == 1
    with pytest.raises(ConfigError, match="Unknown strategy 'two'"):
        make_strategy("two")
