"""Commands with limits of memory and time, and what they took.

Time is processor time: the wall clock depends on what else runs.
"""

import contextlib
import os
import resource
import subprocess
import tempfile
import threading
import tracemalloc
from collections.abc import Iterator, Sequence
from pathlib import Path

from tiny import REPOSITORY

_HANGS_SECONDS = 600  # by the clock, on a machine that does much else


def run_limited(
    command: Sequence[str | Path], megabytes: int, seconds: int
) -> tuple[subprocess.CompletedProcess, float]:
    """Runs a command of the repository.

    The limit is on address space, of which imports alone take some: one
    gigabyte is added for them. A command that takes more than `seconds` of
    processor time is killed, and one that hangs without taking any.

    Returns:
        What it printed and its exit code, and its largest resident memory in
        megabytes.
    """

    def limit() -> None:
        size = (megabytes + 1000) * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (size, size))
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))

    command = list(map(str, command))
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen(
            command, cwd=REPOSITORY, preexec_fn=limit, stdout=out, stderr=err
        )
        timer = threading.Timer(_HANGS_SECONDS, process.kill)
        timer.start()
        # The memory of this very process, not of all before it.
        _, status, usage = os.wait4(process.pid, 0)
        timer.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        printed = []
        for file in (out, err):
            file.seek(0)
            printed.append(file.read().decode("utf-8", "replace"))
    done = subprocess.CompletedProcess(command, process.returncode, *printed)
    return done, usage.ru_maxrss / 1024


@contextlib.contextmanager
def growing_at_most(megabytes: float) -> Iterator[None]:
    """Fails when this process's resident memory peaks higher in the block.

    Unlike `allocating_at_most` it sees what native code allocates.
    """
    # The kernel's mark of the highest level is set to the present one.
    Path("/proc/self/clear_refs").write_text("5")
    before = _status_mb("VmRSS")
    yield
    grown = _status_mb("VmHWM") - before
    assert grown < megabytes, f"memory grew by {grown:.0f} MB"


def _status_mb(field: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    raise KeyError(field)


@contextlib.contextmanager
def allocating_at_most(megabytes: float) -> Iterator[None]:
    """Fails when Python and NumPy together allocate more in the block."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()
    assert peak < megabytes, f"{peak:.0f} MB were allocated"
