"""A run that is killed and repeated ends where an unbroken one does."""

import signal

import numpy as np
import pytest
from tiny import CHECKPOINT_EVERY, STEPS, read_json, run_script

from keras_wsss.checkpoints import list_checkpoints, load_latest
from keras_wsss.run_folder import CHECKPOINTS


@pytest.fixture(scope="module")
def killed_and_repeated(shapes_dir, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("killed") / "decoder"
    flags = (
        "--phase=decoder",
        "--config=tests/tiny.py",
        f"--workdir={workdir}",
        "--config.train.deterministic=True",
        "--config.train.examples=0",  # drawn only, and not what is tested
    )
    killed = run_script(
        "tests/training/kill_train.py",
        2 * CHECKPOINT_EVERY,
        *flags,
        data=shapes_dir,
    )
    left = list_checkpoints(workdir / CHECKPOINTS)
    repeated = run_script("train.py", *flags, data=shapes_dir)
    return workdir, killed, left, repeated


def test_the_kill_leaves_the_checkpoint_before(killed_and_repeated):
    _, killed, left, _ = killed_and_repeated
    assert killed.returncode == -signal.SIGKILL
    assert [path.name for path in left] == [f"step_{CHECKPOINT_EVERY:09d}.npz"]


def test_the_repeated_command_goes_on_there(killed_and_repeated):
    workdir, _, _, repeated = killed_and_repeated
    assert repeated.returncode == 0, repeated.stderr
    assert f"Resuming after step {CHECKPOINT_EVERY}." in repeated.stdout
    results = read_json(workdir / "results.json")
    assert results["resumed_after_step"] == CHECKPOINT_EVERY
    assert results["steps"] == STEPS


def test_weights_are_equal_bit_for_bit(killed_and_repeated, decoder_run):
    one, other = (
        load_latest(folder / CHECKPOINTS)
        for folder in (decoder_run[0], killed_and_repeated[0])
    )
    assert one.step == other.step == STEPS
    assert one.arrays.keys() == other.arrays.keys()
    assert any(name.startswith("optimizer/") for name in one.arrays)
    for name, array in one.arrays.items():
        assert array.tobytes() == other.arrays[name].tobytes(), name


def test_training_moved_the_weights(decoder_run):
    """Else the test above could compare two beginnings."""
    files = list_checkpoints(decoder_run[0] / CHECKPOINTS)
    assert len(files) == 2  # the newest ones are kept
    with np.load(files[0]) as first, np.load(files[1]) as last:
        names = [n for n in first.files if n.startswith("array/model/")]
        assert all(not np.array_equal(first[n], last[n]) for n in names)
