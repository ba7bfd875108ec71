"""What reading a large file found, kept for the next start."""

import contextlib
import hashlib
import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from keras_wsss.data.aside import Column
from keras_wsss.data.file_notes import is_fresh, looks_of
from keras_wsss.files import atomic_path

# Smaller files are read in less time than they are worth.
SMALLEST = 2_000_000  # bytes
_DAMAGED = (EOFError, KeyError, OSError, RuntimeError, ValueError)
_VERSION = 4  # of what readers find in a file


class ReadingIndex:
    """Arrays that were made of a file, believed while it looks unchanged.

    Each lies in a file of its own in a folder, with checksums. One that is
    damaged, or of a file that has changed, is none. Nothing is kept of files
    that changed just now, or are small. Processes may share the folder.

    Args:
        folder: made when missing; None keeps nothing.
        path: the file that is read.
    """

    def __init__(self, folder: str | Path | None, path: Path):
        self._folder = Path(folder) if folder else None
        self._path = path
        self.looks = looks_of(path)

    def load(self, *key: Any) -> dict[str, Column] | None:
        """What was saved under a key, or None.

        Args:
            key: JSON values that tell what is kept and all that it depends
                on besides the file.
        """
        if self._folder is None:
            return None
        try:
            with zipfile.ZipFile(self._place(key)) as found:
                columns = {}
                for name in found.namelist():
                    with found.open(name) as file:
                        columns[name.removesuffix(".npy")] = Column.of_npy(file)
            about = columns.pop("about")[:].tobytes().decode()
            return columns if about == self._about(key) else None
        except (*_DAMAGED, zipfile.BadZipFile):
            return None

    def save(
        self, arrays: Mapping[str, np.ndarray | Column], *key: Any
    ) -> None:
        """Keeps arrays under a key, if the folder can be written."""
        size = int(self.looks.split()[0])
        if self._folder is None or size < SMALLEST or is_fresh(self.looks):
            return
        with contextlib.suppress(OSError):  # nothing is lost but time
            if looks_of(self._path) != self.looks:
                return  # changed meanwhile
            text = self._about(key).encode()
            columns = {"about": np.frombuffer(text, np.uint8), **arrays}
            with (
                atomic_path(self._place(key)) as temporary,
                zipfile.ZipFile(temporary, "w") as found,
            ):
                for name, column in columns.items():
                    if isinstance(column, np.ndarray):
                        column = Column(column)
                    place = f"{name}.npy"
                    with found.open(place, "w", force_zip64=True) as file:
                        column.write_npy(file)

    def _about(self, key: tuple[Any, ...]) -> str:
        return json.dumps([_VERSION, self.looks, *key], sort_keys=True)

    def _place(self, key: tuple[Any, ...]) -> Path:
        assert self._folder is not None
        text = json.dumps([os.path.abspath(self._path), *key], sort_keys=True)
        name = hashlib.sha256(text.encode()).hexdigest()[:32]
        return self._folder / f"reading-{name}.npz"
