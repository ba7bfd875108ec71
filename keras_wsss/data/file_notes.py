"""What was found of files, believed as long as these look unchanged."""

import contextlib
import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from keras_wsss.files import atomic_path

# A file that changes twice within a tick of its file system's clock looks the
# same; of a file that is younger nothing is believed. FAT counts by 2 s.
FRESH_SECONDS = 3.0
_VERSION = 1


def looks_of(path: str | os.PathLike[str]) -> str:
    """What tells a changed file from an unchanged one without reading it.

    Size, time of the last change of content and of entry in ns, and inode:
    `touch`, `cp -p` and renaming over it are all seen.

    Raises:
        OSError: it cannot be looked at.
    """
    found = os.stat(path)
    return " ".join(
        map(
            str,
            (
                found.st_size,
                found.st_mtime_ns,
                found.st_ctime_ns,
                found.st_ino,
            ),
        )
    )


def is_fresh(looks: str) -> bool:
    """Whether a file of these looks may change again without looking so."""
    _, modified, changed, _ = map(int, looks.split())
    return max(modified, changed) > time.time_ns() - FRESH_SECONDS * 1e9


class FileNotes:
    """JSON values by file, in a file of their own.

    Threads may share it. Several processes may write it at the same time:
    each adds to what is there by then, and what one of them may lose by that
    is found again at a later start. A file of notes that cannot be read or
    written, or is of another kind, is none.

    Args:
        path: file of the notes.
        kind: what they tell and how it is found; others are not believed.
        use: whether to believe what is there; if not, all is found anew.
    """

    def __init__(self, path: Path, kind: str, use: bool = True):
        self.path = path
        self._kind = [kind, _VERSION]
        self._notes = self._load() if use else {}
        self._new: dict[str, list] = {}
        self._lock = threading.Lock()

    def get(self, path: str | os.PathLike[str], find: Callable[[], Any]) -> Any:
        """The value of a file, noted or found.

        Args:
            path: the file.
            find: reads the file; called where nothing is noted of it as it
                looks now.

        Raises:
            OSError: the file is not there; and what `find` raises.
        """
        looks = looks_of(path)  # before it is read: it may change meanwhile
        name = os.path.abspath(path)
        note = self._notes.get(name)
        if note is not None and note[0] == looks:
            return note[1]
        fresh = is_fresh(looks)
        value = find()
        if not fresh:
            with self._lock:
                self._notes[name] = self._new[name] = [looks, value]
        return value

    def save(self) -> None:
        """Writes what is new, if the folder can be written."""
        with self._lock:
            new, self._new = self._new, {}
        if not new:
            return
        text = json.dumps(
            {"kind": self._kind, "files": {**self._load(), **new}},
            separators=(",", ":"),
        )
        # Nothing is lost but time.
        with contextlib.suppress(OSError), atomic_path(self.path) as temporary:
            temporary.write_text(text, encoding="utf-8")

    def _load(self) -> dict[str, list]:
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
            if content["kind"] != self._kind:
                return {}
            return {
                name: [looks, value]
                for name, (looks, value) in content["files"].items()
            }
        except (AttributeError, OSError, RecursionError):
            return {}
        except (KeyError, TypeError, ValueError):
            return {}
