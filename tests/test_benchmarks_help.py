"""Benchmarks say what their flags are before they import TensorFlow."""

import subprocess
import sys

import pytest
from tiny import REPOSITORY

NAMES = [
    f"benchmarks.{path.stem}"
    for path in sorted((REPOSITORY / "benchmarks").glob("*.py"))
    if "__main__" in path.read_text(encoding="utf-8")
] + ["benchmarks.kill_anywhere"]
# Each in a process of its own, as absl's flags are those of one program.
ASK = """
import os, runpy, sys
from absl import app, flags
sys.modules.update(tensorflow=None, keras=None, tensorflow_serving=None)
for name in sys.argv[1:]:
    print(f"== {name}", flush=True)
    if child := os.fork():
        print("== code", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    else:
        sys.argv = [name, "--help"]
        runpy.run_module(name, run_name="__main__", alter_sys=True)
"""


@pytest.fixture(scope="module")
def answers():
    """What each benchmark says to --help."""
    done = subprocess.run(
        [sys.executable, "-c", ASK, *NAMES],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    parts = done.stdout.split("== benchmarks.")[1:]
    found = {f"benchmarks.{part.split()[0]}": part for part in parts}
    return found, done.stderr


def test_all_are_asked():
    assert len(NAMES) > 15


@pytest.mark.parametrize("name", NAMES)
def test_help_needs_no_tensorflow(answers, name):
    found, errors = answers
    assert found[name].rstrip().endswith("== code 0"), errors
    assert "--" in found[name].partition("== code")[0]
