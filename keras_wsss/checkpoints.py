"""Checkpoints: arrays and a description in one file, verified on reading."""

import contextlib
import dataclasses
import hashlib
import json
import math
import os
import re
import zipfile
import zlib
from collections.abc import Mapping
from concurrent import futures
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np

from keras_wsss.errors import DataError
from keras_wsss.files import atomic_path

_NAME = re.compile(r"step_(\d{9})\.npz")
_META = "meta.json"
_DIGEST = "sha256"
_ZIP = b"PK\x03\x04"
# What reading a damaged archive was seen to raise, by the bytes that changed:
# directory, header, content, or a compression or encryption flag.
_DAMAGE = (
    AttributeError,
    EOFError,
    KeyError,
    MemoryError,
    OSError,
    OverflowError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
)


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds.

    Attributes:
        step: updates done.
        arrays: name to array: weights ("model/...") and the optimizer's
            variables ("optimizer/...").
        meta: JSON values: config, phase, versions.
    """

    step: int
    arrays: Mapping[str, np.ndarray]
    meta: Mapping[str, Any]


def save_checkpoint(
    folder: Path, checkpoint: Checkpoint, keep: int = 2
) -> Path:
    """Writes a checkpoint atomically, then removes the oldest ones.

    What killed processes left half written is removed first: one process at
    a time writes to a folder.

    The file is an uncompressed NumPy archive of plain arrays (no pickle). Its
    SHA-256 covers all of them, so that damage is noticed.

    Args:
        folder: where checkpoints lie.
        checkpoint: what to save.
        keep: newest files to keep, at least 1.

    Returns:
        Path of the new file.

    Raises:
        DataError: it could not be written; the ones before are intact.
    """
    path = folder / f"step_{checkpoint.step:09d}.npz"
    meta = json.dumps({**checkpoint.meta, "step": checkpoint.step})
    digest = _digest(checkpoint.arrays, meta)
    arrays: dict[str, Any] = {
        **{f"array/{key}": a for key, a in checkpoint.arrays.items()},
        **{_META: np.array(meta), _DIGEST: np.array(digest)},
    }
    for left in folder.glob(".step_*.npz.*"):
        left.unlink(missing_ok=True)
    try:
        with atomic_path(path) as temporary, open(temporary, "wb") as file:
            np.savez(file, **arrays)
    except OSError as error:
        raise DataError(
            f"{path}: the checkpoint could not be written "
            f"({error.strerror or error}). Make room and repeat the command; "
            "it goes on from the checkpoint before."
        ) from error
    for old in list_checkpoints(folder)[:-keep]:
        old.unlink(missing_ok=True)
    return path


class BackgroundWriter:
    """Writes checkpoints beside the training, one after the other.

    Those of large networks take many seconds. Entered, it has written the
    last one when it is left.
    """

    def __init__(self):
        self._pool = futures.ThreadPoolExecutor(1)
        self._last: futures.Future[Path] | None = None

    def __enter__(self) -> "BackgroundWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def save(self, folder: Path, checkpoint: Checkpoint, keep: int) -> None:
        """As `save_checkpoint`, when the one before is written.

        Args:
            folder: where checkpoints lie.
            checkpoint: what to save; its arrays must not change any more.
            keep: newest files to keep, at least 1.

        Raises:
            DataError: the one before could not be written.
        """
        self.wait()
        self._last = self._pool.submit(
            save_checkpoint, folder, checkpoint, keep
        )

    def wait(self) -> None:
        """Returns when all is written. Raises `DataError` if it was not."""
        last, self._last = self._last, None
        if last is not None:
            last.result()


def list_checkpoints(folder: Path) -> list[Path]:
    """Checkpoint files in a folder, oldest first."""
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if _NAME.fullmatch(p.name))


def load_checkpoint(path: Path) -> Checkpoint:
    """Reads and verifies a checkpoint.

    Raises:
        DataError: missing, truncated, changed, or not a checkpoint.
    """
    try:
        # Opened here: np.load leaves a damaged file open.
        with open(path, "rb") as file:
            if file.read(len(_ZIP)) != _ZIP:
                raise ValueError("it is no archive of arrays")
            _check_entries(file)
            file.seek(0)
            archive = np.load(file, allow_pickle=False)
            arrays = {
                key.removeprefix("array/"): archive[key]
                for key in archive.files
                if key.startswith("array/")
            }
            meta, digest = str(archive[_META]), str(archive[_DIGEST])
            values = json.loads(meta)
            step = values.pop("step")
            if not isinstance(step, int):
                raise ValueError(f"its step is {step!r}")
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such checkpoint.") from error
    except _DAMAGE as error:
        raise DataError(f"{path}: damaged checkpoint ({error}).") from error
    if _digest(arrays, meta) != digest:
        raise DataError(
            f"{path}: damaged checkpoint (its content does not match its "
            "SHA-256)."
        )
    return Checkpoint(step, arrays, values)


def read_meta(path: Path) -> dict[str, Any]:
    """The description in a checkpoint alone, with its "step".

    The arrays are not read, so nothing is verified: for whoever has loaded
    the checkpoint, or only wants to know.

    Raises:
        DataError: missing, truncated, or not a checkpoint.
    """
    try:
        with open(path, "rb") as file:
            _check_entries(file)
            file.seek(0)
            found = json.loads(str(np.load(file, allow_pickle=False)[_META]))
            if not isinstance(found["step"], int):
                raise ValueError(f"its step is {found['step']!r}")
            return found
    except _DAMAGE as error:
        raise DataError(f"{path}: damaged checkpoint ({error}).") from error


def load_latest(folder: Path, log=print) -> Checkpoint | None:
    """The newest sound checkpoint of a folder, or None if there is none.

    A damaged one is passed over, and said so.
    """
    found = find_latest(folder, log)
    return None if found is None else found[1]


def find_latest(folder: Path, log=print) -> tuple[Path, Checkpoint] | None:
    """As `load_latest`, with the path of the checkpoint's file."""
    for path in reversed(list_checkpoints(folder)):
        with contextlib.suppress(FileNotFoundError):
            try:
                return path, load_checkpoint(path)
            except DataError as error:
                log(f"{error} Using the one before, if there is one.")
    return None


def _check_entries(file: BinaryIO) -> None:
    """Refuses an archive that unpacks to more than it takes on disk.

    Ours are not compressed; one that is may be made to fill the memory.
    """
    size = os.fstat(file.fileno()).st_size
    with zipfile.ZipFile(file) as archive:
        for entry in archive.infolist():
            with archive.open(entry) as array:
                size -= _declared_bytes(array)
    if size < 0:
        raise ValueError("its arrays are larger than the file")


def _declared_bytes(array: IO[bytes]) -> int:
    version = np.lib.format.read_magic(array)
    if version != (1, 0):
        raise ValueError(f"its arrays are of NumPy's format {version}")
    shape, _, dtype = np.lib.format.read_array_header_1_0(array)
    return math.prod(shape) * dtype.itemsize


def _digest(arrays: Mapping[str, np.ndarray], meta: str) -> str:
    digest = hashlib.sha256(meta.encode())
    for key in sorted(arrays):
        array = np.ascontiguousarray(arrays[key])
        digest.update(f"{key}{array.dtype.str}{array.shape}".encode())
        digest.update(array.data)
    return digest.hexdigest()
