"""Whole runs of the prior system, which sees target tags and nothing else."""

import dataclasses
import shutil

import numpy as np
import pytest
from tiny import read_json
from tiny_prior import STEPS, tiny_prior_config

from keras_wsss.checkpoints import list_checkpoints, load_checkpoint
from keras_wsss.errors import ConfigError, DataError
from keras_wsss.run_folder import CHECKPOINTS
from keras_wsss.systems.prior.system import PRIOR
from keras_wsss.training.run import train

# What a run without learning rate may change: first the parts of stream S that
# can begin as the classifier's, then momentum and states of random numbers.
CHANGING = ("/segment_", "optimizer/", "seed_generator")


def test_a_run_without_any_source_data(prior_run, prior_data):
    workdir, lines = prior_run
    assert not (prior_data / "source").exists()
    results = read_json(workdir / "results.json")
    assert results["steps"] == STEPS
    assert results["data"]["source_pictures"] == 0
    counts = results["data"]
    assert counts["target_pictures"] + counts["heldout_tagged_pictures"] == 16
    assert results["heldout"] == {}
    warm = [line for line in lines if line.startswith("step 2/")]
    joint = [line for line in lines if line.startswith("step 3/")]
    assert "segment_loss" not in warm[0]
    assert "segment_loss" in joint[0]
    assert any("fc6 and fc7 start" in line for line in lines)


def test_it_would_be_noticed_if_source_data_were_read(
    prior_data, tmp_path, monkeypatch
):
    """A planted fault: the phase asks for source pictures."""
    joint = dataclasses.replace(PRIOR.find_phase("joint"), source=True)
    monkeypatch.setattr(PRIOR, "phases", (joint,))
    with pytest.raises(DataError, match=r"source.instances\.json"):
        train(tiny_prior_config(prior_data), "joint", tmp_path / "run")


def test_tensorboard_shows_how_masks_grow(prior_run):
    from tensorboard.backend.event_processing.event_accumulator import (
        EventAccumulator,
    )

    events = EventAccumulator(
        str(prior_run[0] / "events"), size_guidance={"tensors": 0}
    )
    events.Reload()
    for sheet in ("examples/target", "examples/heldout"):
        assert [e.step for e in events.Tensors(sheet)] == [0, 4, STEPS]


def test_a_resumed_run_ends_with_the_same_weights(
    prior_run, prior_data, tmp_path
):
    workdir = tmp_path / "run"
    shutil.copytree(prior_run[0], workdir)
    (workdir / "results.json").unlink()
    expected = load_checkpoint(list_checkpoints(workdir / CHECKPOINTS)[-1])
    assert expected.step == STEPS
    list_checkpoints(workdir / CHECKPOINTS)[-1].unlink()
    lines = []
    config = tiny_prior_config(prior_data)
    config = config.replace({"train.examples": 0})
    train(config, "joint", workdir, log=lines.append)
    assert "Resuming after step 4." in lines
    found = load_checkpoint(list_checkpoints(workdir / CHECKPOINTS)[-1])
    assert set(found.arrays) == set(expected.arrays)
    for name, array in expected.arrays.items():
        np.testing.assert_allclose(
            found.arrays[name], array, rtol=1e-4, atol=1e-5, err_msg=name
        )


@pytest.mark.parametrize("start", ["file", "classifier"])
def test_another_run_of_it_is_where_a_run_may_start(
    prior_run, prior_data, tmp_path, start
):
    config = tiny_prior_config(prior_data)
    config = config.replace(
        {
            "train.examples": 0,
            "prior.segment_start": start,
            "phases.joint.steps": 1,
            "phases.joint.warmup_steps": 0,
            "phases.joint.learning_rate": 0.0,
            "phases.joint.final_learning_rate": 0.0,
        }
    )
    lines = []
    train(config, "joint", tmp_path / "run", prior_run[0], log=lines.append)
    assert not any("fc6 and fc7 start" in line for line in lines)
    before = last_weights(prior_run[0])
    after = last_weights(tmp_path / "run")
    kernel = "model/segmenter/segment_fc6/kernel"
    learned = before.pop(kernel)
    changed = np.abs(after[kernel] - learned).max() > 1e-4
    assert changed == (start == "classifier")
    # With "file" stream S stays too.
    may_change = CHANGING[start == "file" :]
    kept = [n for n in before if not any(x in n for x in may_change)]
    assert "model/classifier/classify_fc6/kernel" in kept
    for name in kept:
        np.testing.assert_array_equal(after[name], before[name], name)


def last_weights(workdir):
    newest = list_checkpoints(workdir / CHECKPOINTS)[-1]
    return dict(load_checkpoint(newest).arrays)


def test_phases_and_pairs_that_do_not_fit_are_refused(prior_data, tmp_path):
    config = tiny_prior_config(prior_data)
    with pytest.raises(ConfigError, match="use --phase joint"):
        train(config, "decoder", tmp_path / "a")
    config = config.replace({"prior.tags": "crop_gt"})
    with pytest.raises(ConfigError, match="the folder of the true masks"):
        train(config, "joint", tmp_path / "c")
    config = config.replace({"prior.target_masks": str(prior_data / "target")})
    with pytest.raises(DataError, match="true mask of every training picture"):
        train(config, "joint", tmp_path / "d")
    config = config.replace({"phases.joint.source_pictures": 2})
    with pytest.raises(ConfigError, match="source_pictures must be 0"):
        train(config, "joint", tmp_path / "b")
