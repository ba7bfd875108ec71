"""The list of an exported model's files with their SHA-256."""

import json
from pathlib import Path

from keras_wsss.errors import DataError
from keras_wsss.files import sha256, write_json

MANIFEST_FILE = "manifest.json"


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
        DataError: no manifest, or a file that is missing, changed or not
            listed; names the first.
    """
    path = folder / MANIFEST_FILE
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        listed = {
            str(name): str(entry["sha256"])
            for name, entry in manifest["files"].items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
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


def _files(folder: Path) -> list[str]:
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and path != folder / MANIFEST_FILE
    )


def _size(path: Path) -> int:
    return path.stat().st_size
