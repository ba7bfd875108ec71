"""Runs whose masks are noise: refused, or said loudly."""

import json
import shutil

import numpy as np
import pytest
from tiny import STEPS, read_json, run_script, tiny_config
from tiny_prior import WARMUP as PRIOR_WARMUP
from tiny_prior import tiny_prior_config

from keras_wsss.checkpoints import (
    Checkpoint,
    list_checkpoints,
    load_latest,
    read_meta,
    save_checkpoint,
)
from keras_wsss.errors import ConfigError, DataError
from keras_wsss.inference.predictor import Predictor
from keras_wsss.mask_updates import (
    check_masks_will_be_learned,
    count_mask_updates,
    untrained_sentence,
)
from keras_wsss.run_folder import CHECKPOINTS
from keras_wsss.systems.problems import own_mask_updates
from keras_wsss.systems.transfernet.heldout import HeldOut
from keras_wsss.training.run import train

WARMUP = 2  # of the decoder phase of tests/tiny.py


def silent(line):
    pass


def copy_of(run, folder, drop=(), step=None, phase=None):
    """A run folder as an earlier version, or an interruption, left it."""
    copy = shutil.copytree(run, folder)
    newest = load_latest(copy / CHECKPOINTS)
    meta = {k: v for k, v in newest.meta.items() if k not in drop}
    shutil.rmtree(copy / CHECKPOINTS)
    step = newest.step if step is None else step
    save_checkpoint(copy / CHECKPOINTS, Checkpoint(step, newest.arrays, meta))
    if phase is not None:
        found = read_json(copy / "phase.json") | phase
        (copy / "phase.json").write_text(json.dumps(found))
    return copy


OLD = ("mask_updates",)


def test_every_checkpoint_counts_with_the_runs_before(
    decoder_run, transfer_run
):
    first = STEPS - WARMUP
    assert count_mask_updates(decoder_run[0]) == first
    assert read_json(decoder_run[0] / "results.json")["mask_updates"] == first
    files = list_checkpoints(transfer_run[0] / CHECKPOINTS)
    counted = [read_meta(path)["mask_updates"] for path in files]
    assert counted == [first + 8, first + 12]
    assert untrained_sentence(transfer_run[0]) == ""


def test_runs_of_earlier_versions_are_computed(
    decoder_run, transfer_run, tmp_path
):
    old = copy_of(decoder_run[0], tmp_path / "decoder", OLD)
    assert count_mask_updates(old) == STEPS - WARMUP
    start = {"init_from": str(old)}
    later = copy_of(transfer_run[0], tmp_path / "t", OLD, phase=start)
    assert count_mask_updates(later) == 2 * STEPS - WARMUP
    # Of a run that is gone nothing is known; of one that names itself, too.
    shutil.rmtree(old)
    assert count_mask_updates(later) == STEPS
    circle = {"init_from": str(tmp_path / "c")}
    circle = copy_of(transfer_run[0], tmp_path / "c", OLD, phase=circle)
    assert count_mask_updates(circle) == 2 * STEPS


def test_a_run_within_its_warm_up_is_refused(decoder_run, tmp_path):
    early = copy_of(decoder_run[0], tmp_path / "early", OLD, step=WARMUP)
    with pytest.raises(ConfigError, match="repeat its training command") as e:
        Predictor.from_workdir(early)
    assert str(early) in str(e.value)
    assert f"step {WARMUP}" in str(e.value)
    found = Predictor.from_workdir(early, allow_untrained_decoder=True)
    assert found.mask_updates == 0
    assert found.warning == str(e.value)
    assert Predictor.from_workdir(decoder_run[0]).warning == ""


def test_stream_s_within_its_warm_up_is_refused(prior_run, tmp_path):
    early = copy_of(prior_run[0], tmp_path / "early", OLD, step=PRIOR_WARMUP)
    with pytest.raises(ConfigError, match="taught the stream S of this run"):
        Predictor.from_workdir(early)


def test_a_run_that_never_leaves_its_warm_up_is_refused(decoder_run, tmp_path):
    run = copy_of(decoder_run[0], tmp_path / "run", OLD)
    config = read_json(run / "config.json")
    config["phases"]["decoder"]["warmup_steps"] = STEPS
    (run / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match=r"warmup_steps is 12 .*steps 12"):
        Predictor.from_workdir(run)


@pytest.fixture(scope="module")
def attention_run(decoder_run, tmp_path_factory):
    """A run of tags alone: the weights do not matter here."""
    folder = tmp_path_factory.mktemp("runs") / "attention"
    phase = {"phase": "attention"}
    return copy_of(decoder_run[0], folder, OLD, phase=phase)


