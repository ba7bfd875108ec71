"""What grows with the data and is seldom asked for, kept out of the memory.

It goes to temporary files without a name, so that nothing is left of them
however a process ends. They are read, not mapped: pages that were touched once
would count as memory.
"""

import marshal
import os
import sys
import tempfile
import weakref
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, Any

import numpy as np

_HELD = 1 << 18  # bytes in memory
_ROWS = 1 << 14  # of a column that are read at a time
_TOGETHER = 256  # values that are


class Aside:
    """Bytes that grow at their end, of which the last ones are in memory.

    Where no temporary file can be written, all are. Threads may read them
    side by side, and processes that were forked.

    Args:
        data: what they begin with.
    """

    def __init__(self, data: bytes = b""):
        self._file = -1  # its descriptor
        self._process = os.getpid()
        self._most = _HELD
        self._filed = 0
        self._held = bytearray()
        self.append(data)

    def __len__(self) -> int:
        return self._filed + len(self._held)

    def __reduce__(self) -> tuple[type, tuple[bytes]]:
        return Aside, (self.read(0, len(self)),)

    def append(self, data: bytes | memoryview) -> None:
        """Adds bytes behind the others."""
        self._held += data
        if len(self._held) > self._most:
            self._write()

    def read(self, start: int, stop: int) -> bytes:
        """A part of them, which must be there."""
        filed = self._filed
        if start >= filed:
            return bytes(self._held[start - filed : stop - filed])
        wanted = min(stop, filed) - start
        data = os.pread(self._file, wanted, start)
        while len(data) < wanted:  # the system gives 2 GB at most
            more = os.pread(self._file, wanted - len(data), start + len(data))
            if not more:
                raise OSError("a temporary file has become shorter")
            data += more
        return data + self._held[: stop - filed] if stop > filed else data

    def _write(self) -> None:
        data = memoryview(bytes(self._held))
        try:
            # The file of a process that was forked is that of its parent;
            # Windows cannot read at a place without moving there.
            if os.getpid() != self._process or not hasattr(os, "pread"):
                raise OSError
            if self._file < 0:
                with tempfile.TemporaryFile() as file:
                    self._file = os.dup(file.fileno())
                # Threads may read to the very end of the process.
                weakref.finalize(self, os.close, self._file).atexit = False
            done = 0
            while done < len(data):
                done += os.pwrite(self._file, data[done:], self._filed + done)
        except OSError:
            self._most = sys.maxsize
            return
        self._filed += len(data)
        self._held = bytearray()


class Spool(Sequence[Any]):
    """Values that `marshal` can write, made anew whenever they are asked for.

    Args:
        values: what it holds, in their order.
    """

    def __init__(self, values: Iterable[Any] = ()):
        self._bytes = Aside()
        self._ends = array("q", [0])
        for value in values:
            self.append(value)

    def append(self, value: Any) -> None:
        """Adds a value behind the others."""
        self._bytes.append(marshal.dumps(value))
        self._ends.append(len(self._bytes))

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, index: Any) -> Any:
        row = range(len(self))[index]
        return marshal.loads(
            self._bytes.read(self._ends[row], self._ends[row + 1])
        )

    def __iter__(self) -> Iterator[Any]:
        for row in range(0, len(self), _TOGETHER):
            ends = self._ends[row : row + _TOGETHER + 1]
            start = ends[0]
            data = self._bytes.read(start, ends[-1])
            for end in ends[1:]:
                yield marshal.loads(data[start - ends[0] : end - ends[0]])
                start = end


class SpooledSet:
    """Values that `marshal` can write, each once, in some 20 bytes each."""

    def __init__(self):
        self._values = Spool()
        # Of each slot: half a hash, and the place of the value from 1.
        self._slots = array("Q", bytes(8 * 1024))

    def __contains__(self, value: Any) -> bool:
        return self._slots[self._slot(value)[0]] != 0

    def add(self, value: Any) -> None:
        """Adds a value that may be there."""
        slot, half = self._slot(value)
        if self._slots[slot]:
            return
        self._values.append(value)
        self._slots[slot] = half << 32 | len(self._values)
        if 3 * len(self._values) > 2 * len(self._slots):
            self._grow()

    def _slot(self, value: Any) -> tuple[int, int]:
        """Where a value is or would be, and half of its hash."""
        # Integers are their own hashes, and would stand in a row.
        half = hash((value,)) & 0xFFFFFFFF
        slot = half % len(self._slots)
        while found := self._slots[slot]:
            place = (found & 0xFFFFFFFF) - 1
            if found >> 32 == half and self._values[place] == value:
                break
            slot = (slot + 1) % len(self._slots)
        return slot, half

    def _grow(self) -> None:
        old, size = self._slots, 2 * len(self._slots)
        self._slots = array("Q", bytes(8 * size))
        for found in filter(None, old):
            slot = (found >> 32) % size
            while self._slots[slot]:
                slot = (slot + 1) % size
            self._slots[slot] = found


class Column:
    """Rows of numbers, of which slices are read.

    Args:
        rows: what it begins with; all rows are of its type and width.
    """

    def __init__(self, rows: np.ndarray):
        self._type, self._width = rows.dtype, rows.shape[1:]
        self._size = rows.itemsize * int(np.prod(self._width))
        self._bytes = Aside()
        self.append(rows)

    @classmethod
    def of_npy(cls, file: IO[bytes]) -> "Column":
        """Reads the content of a .npy file of rows.

        Raises:
            ValueError: it is none, or one of other things than numbers.
        """
        version = np.lib.format.read_magic(file)
        if version != (1, 0):
            raise ValueError(f"version {version} of the format")
        shape, by_columns, kind = np.lib.format.read_array_header_1_0(file)
        if by_columns or kind.hasobject or not shape:
            raise ValueError("no rows of numbers")
        column = cls(np.zeros((0, *shape[1:]), kind))
        while block := file.read(_HELD):
            column.append_bytes(block)
        return column

    def append(self, rows: np.ndarray) -> None:
        """Adds rows behind the others."""
        for first in range(0, len(rows), _ROWS):
            part = rows[first : first + _ROWS].astype(self._type, copy=False)
            self._bytes.append(part.tobytes())

    def append_bytes(self, data: bytes) -> None:
        """The same, as they lie in memory."""
        self._bytes.append(data)

    def __len__(self) -> int:
        return len(self._bytes) // self._size

    def __getitem__(self, part: slice) -> np.ndarray:
        first, last, _ = part.indices(len(self))
        data = self._bytes.read(first * self._size, last * self._size)
        return np.frombuffer(data, self._type).reshape(-1, *self._width)

    def blocks(self) -> Iterator[np.ndarray]:
        """All rows, some at a time."""
        for first in range(0, len(self), _ROWS):
            yield self[first : first + _ROWS]

    def write_npy(self, file: IO[bytes]) -> None:
        """Writes what `of_npy` reads."""
        header = {
            "descr": np.lib.format.dtype_to_descr(self._type),
            "fortran_order": False,
            "shape": (len(self), *self._width),
        }
        np.lib.format.write_array_header_1_0(file, header)
        for block in self.blocks():
            file.write(block.tobytes())
