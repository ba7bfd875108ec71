"""Runs of one or several worker processes on this machine, for tests."""

import dataclasses
import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

from tiny import REPOSITORY

_FOREIGN = re.compile(r"[IWE]0000 |WARNING: All log messages before absl")
# What runs in each process: the code of the test first, then the script.
_RUN = """
import os, runpy, sys
code, script, *flags = sys.argv[1:]
exec(code, {})
if script:
    sys.argv = [script, *flags]
    runpy.run_path(script, None, "__main__")
"""


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a process ended."""

    code: int
    seconds: float
    output: str

    @property
    def ours(self) -> str:
        """What was printed without TensorFlow's lines of its import."""
        lines = self.output.splitlines(keepends=True)
        return "".join(line for line in lines if not _FOREIGN.match(line))

    @property
    def errors(self) -> list[str]:
        """The lines of user errors."""
        lines = self.output.splitlines()
        return [line for line in lines if line.startswith("error: ")]


class WorkerRuns:
    """Starts processes and waits for them.

    Args:
        folder: gets what the processes print.
        data: folder that tests/tiny.py reads.
    """

    def __init__(self, folder: Path, data: Path):
        self._folder = folder
        self._number = 0
        self._environment = {
            **os.environ,
            "KERAS_WSSS_TINY": str(data),
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "PYTHONPATH": os.pathsep.join(
                map(str, (REPOSITORY, REPOSITORY / "tests"))
            ),
        }

    def __call__(
        self,
        flags: list[str] = (),
        count: int = 2,
        codes: dict[int, str] | None = None,
        script: str | None = "train.py",
        only: tuple[int, ...] | None = None,
        more: dict[int, list[str]] | None = None,
        seconds: float = 150,
        enough: int | None = None,
    ) -> list[Ended]:
        """Starts `count` workers with the same flags and waits for all.

        Args:
            flags: command line; "--strategy multi_worker" is added for
                several workers.
            count: 1 is an ordinary run.
            codes: Python to run first, by worker.
            script: what to run then.
            only: workers to start; all if None.
            more: further flags, by worker.
            seconds: after them, what still runs is killed.
            enough: the same when so many have ended; all if None.
        """
        ports = free_ports(count)
        addresses = [f"127.0.0.1:{port}" for port in ports]
        flags = [str(flag) for flag in flags]
        if count > 1:
            flags.append("--strategy=multi_worker")
        workers = []
        for index in range(count) if only is None else only:
            self._number += 1
            log = self._folder / f"{self._number}.log"
            task = {"type": "worker", "index": index}
            value = {"cluster": {"worker": addresses}, "task": task}
            with open(log, "w") as file:
                process = subprocess.Popen(
                    [
                        sys.executable,
                        "-c",
                        _RUN,
                        (codes or {}).get(index, ""),
                        script or "",
                        *flags,
                        *(more or {}).get(index, []),
                    ],
                    cwd=REPOSITORY,
                    env={**self._environment, "TF_CONFIG": json.dumps(value)},
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=subprocess.STDOUT,
                )
            workers.append((process, log))
        enough = len(workers) if enough is None else enough
        took = _wait([process for process, _ in workers], seconds, enough)
        return [
            Ended(process.returncode, took.get(process, 0.0), log.read_text())
            for process, log in workers
        ]


def _wait(
    processes: list[subprocess.Popen], seconds: float, enough: int
) -> dict[subprocess.Popen, float]:
    """Seconds that each process took; kills what is not to be waited for."""
    begin = time.monotonic()
    took = {}
    while len(took) < enough and time.monotonic() - begin < seconds:
        for process in processes:
            if process not in took:
                try:
                    process.wait(0.05)
                except subprocess.TimeoutExpired:
                    continue
                took[process] = time.monotonic() - begin
    for process in processes:
        if process not in took:
            process.kill()
            process.wait()
    return took


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens at, all different."""
    servers = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [server.getsockname()[1] for server in servers]
    for server in servers:
        server.close()
    return ports
