"""Visible labels of a large file's pictures, by processes of their own.

Most of what it takes holds Python's lock, so threads would not help. The
processes are plain ones: a fork would copy what TensorFlow has begun, and the
script of a user may do its work when it is imported.
"""

import contextlib
import marshal
import os
import queue
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, BinaryIO, TypeAlias

from keras_wsss.data.annotations import HeldInstances
from keras_wsss.data.file_notes import looks_of
from keras_wsss.data.formats.coco_entries import WrongError
from keras_wsss.data.formats.filed_instances import (
    FiledInstances,
    Place,
    read_instances,
)
from keras_wsss.data.instance_masks import InstanceMask, Roles
from keras_wsss.errors import DataError
from keras_wsss.side_by_side import side_by_side

TOGETHER = 200  # pictures that a process is given at a time
_LARGEST = 1 << 32  # bytes of a message
_SERVE = "from keras_wsss.data.painting import serve; serve()"
# What whoever asks finds again, and tells of.
_FAULTS = (DataError, WrongError, KeyError, OSError, TypeError, ValueError)

# Labels of a picture, and where its instances stand.
Task: TypeAlias = tuple[tuple[int, ...], tuple]


class PaintedAhead:
    """What is hidden in pictures, found while others are being asked for.

    A picture that no process could tell of, as one of them has died, the file
    has changed or the picture is at fault, is left to whoever asks.

    Args:
        instances: of the pictures.
        roles: what these become.
        min_pixels: of a label that is visible.
        count: pictures of the file.
        task: from the row of a picture to its labels and `Place`; None if
            nobody will ask for it. Called in threads.
        processes: that paint.
    """

    def __init__(
        self,
        instances: FiledInstances,
        roles: Roles,
        min_pixels: int,
        count: int,
        task: Callable[[int], Task | None],
        processes: int,
    ):
        self._task, self._count = task, count
        roles_of = [[*part.items()] for part in (roles.single, roles.crowd)]
        about = (str(instances.path), instances.looks, roles_of, min_pixels)
        self._all: list[_Process] = []
        # Those that wait for work; None stands for one that died.
        self._idle: queue.SimpleQueue[_Process | None] = queue.SimpleQueue()
        for _ in range(processes):
            process = None
            with contextlib.suppress(OSError):
                process = _Process(about)
                self._all.append(process)
            self._idle.put(process)
        self._results = side_by_side(
            self._work, range(0, count, TOGETHER), processes, processes
        )
        self._end = 0  # of the rows that were taken from there
        self._hidden: dict[int, Any] = {}  # of the last ones

    def hidden(self, row: int) -> tuple[int, ...] | None:
        """Labels of a picture that are hidden; None if it is not known.

        Args:
            row: of the picture among all; ascending from call to call.
        """
        while row >= self._end:
            self._hidden = next(self._results)
            self._end += TOGETHER
        return self._hidden.get(row)

    def close(self) -> None:
        """Ends the processes, whatever they do."""
        for process in self._all:
            process.kill()
        self._results.close()  # waits for the threads
        for process in self._all:
            process.close()

    def _work(self, first: int) -> dict[int, Any]:
        rows = range(first, min(first + TOGETHER, self._count))
        tasks = {row: task for row in rows if (task := self._task(row))}
        process = self._idle.get()
        try:
            if process is None or not tasks:
                return {}
            return process.ask([(r, *task) for r, task in tasks.items()])
        except (EOFError, OSError, TypeError, ValueError):
            if process is not None:
                process.kill()
            process = None
            return {}
        finally:
            self._idle.put(process)


class _Process:
    """A process that runs `serve`.

    Args:
        about: what `serve` begins with.

    Raises:
        OSError: it cannot be started.
    """

    def __init__(self, about: Any):
        # The same modules, whatever was done to find them.
        code = f"import sys; sys.path[:] = {[*map(str, sys.path)]}; {_SERVE}"
        self._process = subprocess.Popen(
            [sys.executable or "", "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._about = [about]

    def ask(self, value: Any) -> Any:
        """What it answers. Raises `OSError` or `EOFError` if it has died."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        for each in (*self._about, value):
            _send(self._process.stdin, each)
        self._about.clear()
        return _receive(self._process.stdout)

    def kill(self) -> None:
        """Lets nobody wait for it any more."""
        self._process.kill()

    def close(self) -> None:
        """Waits until it is gone."""
        with contextlib.suppress(OSError):  # what it never read
            self._process.__exit__(None, None, None)


def _send(file: IO[bytes], value: Any) -> None:
    data = marshal.dumps(value)
    file.write(struct.pack("=Q", len(data)) + data)
    file.flush()


def _receive(file: IO[bytes]) -> Any:
    sizes = file.read(8)
    if len(sizes) == 8:
        (size,) = struct.unpack("=Q", sizes)
        # More is something else that was printed.
        data = file.read(size) if size < _LARGEST else b""
        if len(data) == size:
            return marshal.loads(data)
    raise EOFError


def serve() -> None:
    """What a process does until its input ends."""
    source, sink = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what anything prints meanwhile
    with contextlib.suppress(EOFError):
        path, looks, parts, min_pixels = _receive(source)
        roles = Roles(*map(dict, parts))
        with open(path, "rb") as file:
            while True:
                found = {}
                for row, labels, place in _receive(source):
                    with contextlib.suppress(*_FAULTS):
                        found[row] = _hidden(
                            file, roles, min_pixels, labels, Place(*place)
                        )
                _send(sink, found if looks_of(path) == looks else {})


def _hidden(
    file: BinaryIO,
    roles: Roles,
    min_pixels: int,
    labels: tuple[int, ...],
    place: Place,
) -> tuple[int, ...]:
    """Those of some labels that are hidden in a picture."""
    mask = InstanceMask(
        Path(file.name),
        place.image,
        HeldInstances({place.id: tuple(read_instances(file, place))}),
        roles,
    )
    visible = mask.visible(labels, min_pixels)
    return tuple(label for label in labels if label not in visible)
