"""Runs of one or several worker processes on this machine, for tests."""

import dataclasses
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

from tiny import REPOSITORY

FORKER = Path(__file__).with_name("fork_workers.py")


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a process ended."""

    code: int
    seconds: float
    output: str

    @property
    def errors(self) -> list[str]:
        """The lines of user errors."""
        lines = self.output.splitlines()
        return [line for line in lines if line.startswith("error: ")]


class WorkerRuns:
    """Starts processes from one that has imported TensorFlow; close at last.

    Args:
        folder: gets what the processes print.
        data: folder that tests/tiny.py reads.
    """

    def __init__(self, folder: Path, data: Path):
        self._folder = folder
        self._number = 0
        self._forker = subprocess.Popen(
            [sys.executable, str(FORKER)],
            cwd=REPOSITORY,
            env={
                **os.environ,
                "KERAS_WSSS_TINY": str(data),
                "PYTHONPATH": os.pathsep.join(
                    map(str, (REPOSITORY, REPOSITORY / "tests"))
                ),
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def close(self) -> None:
        """Ends the process that starts the others."""
        self._forker.stdin.close()
        self._forker.wait(60)

    def __call__(
        self,
        flags: list[str] = (),
        count: int = 2,
        codes: dict[int, str] | None = None,
        script: str | None = "train.py",
        only: tuple[int, ...] | None = None,
        more: dict[int, list[str]] | None = None,
        seconds: float = 500,
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
            task = {"type": "worker", "index": index}
            value = {"cluster": {"worker": addresses}, "task": task}
            workers.append(
                {
                    "script": script,
                    "argv": [*flags, *(more or {}).get(index, [])],
                    "env": {"TF_CONFIG": json.dumps(value)},
                    "code": (codes or {}).get(index, ""),
                    "log": str(self._folder / f"{self._number}.log"),
                }
            )
        request = {
            "seconds": seconds,
            "enough": len(workers) if enough is None else enough,
            "workers": workers,
        }
        self._forker.stdin.write(json.dumps(request) + "\n")
        self._forker.stdin.flush()
        ends = json.loads(self._forker.stdout.readline())
        return [
            Ended(code, passed, Path(worker["log"]).read_text())
            for (code, passed), worker in zip(ends, workers, strict=True)
        ]


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens at, all different."""
    servers = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [server.getsockname()[1] for server in servers]
    for server in servers:
        server.close()
    return ports
