"""train.py and evaluate.py as a user meets them: help, and wrong input."""

import functools
import re

import pytest
from tiny import read_json, run_script

# Importing either then fails: what answers without them answers quickly.
NO_TENSORFLOW = """
import sys
sys.modules.update(tensorflow=None, keras=None)
"""


@functools.cache
def help_of(script: str):
    """What a script prints for --help."""
    return run_script(script, "--help", code=NO_TENSORFLOW)


def assert_one_sentence(done, *texts):
    """Exit code 2 and one clear line, after TensorFlow's own if any."""
    lines = done.stderr.strip().splitlines()
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert [line for line in lines if line.startswith("error: ")] == lines[-1:]
    for text in texts:
        assert text in lines[-1]


@pytest.mark.parametrize(
    ("script", "names"),
    [
        (
            "train.py",
            "phase config workdir init_from encoder_weights feature_cache "
            "strategy worker_timeout start_timeout skip_bad_images",
        ),
        (
            "evaluate.py",
            "workdir out eval_root eval_set augment refine crf dense_crf "
            "baselines max_pixels",
        ),
        ("predict.py", "workdir out tags augment refine crf max_pixels"),
        ("suggest.py", "workdir out tags_file images by count page augment"),
    ],
)
def test_help_lists_the_flags_without_tensorflow(script, names):
    done = help_of(script)
    assert "Traceback" not in done.stderr
    for name in names.split():
        assert f"--{name}:" in done.stdout or f"--[no]{name}:" in done.stdout
    assert "python" in done.stdout  # the command, from the script's docstring


def test_flags_of_quality_mean_the_same_everywhere():
    texts = set()
    for script in (
        "predict.py",
        "pseudo_labels.py",
        "evaluate.py",
        "export/__main__.py",
    ):
        done = help_of(script)
        # A flag's text ends where the next one begins.
        flags = re.findall(
            r"--\[no\](augment|refine|crf): (.*?)(?=\n  --)", done.stdout, re.S
        )
        assert len(flags) == 3, done.stdout
        texts.add(tuple(flags))
    assert len(texts) == 1
    assert "default:" not in str(texts)  # None: what the system does


@pytest.mark.parametrize(
    ("flags", "texts"),
    [
        (["--phase=decode"], ["--phase=decode", "decoder|transfer|attention"]),
        (["--phase=decoder", "--config=tests/none.py"], ["tests/none.py"]),
        (["--phase=decoder"], ["--config NAME_OR_FILE"]),
        (
            ["--phase=decoder", "--config=tests/tiny.py",
             "--config.train.sed=1"],
            ["--config.train.sed", "no field 'sed'"],
        ),
        (
            ["--phase=decoder", "--config=tests/tiny.py",
             "--config.train.seed=one"],
            ["--config.train.seed=one"],
        ),
        (["--phase=decoder", "--config=tests/small_data.py"], ["get_config"]),
        (["--phase=decoder", "--confg=x"], ["confg"]),
        (["--phase=decoder", "--config=tests/tiny.py", "more"], ["'more'"]),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else None,
)  # fmt: skip
def test_wrong_flags_of_train(flags, texts, tmp_path):
    workdir = tmp_path / "run"
    done = run_script(
        "train.py", *flags, f"--workdir={workdir}", code=NO_TENSORFLOW
    )
    assert_one_sentence(done, *texts)
    assert not workdir.exists()


def test_missing_flags():
    done = run_script("train.py", code=NO_TENSORFLOW)
    assert_one_sentence(done, "--phase must have a value", "--workdir must")


def test_missing_data_is_named(tmp_path):
    done = run_script(
        "train.py",
        "--phase=decoder",
        "--config=tests/tiny.py",
        f"--workdir={tmp_path / 'run'}",
        "--encoder_weights=",
        data=tmp_path / "nowhere",
    )
    assert_one_sentence(done, "nowhere/source/instances.json: no such file")
    assert not (tmp_path / "run").exists()


def test_evaluating_what_is_no_run(tmp_path):
    done = run_script("evaluate.py", f"--workdir={tmp_path}")
    assert_one_sentence(done, str(tmp_path), "--workdir of a training run")
    assert not list(tmp_path.iterdir())


def test_evaluation_changes_what_is_of_inference_alone(decoder_run, tmp_path):
    flags = [f"--workdir={decoder_run[0]}", f"--out={tmp_path}"]
    done = run_script("evaluate.py", *flags, "--config.train.seed=1")
    assert_one_sentence(done, "--config.train.seed is a matter of training")
    done = run_script(
        "evaluate.py", *flags, "--config.inference.background_factor=0"
    )
    assert_one_sentence(done, "config.inference.background_factor is 0.0; use")
    done = run_script(
        "evaluate.py", *flags, "--config.inference.background_factor=0.4",
        "--limit=1", "--noaugment", "--norefine", "--noreport",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    inference = read_json(tmp_path / "results.json")["inference"]
    assert inference["background_factor"] == 0.4
    assert inference["mask_threshold"] == 0.5


def test_a_run_says_what_computes_and_what_it_wrote(decoder_run):
    workdir, done = decoder_run
    assert done.stdout.startswith("Computing on ")
    # That the encoder runs at every update is not to be found out by waiting.
    assert "No feature cache: " in done.stdout
    assert done.stdout.splitlines()[-1].startswith(
        f"Done: {workdir}/results.json, "
    )
    assert read_json(workdir / "results.json")["phase"] == "decoder"
