"""Commands with a memory limit, and what they took."""

import resource

from tiny import REPOSITORY


def limited(megabytes: int) -> dict:
    """Arguments of `subprocess.run` for a command of the repository.

    The limit is on address space, of which imports alone take some: one
    gigabyte is added for them, and `peak_memory_mb` is looked at as well.
    """

    def limit() -> None:
        size = (megabytes + 1000) * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (size, size))

    return {"cwd": REPOSITORY, "preexec_fn": limit}


def peak_memory_mb() -> float:
    """Largest resident memory of any finished child of this process."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
