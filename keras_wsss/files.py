"""Files that appear complete or not at all, their digests and names."""

import contextlib
import hashlib
import json
import math
import os
import shutil
import tempfile
import threading
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# It can only be asked for by setting it: two threads would read each other's.
_ASKING_UMASK = threading.Lock()


def output_key(name: str) -> str:
    """What is equal of names that some file system does not tell apart.

    Some take A for a, or an accented letter for its parts.
    """
    return unicodedata.normalize("NFC", name).casefold()


def normal_name(name: str) -> str:
    """A name in the Unicode form in which names are compared (NFC)."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


@contextlib.contextmanager
def atomic_path(
    path: str | os.PathLike[str], durable: bool = True
) -> Iterator[Path]:
    """Yields a temporary path that becomes `path` when the block succeeds.

    The temporary file lies in the same folder, so the final `os.replace` is
    atomic; its content is flushed to disk first, so that a power cut cannot
    leave a renamed but empty file. When the block raises, `path` keeps its
    old content (or absence) and the temporary file is removed.

    Args:
        path: file to write; its folder is made when missing.
        durable: flush to disk. Not worth its time for thousands of files
            that whoever reads them checks, and can make again.

    Yields:
        Path of the temporary file, which the block must create.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(
        dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix
    )
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        if durable:
            with open(temporary, "rb") as file:
                os.fsync(file.fileno())
        # mkstemp makes files private; outputs follow the user's umask.
        with _ASKING_UMASK:
            umask = os.umask(0)
            os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a temporary folder that becomes `path` when the block succeeds.

    Args:
        path: folder to make; it must not exist yet.

    Yields:
        Path of an empty temporary folder beside `path`.

    Raises:
        FileExistsError: `path` exists.
    """
    path = Path(path)
    if path.exists():
        raise FileExistsError(f"{path} exists already")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        yield temporary
        os.chmod(temporary, 0o755)
        os.rename(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Writes `value` as indented, key-sorted JSON, atomically."""
    with atomic_path(path) as temporary:
        text = json.dumps(value, indent=2, sort_keys=True, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")


class JsonListFile:
    """Writes a JSON list one item at a time, so that none is kept.

    Args:
        path: file to write; give it a temporary one of `atomic_path`.
        begin: text before the first item.
        end: text after the last one; may be set until it is written.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        begin: str = "[",
        end: str = "]",
    ):
        self.end = end
        self._path, self._begin = path, begin
        self._separator = "\n"

    def __enter__(self) -> "JsonListFile":
        self._file = open(self._path, "w", encoding="utf-8")
        self._file.write(self._begin)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
        with self._file:
            if kind is None:
                self._file.write(f"\n{self.end}\n")

    def add(self, item: Any) -> None:
        """Writes one item."""
        text = json.dumps(item, sort_keys=True, allow_nan=False)
        self._file.write(f"{self._separator}{text}")
        self._separator = ",\n"


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Writes `text` as UTF-8, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def sha256(path: str | os.PathLike[str]) -> str:
    """Hexadecimal SHA-256 of a file's content."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def number_or_none(value: float) -> float | None:
    """`value` as a float, or None where it is NaN (for JSON)."""
    value = float(value)
    return None if math.isnan(value) else value
