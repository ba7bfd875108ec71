"""Training curves read back from TensorBoard's files."""

import json

import pytest
import tensorflow as tf

from keras_wsss.evaluation.report.history import read_histories, read_scalars


def write(folder, values, picture=False):
    writer = tf.summary.create_file_writer(str(folder))
    with writer.as_default():
        for step, value in values:
            tf.summary.scalar("train/class_loss", value, step=step)
        if picture:
            tf.summary.image("examples", tf.zeros((1, 2, 2, 3)), step=0)
    writer.close()


def test_a_resumed_run_counts_its_newer_values(tmp_path):
    write(tmp_path, [(1, 4.0), (2, 3.0), (3, 9.0)], picture=True)
    (old,) = tmp_path.glob("events*")
    old.rename(tmp_path / "events.out.tfevents.0000000001.first")
    write(tmp_path, [(3, 2.0), (4, 1.0)])
    assert read_scalars(tmp_path) == {
        "train/class_loss": [(1, 4.0), (2, 3.0), (3, 2.0), (4, 1.0)]
    }


def test_what_comes_before_damage_is_kept(tmp_path):
    write(tmp_path, [(step, 1.0) for step in range(10)])
    (path,) = tmp_path.glob("events*")
    path.write_bytes(path.read_bytes()[:-11])
    steps = [step for step, _ in read_scalars(tmp_path)["train/class_loss"]]
    assert steps == list(range(9))


def test_no_events_give_nothing(tmp_path):
    assert read_scalars(tmp_path) == {}
    assert read_histories(tmp_path) == []


@pytest.mark.parametrize("gone", [False, True])
def test_runs_are_followed_to_the_first_that_is_there(tmp_path, gone):
    runs = {"decoder": None, "transfer": tmp_path / "decoder"}
    for phase, start in runs.items():
        folder = tmp_path / phase
        folder.mkdir()
        (folder / "phase.json").write_text(
            json.dumps(
                {"phase": phase, "init_from": str(start) if start else None}
            )
        )
        write(folder / "events", [(5, 1.5)])
    if gone:
        (tmp_path / "decoder" / "phase.json").unlink()
    found = read_histories(tmp_path / "transfer")
    phases = ["transfer"] if gone else ["decoder", "transfer"]
    assert [history.phase for history in found] == phases
    assert found[-1].scalars == {"train/class_loss": [(5, 1.5)]}
