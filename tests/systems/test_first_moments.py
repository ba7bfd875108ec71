"""What Adam's first step of a run keeps: the gradients of all losses.

Weights hardly tell the size of a gradient, as Adam divides by it. The moments
after one step from none do: (1 - beta_1) g and (1 - beta_2) g^2.
"""

import numpy as np
import pytest
from tiny import tiny_config

from keras_wsss.checkpoints import load_latest
from keras_wsss.run_folder import CHECKPOINTS
from keras_wsss.training.run import train


def trained(shapes_dir, workdir, steps, warmup_steps=0, **weights):
    """The optimizer's state after some steps of a run, by its names' ends."""
    config = tiny_config(shapes_dir)
    config = config.replace(
        {
            "phases.decoder.steps": steps,
            "phases.decoder.warmup_steps": warmup_steps,
            "train.examples": 0,
            "data.heldout": 0.0,
        }
    )
    for name, weight in weights.items():
        config = config.replace({f"train.{f'{name}_weight'}": weight})
    train(config, "decoder", workdir, log=lambda line: None)
    arrays = load_latest(workdir / CHECKPOINTS).arrays
    return {
        name.rpartition("/")[2]: array
        for name, array in arrays.items()
        if name.startswith("optimizer/")
    }


def gradient(state, layer):
    return state[f"{layer}_kernel_momentum"] / 0.1


@pytest.mark.usefixtures("eager")
def test_the_config_weighs_every_loss(shapes_dir, tmp_path):
    """The gradient is linear in the weights of train.mask_weight and so on."""
    plain = trained(shapes_dir, tmp_path / "a", 1, mask=1.0, tag=1.0)
    other = trained(
        shapes_dir, tmp_path / "b", 1, mask=3.0, overlap=50.0, tag=2.0
    )
    both = trained(
        shapes_dir, tmp_path / "c", 1, mask=1.0, overlap=200.0, tag=0.0
    )
    mask = gradient(plain, "seg_score")
    overlap = (gradient(both, "seg_score") - mask) / 200
    size = np.abs(mask).max()
    assert 50 * np.abs(overlap).max() > 0.1 * size
    np.testing.assert_allclose(
        gradient(other, "seg_score"),
        3 * mask + 50 * overlap,
        rtol=0,
        atol=1e-4 * size,
    )
    tag = gradient(plain, "tagger_logits")
    assert np.abs(tag).max() > 0
    np.testing.assert_allclose(
        gradient(other, "tagger_logits"), 2 * tag, rtol=1e-4, atol=1e-9
    )
    np.testing.assert_array_equal(gradient(both, "tagger_logits"), 0)


@pytest.mark.usefixtures("eager")
def test_the_optimizer_starts_anew_after_the_warm_up(shapes_dir, tmp_path):
    """Its only step since is the third: its state is that of a first step."""
    state = trained(shapes_dir, tmp_path / "run", 3, warmup_steps=2)
    assert state["iteration"] == 1
    names = [name for name in state if name.endswith("_momentum")]
    assert len(names) > 20
    for name in names:
        one = state[name] / 0.1
        square = state[name.replace("_momentum", "_velocity")] / 0.001
        assert np.abs(one).max() > 0, name
        np.testing.assert_allclose(
            square, one**2, rtol=1e-4, atol=1e-30, err_msg=name
        )
