"""The driver of kills: it kills where it says, and sees what is half there."""

import subprocess
import sys

import numpy as np
import pytest
from tiny import REPOSITORY

from benchmarks.kill_anywhere.processes import plain
from benchmarks.kill_anywhere.whole import (
    differences,
    leftovers,
    problems,
    without_times,
)
from keras_wsss.checkpoints import Checkpoint, save_checkpoint
from keras_wsss.files import write_json, write_text

# A process of its own: this one has threads, which a fork would lack.
KILL = """
import sys
from pathlib import Path
from benchmarks.kill_anywhere.processes import Operation, run
from keras_wsss.files import write_text

root = Path(sys.argv[1])

def command():
    for name in ("a", "b", "c"):
        write_text(root / f"{name}.txt", "whole\\n")

def forever():
    while True:
        pass

(root.parent / "root").mkdir()
place = (Operation("os.rename", "b.txt"), 1)
print(run(command, root, root.parent / "log1", at_operation=place).killed)
ended = run(forever, root, root.parent / "log2", at_seconds=0.2)
print(ended.killed, 0.1 < ended.seconds < 1)
ended = run(command, root, root.parent / "log3")
print(ended.killed, ended.code, len(ended.operations))
"""


def test_kills_come_where_they_should(tmp_path):
    root = tmp_path / "root"
    done = subprocess.run(
        [sys.executable, "-c", KILL, str(root)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    # Each file is made, opened, renamed, and its old name removed.
    assert done.stdout.splitlines() == ["True", "True True", "False 0 12"]
    (left,) = leftovers(root)
    assert left.name.startswith(".b.txt.")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("run/.results.json.ab12_d3z.json", "run/results.json"),
        ("c/0a/.0af.features.ab12_d3z.features", "c/0a/0af.features"),
        ("served/.1.ab12_d3z/manifest.json", "served/1/manifest.json"),
        ("run/results.json", "run/results.json"),
    ],
)
def test_temporary_names_lose_what_is_random(path, expected):
    assert plain(path) == expected


@pytest.fixture
def chains(tmp_path):
    """Two equal folders of a few files."""
    array = {"model/a": np.arange(5.0)}
    for name in ("killed", "unbroken"):
        root = tmp_path / name
        save_checkpoint(root / "run" / "checkpoints", Checkpoint(3, array, {}))
        write_json(root / "run" / "config.json", {"a": 1})
        write_text(root / "evaluation" / "report.html", "<html></html>")
        seconds = {"rows": [{"mean": 0.5, "milliseconds": len(name)}]}
        write_json(root / "evaluation" / "results.json", seconds)
        write_text(root / "cache" / "a.features", "features")
        # It notes paths and times of files, which no two chains share.
        write_json(root / "cache" / "pictures.json", {"files": name})
    return tmp_path / "killed", tmp_path / "unbroken"


def test_whole_chains_pass(chains):
    assert list(problems(*chains)) == []
    for folder in ("run", "evaluation", "cache"):
        assert list(differences(*chains, folder)) == []


@pytest.mark.parametrize(
    "name",
    [
        "run/checkpoints/step_000000003.npz",
        "run/config.json",
        "evaluation/report.html",
        "cache/a.features",
        "cache/pictures.json",
    ],
)
def test_a_half_file_is_named(chains, name):
    path = chains[0] / name
    path.write_bytes(path.read_bytes()[:-3])
    (found,) = problems(*chains)
    assert name in found


def test_an_export_without_manifest_is_named(chains):
    (chains[0] / "served" / "1").mkdir(parents=True)
    (found,) = problems(*chains)
    assert "served/1" in found


def test_other_weights_or_figures_are_named(chains):
    array = {"model/a": np.arange(5.0) + 1e-12}
    folder = chains[0] / "run" / "checkpoints"
    save_checkpoint(folder, Checkpoint(3, array, {}))
    (found,) = differences(*chains, "run")
    assert "step_000000003.npz differs" in found
    write_json(chains[0] / "evaluation" / "results.json", {"rows": []})
    (found,) = differences(*chains, "evaluation")
    assert "results.json differs" in found


def test_only_entries_of_the_machine_are_left_out():
    values = {"rows": [{"mean_iou": 0.5, "milliseconds": 3.0}], "seconds": {}}
    assert without_times(values) == {"rows": [{"mean_iou": 0.5}]}
