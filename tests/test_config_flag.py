"""`--config` and its overrides, as absl parses them."""

import json
import subprocess
import sys

from tiny import REPOSITORY

from keras_wsss.config_files import config_of_run, load_config

PROGRAM = """
import json, sys
from keras_wsss.commands.cli import run_app
from keras_wsss.commands.config_flag import define_config
from keras_wsss.config import to_json
FLAG = define_config("A config.")
run_app(lambda argv: print(json.dumps(to_json(FLAG.load()))))
"""


def parsed(*arguments):
    """The config of a command line, or the sentence that refuses it."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    if done.returncode:
        assert done.returncode == 2
        return done.stderr.strip()
    return config_of_run(json.loads(done.stdout))


def test_fields_are_overridden(tmp_path):
    path = tmp_path / "flags.txt"
    path.write_text("--config.train.seed=3\n--config.decoder.steps=7\n")
    assert parsed(
        "--config=mini60",
        f"--flagfile={path}",
        "--config.train.keep_best",
        "--noconfig.image.mirror",
        "--config.train.deterministic=True",
        "--config.inference.tag_threshold=None",
        "--config.split.target=('a b', \"c\")",
        "--config.split.source=d,e",
        "--config.transfer.target_pairs=8",
        "--config.feature_cache=",
        "--config.data.eval_root",
        "somewhere",
    ) == load_config("mini60").replace(
        {
            "train": {"seed": 3, "keep_best": True, "deterministic": True},
            "phases.decoder.steps": 7,
            "image.mirror": False,
            "split": {"target": ("a b", "c"), "source": ("d", "e")},
            "phases.transfer.target_pictures": 8,
            "cache.folder": "",
            "data.eval_root": "somewhere",
        }
    )


def test_what_is_wrong_is_one_sentence(tmp_path):
    path = tmp_path / "own.json"
    path.write_text('{"train": {"seed": "one"}}')
    for arguments, told in (
        (["--config.train.seed=1"], "Give a configuration: --config NAME_OR"),
        (["--config=mini6"], "mini6: there is no such file, and no built-in"),
        ([f"--config={path}"], "own.json: a field has the wrong type (train."),
        (["--config=mini60", "--config.trian.seed=1"], "mean train.seed?"),
        (["--config=mini60", "--config.split.source=('a'"], "not a list of"),
        (
            ["--config=mini60", "--config.transfer.steps=1",
             "--config.phases.transfer.steps=2"],
            "is given too, with another value",
        ),
    ):  # fmt: skip
        text = parsed(*arguments)
        assert text.startswith("error: ")
        assert told in text
        assert "\n" not in text


def test_help_lists_the_config_alone():
    done = subprocess.run(
        [sys.executable, "-m", "keras_wsss", "train", "--help"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "--config:" in done.stdout
    assert "--config.train.seed:" not in done.stdout
    assert "overlap_weight" not in done.stdout
