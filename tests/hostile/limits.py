"""Commands with limits of memory and time, and what they took.

Time is processor time: the wall clock depends on what else runs.
"""

import contextlib
import resource
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

from tiny import REPOSITORY


def limited(megabytes: int, seconds: int) -> dict:
    """Arguments of `subprocess.run` for a command of the repository.

    The limit is on address space, of which imports alone take some: one
    gigabyte is added for them, and `peak_memory_mb` is looked at as well.
    A command that takes more than `seconds` of processor time is killed.
    """

    def limit() -> None:
        size = (megabytes + 1000) * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (size, size))
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))

    return {"cwd": REPOSITORY, "preexec_fn": limit}


def peak_memory_mb() -> float:
    """Largest resident memory of any finished child of this process."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


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
