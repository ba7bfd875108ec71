"""Checkpoint files: round trip, damage, what is kept."""

import numpy as np
import pytest

from keras_wsss.checkpoints import (
    BackgroundWriter,
    Checkpoint,
    list_checkpoints,
    load_checkpoint,
    load_latest,
    save_checkpoint,
)
from keras_wsss.errors import ConfigError, DataError
from keras_wsss.files import sha256
from keras_wsss.run_folder import CHECKPOINTS, weights_digest


def make(step):
    rng = np.random.default_rng(step)
    arrays = {
        "model/a/kernel": rng.normal(size=(3, 4)).astype(np.float32),
        "optimizer/0000/iteration": np.array(step, np.int64),
    }
    return Checkpoint(step, arrays, {"phase": "decoder", "config": {"a": 1}})


def assert_equal(one, other):
    assert (one.step, one.meta) == (other.step, other.meta)
    assert one.arrays.keys() == other.arrays.keys()
    for name, array in one.arrays.items():
        np.testing.assert_array_equal(array, other.arrays[name])
        assert array.dtype == other.arrays[name].dtype


def test_round_trip(tmp_path):
    path = save_checkpoint(tmp_path, make(7))
    assert_equal(load_checkpoint(path), make(7))
    assert [p.name for p in tmp_path.iterdir()] == ["step_000000007.npz"]


def test_the_newest_are_kept_in_the_order_of_their_steps(tmp_path):
    for step in (5, 100, 20, 1000):
        save_checkpoint(tmp_path, make(step), keep=3)
    names = [path.name for path in list_checkpoints(tmp_path)]
    assert names == [f"step_{s:09d}.npz" for s in (20, 100, 1000)]
    assert load_latest(tmp_path).step == 1000


def test_half_files_of_killed_processes_are_removed(tmp_path):
    left = tmp_path / ".step_000000005.npz.k2j4x1.npz"
    left.write_bytes(b"half")
    path = save_checkpoint(tmp_path, make(5))
    assert list(tmp_path.iterdir()) == [path]


def test_nothing_saved_yet(tmp_path):
    assert load_latest(tmp_path) is None
    assert load_latest(tmp_path / "missing") is None
    with pytest.raises(DataError, match="no such checkpoint"):
        load_checkpoint(tmp_path / "step_000000001.npz")


def test_the_digest_is_of_the_checkpoint_that_is_used(tmp_path):
    """Masks written with the one before must not bear the newest's name."""
    before = save_checkpoint(tmp_path / CHECKPOINTS, make(1))
    newest = save_checkpoint(tmp_path / CHECKPOINTS, make(2))
    assert weights_digest(tmp_path) == sha256(newest)
    newest.write_bytes(newest.read_bytes()[:-9])
    assert weights_digest(tmp_path) == sha256(before)
    before.unlink()
    with pytest.raises(ConfigError, match="holds no sound checkpoint"):
        weights_digest(tmp_path)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_truncated_newest_is_passed_over(tmp_path, share):
    save_checkpoint(tmp_path, make(1))
    newest = save_checkpoint(tmp_path, make(2))
    content = newest.read_bytes()
    newest.write_bytes(content[: int(share * len(content))])
    lines = []
    assert_equal(load_latest(tmp_path, lines.append), make(1))
    assert len(lines) == 1
    assert "step_000000002.npz: damaged checkpoint" in lines[0]
    assert lines[0].endswith("Using the one before, if there is one.")


def test_no_changed_bit_goes_unnoticed(tmp_path):
    """Either an error, or a bit that means nothing (a time stamp, say)."""
    save_checkpoint(tmp_path, make(1))
    newest = save_checkpoint(tmp_path, make(2))
    content = bytearray(newest.read_bytes())
    noticed = 0
    # All places would take long; a prime step visits every structure.
    for place in range(0, len(content), 7):
        damaged = content.copy()
        damaged[place] ^= 1 << place % 8
        newest.write_bytes(damaged)
        lines = []
        found = load_latest(tmp_path, lines.append)
        assert_equal(found, make(1 if lines else 2))
        noticed += bool(lines)
    assert noticed > len(content) // 7 // 2


def test_other_arrays_under_a_right_zip_are_noticed(tmp_path):
    """ZIP's own check sums are right here; the SHA-256 is not."""
    path = save_checkpoint(tmp_path, make(1))
    with np.load(path) as archive:
        content = dict(archive)
    content["array/model/a/kernel"] = content["array/model/a/kernel"] + 1
    np.savez(path, **content)
    with pytest.raises(DataError, match="does not match its SHA-256"):
        load_checkpoint(path)


def test_pickled_objects_are_refused(tmp_path):
    path = tmp_path / "step_000000001.npz"
    np.savez(path, **{"array/a": np.array([{}], object)}, allow_pickle=True)
    with pytest.raises(DataError, match="damaged checkpoint"):
        load_checkpoint(path)


def test_written_beside_the_training(tmp_path):
    with BackgroundWriter() as writer:
        for step in (1, 2, 3):
            writer.save(tmp_path, make(step), keep=2)
    assert [path.name for path in list_checkpoints(tmp_path)] == [
        f"step_{step:09d}.npz" for step in (2, 3)
    ]
    assert_equal(load_latest(tmp_path), make(3))


def test_what_could_not_be_written_beside_the_training_is_told(tmp_path):
    folder = tmp_path / "checkpoints"
    with BackgroundWriter() as writer:
        writer.save(folder, make(1), keep=2)
        writer.wait()
        kept = list_checkpoints(folder)[0].rename(tmp_path / "kept")
        folder.rmdir()
        folder.write_bytes(b"")  # no folder any more
        writer.save(folder, make(2), keep=2)
        with pytest.raises(DataError, match="could not be written"):
            writer.save(folder, make(3), keep=2)
        writer.wait()  # told once
    assert_equal(load_checkpoint(kept), make(1))
