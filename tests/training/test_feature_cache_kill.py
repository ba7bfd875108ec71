"""A build killed with SIGKILL leaves nothing that is mistaken for good."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
from kill_build import COUNT, make_cache
from small_encoder import write_pictures

CHILD = Path(__file__).with_name("kill_build.py")


def _build_and_kill(folder, lines):
    """Kills a building process once it has reported `lines` batches."""
    process = subprocess.Popen(
        [sys.executable, str(CHILD), str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=CHILD.parents[2],
        env={**os.environ, "PYTHONPATH": str(CHILD.parents[2])},
    )
    with process:
        seen = [process.stdout.readline() for _ in range(lines)]
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert seen[-1].startswith("feature cache:")
    assert process.returncode == -signal.SIGKILL


def test_killed_builds_are_resumed(tmp_path):
    broken = tmp_path / "broken"
    found = []
    for lines in (3, 25):
        _build_and_kill(broken, lines)
        found.append(len(list((broken / "cache").glob("??/[!.]*.features"))))
    assert 0 < found[0] < found[1] < 2 * COUNT
    records = write_pictures(broken / "pictures", COUNT)[:40]
    resumed = make_cache(broken)
    resumed.build(records, log=lambda line: None)
    results = resumed.results()
    assert results["hits"] > 0
    # Every entry, whoever made it, is what an unbroken build makes.
    unbroken = make_cache(tmp_path / "unbroken")
    unbroken.build(records, log=lambda line: None)
    for record in records:
        for view in range(2):
            got = resumed.read(record, view)
            expected = unbroken.read(record, view)
            np.testing.assert_array_equal(got.features, expected.features)
            for one, other in zip(got.levels, expected.levels, strict=True):
                np.testing.assert_array_equal(one, other)
    assert resumed.results()["rebuilt"] == 0
    assert resumed.results()["damaged"] == 0