@pytest.mark.parametrize(
    ("script", "flags"),
    [
        ("predict.py", ["tests/tiny.py", "--out={}/out"]),
        ("export/__main__.py", ["--out={}/1"]),
    ],
)
def test_commands_refuse_an_attention_run(
    attention_run, tmp_path, script, flags
):
    flags = [flag.format(tmp_path) for flag in flags]
    done = run_script(script, f"--workdir={attention_run}", *flags)
    assert done.returncode == 2
    (line,) = [x for x in done.stderr.splitlines() if x.startswith("error: ")]
    assert "no mask has taught the decoder" in line
    assert f"--phase transfer --init_from {attention_run}" in line
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_evaluate_says_it_first(attention_run, shapes_dir, tmp_path):
    done = run_script(
        "evaluate.py", f"--workdir={attention_run}", f"--out={tmp_path}",
        "--limit=1", "--noaugment", "--norefine", data=shapes_dir,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    sentence = "no mask has taught the decoder of this run"
    lines = [x for x in done.stderr.splitlines() if x.startswith("warning: ")]
    assert [sentence in line for line in lines] == [True]
    results = read_json(tmp_path / "results.json")
    assert sentence in results["warning"]
    assert results["mask_updates"] == 0
    methods = {row["method"] for row in results["rows"]}
    assert "TransferNet (untrained decoder)" in methods
    assert "TransferNet" not in methods
    assert "class activation maps" in methods
    text = (tmp_path / "results.md").read_text()
    assert sentence in text.splitlines()[0]
    report = (tmp_path / "report.html").read_text()
    assert report.index(sentence) < report.index("<h1>")


@pytest.mark.parametrize(
    ("phase", "field"),
    [
        ("decoder", "phases.decoder.warmup_steps"),
        ("joint", "phases.joint.warmup_steps"),
    ],
)
def test_training_refuses_a_warm_up_without_end(
    shapes_dir, tmp_path, phase, field
):
    make = tiny_config if phase == "decoder" else tiny_prior_config
    config = make(shapes_dir)
    config = config.replace(
        {f"phases.{phase}.warmup_steps": config.phases[phase].steps}
    )
    with pytest.raises(ConfigError, match=f"config.{field} is") as error:
        train(config, phase, tmp_path / "run", log=silent)
    assert f"make --config.{field} less than the steps" in str(error.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("eager")
def test_training_ends_with_what_predicting_would_say(
    shapes_dir, decoder_run, tmp_path
):
    config = tiny_config(shapes_dir).replace(
        {
            "phases.attention.steps": 1,
            "train.examples": 0,
            "train.keep_best": True,
        }
    )
    lines, run = [], tmp_path / "run"
    train(config, "attention", run, log=lines.append)
    assert lines[-1] == f"warning: {untrained_sentence(run)}"
    assert "no mask has taught the decoder of this run" in lines[-1]
    # By noise nothing is chosen.
    said = "train.keep_best keeps nothing: --phase attention teaches no masks."
    assert f"config.{said}" in lines
    assert not (run / "best").exists()
    assert "no mask" not in decoder_run[1].stdout


@pytest.mark.usefixtures("eager")
def test_training_ends_with_a_warning_where_all_masks_are_empty(
    shapes_dir, monkeypatch, tmp_path
):
    config = tiny_config(shapes_dir).replace({"train.examples": 0})

    monkeypatch.setattr(HeldOut, "scores", lambda self: {"mask_iou": 0.0})
    lines = []
    train(config, "decoder", tmp_path / "run", log=lines.append)
    assert "warning: the masks of all held-out source pictures" in lines[-1]


def test_a_weight_of_zero_teaches_nothing(shapes_dir):
    config = tiny_config(shapes_dir)
    config = config.replace({"train.mask_weight": 0.0})
    assert own_mask_updates(config, "decoder", 100) == 0
    with pytest.raises(ConfigError, match=r"give --config\.train\.mask_weight"):
        check_masks_will_be_learned(config, "decoder", None, silent)
    check_masks_will_be_learned(config, "attention", None, silent)


def test_a_learned_decoder_may_stay_as_it_is_and_that_is_said(
    shapes_dir, decoder_run, attention_run
):
    config = tiny_config(shapes_dir)
    config = config.replace(
        {"phases.transfer.warmup_steps": config.phases.transfer.steps}
    )
    lines = []
    check_masks_will_be_learned(
        config, "transfer", decoder_run[0], lines.append
    )
    (line,) = lines
    assert f"its masks stay those of {decoder_run[0]}" in line
    with pytest.raises(ConfigError, match="no mask would ever teach"):
        check_masks_will_be_learned(config, "transfer", attention_run, silent)


def test_a_description_is_read_without_the_arrays(tmp_path):
    arrays = {"a": np.zeros(3, np.float32)}
    path = save_checkpoint(tmp_path, Checkpoint(7, arrays, {"phase": "x"}))
    assert read_meta(path) == {"phase": "x", "step": 7}
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match="damaged checkpoint"):
        read_meta(path)


def test_a_phase_that_there_is_not_is_named(decoder_run, tmp_path):
    odd = {"phase": "decode"}
    run = copy_of(decoder_run[0], tmp_path / "run", OLD, phase=odd)
    with pytest.raises(ConfigError, match=r"phase\.json: .* 'decode'"):
        Predictor.from_workdir(run)
