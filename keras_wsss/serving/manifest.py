"""The list of an exported model's files with their SHA-256."""

import json
import stat
from pathlib import Path

from keras_wsss.errors import DataError
from keras_wsss.files import sha256, write_json

MANIFEST_FILE = "manifest.json"
_UNREADABLE = (
    OSError, ValueError, KeyError, TypeError, AttributeError,
    RecursionError,  # nested JSON
)  # fmt: skip


def write_manifest(folder: Path, about: dict) -> None:
    """Writes `manifest.json`: `about`, and every file's SHA-256.

    Args:
        folder: a complete export.
        about: JSON values that describe it.
    """
    files = {
        name: {"sha256": sha256(folder / name), "bytes": _size(folder / name)}
        for name in _files(folder)
    }
    write_json(folder / MANIFEST_FILE, {**about, "files": files})


def verify_manifest(folder: Path) -> dict:
    """Checks an export against its manifest.

    Returns:
        The manifest.

    Raises:
        DataError: no manifest, or a file that is missing, changed, not
            listed, or no plain file; names the first.
    """
    path = folder / MANIFEST_FILE
    odd = _first_odd(folder)
    if odd is not None:
        raise DataError(
            f"{odd} is neither a plain file nor a folder, which an export "
            "never holds (what a link leads to can change behind its back); "
            "export the model again."
        )
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        listed = {
            str(name): str(entry["sha256"])
            for name, entry in manifest["files"].items()
        }
    except _UNREADABLE as error:
        raise DataError(
            f"{path}: cannot be read ({error}); name a version folder that "
            "`python -m export` wrote, or export again."
        ) from error
    found = set(_files(folder))
    for name in sorted(found | set(listed)):
        if name not in found:
            problem = "is missing"
        elif name not in listed:
            problem = "is not in the manifest"
        elif sha256(folder / name) != listed[name]:
            problem = "was changed: its SHA-256 is not the manifest's"
        else:
            continue
        raise DataError(f"{folder / name} {problem}; export the model again.")
    return manifest


def _first_odd(folder: Path) -> Path | None:
    """A link, pipe or other thing that is no plain file and no folder."""
    for path in sorted(folder.rglob("*")):
        mode = path.lstat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            return path
    return None


def _files(folder: Path) -> list[str]:
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and path != folder / MANIFEST_FILE
    )


def _size(path: Path) -> int:
    return path.stat().st_size
