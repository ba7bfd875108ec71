"""A run that is killed and repeated ends where an unbroken one does."""

import json
import signal

import numpy as np
import pytest
from readers import read_voc
from tiny import CHECKPOINT_EVERY, STEPS, read_json, run_script

from benchmarks.kill_anywhere.whole import without_times
from keras_wsss.checkpoints import list_checkpoints, load_latest
from keras_wsss.evaluation.evaluate import evaluate
from keras_wsss.files import sha256
from keras_wsss.inference.predictor import Predictor
from keras_wsss.run_folder import CHECKPOINTS, ENCODER, RESULTS_FILE


@pytest.fixture(scope="module")
def killed_and_repeated(shapes_dir, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("killed") / "decoder"
    # What a kill while the encoder is written leaves.
    half = workdir / ENCODER / ".step_000000000.npz.a1b2c3d4.npz"
    half.parent.mkdir(parents=True)
    half.write_bytes(b"PK")
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


def test_a_half_written_encoder_is_written_anew(
    killed_and_repeated, decoder_run
):
    one, other = (
        run[0] / ENCODER for run in (decoder_run, killed_and_repeated)
    )
    names = [path.name for path in other.iterdir()]
    assert names == [path.name for path in list_checkpoints(one)]
    assert sha256(one / names[0]) == sha256(other / names[0])


def test_figures_are_equal_but_for_times(killed_and_repeated, decoder_run):
    """Of one seed, also where one of the runs was interrupted."""
    one, other = (
        without_times(read_json(run[0] / RESULTS_FILE))
        for run in (decoder_run, killed_and_repeated)
    )
    assert one == other
    assert one["last"].keys() > {"mask_loss", "class_loss"}
    assert one["heldout"]


def test_evaluations_are_equal_but_for_times(killed_and_repeated, decoder_run):
    scores = []
    for run in (decoder_run, killed_and_repeated):
        predictor = Predictor.from_workdir(run[0])
        data = predictor.config.data
        dataset = read_voc(data.eval_root, data.eval_set, predictor.split)
        found = evaluate(
            predictor, dataset.records[:3], augment=False, refine=False
        )
        scores.append(without_times(json.loads(json.dumps(found))))
    assert scores[0] == scores[1]
    assert scores[0]["pictures"] == 3


def test_training_moved_the_weights(decoder_run):
    """Else the test above could compare two beginnings."""
    files = list_checkpoints(decoder_run[0] / CHECKPOINTS)
    assert len(files) == 2  # the newest ones are kept
    with np.load(files[0]) as first, np.load(files[1]) as last:
        names = [n for n in first.files if n.startswith("array/model/")]
        assert all(not np.array_equal(first[n], last[n]) for n in names)
