"""Whether the files of a chain are whole, and equal to those of another."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from keras_wsss.checkpoints import load_checkpoint
from keras_wsss.errors import UserError
from keras_wsss.serving.manifest import verify_manifest
from keras_wsss.training.cache_entry import SUFFIX

# Entries of results.json that differ between equal runs: how long they took,
# how much memory, and where a killed run went on.
_OF_THE_MACHINE = (
    "built_per_second",
    "milliseconds",
    "minutes",
    "pairs_per_second",
    "peak_memory_gb",
    "read_milliseconds",
    "resumed_after_step",
    "seconds",
    "seconds_per_step",
    "train_minutes",
)


def without_times(value: Any) -> Any:
    """JSON values without the entries that no seed decides."""
    if isinstance(value, dict):
        return {
            key: without_times(entry)
            for key, entry in value.items()
            if key not in _OF_THE_MACHINE
        }
    if isinstance(value, list):
        return [without_times(entry) for entry in value]
    return value


def problems(root: Path, unbroken: Path) -> Iterator[str]:
    """What is wrong with the files that have their final names.

    Data and entries of the cache are compared with the same files of the
    unbroken chain; all others must be readable to the end.

    Args:
        root: folder of the chain.
        unbroken: folder of the chain that nobody killed.
    """
    for path in visible(root):
        name = path.relative_to(root)
        try:
            if name.parts[0] == "data" or path.suffix == SUFFIX:
                same = (unbroken / name).read_bytes() == path.read_bytes()
                if not same:
                    yield f"{name} differs from the unbroken chain's"
            elif check := _CHECKS.get(path.suffix):
                check(path)
        except (OSError, UserError, ValueError) as error:
            yield f"{name}: {error}"
    for version in sorted(root.glob("served/*")):
        if not version.name.startswith("."):
            try:
                verify_manifest(version)
            except UserError as error:
                yield f"{version.relative_to(root)}: {error}"


def visible(root: Path) -> list[Path]:
    """All files but those of which a part of the path is hidden."""
    return [path for path in _files(root) if not _hidden(path, root)]


def leftovers(root: Path) -> list[Path]:
    """Hidden files: what killed processes left half written."""
    return [path for path in _files(root) if _hidden(path, root)]


def differences(root: Path, unbroken: Path, folder: str) -> Iterator[str]:
    """What differs between two finished chains.

    Args:
        root: folder of the chain.
        unbroken: folder of the other one.
        folder: the part of it that is compared.
    """
    one, two = root / folder, unbroken / folder
    names = [
        {
            str(p.relative_to(f))
            for p in visible(f)
            if ".tfevents." not in p.name
        }
        for f in (one, two)
    ]
    for name in sorted(names[0] ^ names[1]):
        yield f"{folder}/{name} is there only once"
    for name in sorted(names[0] & names[1]):
        if (folder, name) == ("evaluation", "results.json"):
            equal = _results(one / name) == _results(two / name)
        elif name.endswith(".npz"):
            equal = _same_arrays(one / name, two / name)
        elif name.endswith((SUFFIX, ".jpg", ".png", ".csv", ".tsv")) or (
            "variables/variables.data" in name
        ):
            equal = (one / name).read_bytes() == (two / name).read_bytes()
        else:
            continue
        if not equal:
            yield f"{folder}/{name} differs"


def _files(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file())


def _hidden(path: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(root).parts)


def _results(path: Path) -> Any:
    return without_times(json.loads(path.read_text()))


def _same_arrays(one: Path, two: Path) -> bool:
    first, second = load_checkpoint(one), load_checkpoint(two)
    return first.step == second.step and _bytes(first) == _bytes(second)


def _bytes(checkpoint) -> dict[str, bytes]:
    return {name: a.tobytes() for name, a in checkpoint.arrays.items()}


def _read_json(path: Path) -> None:
    json.loads(path.read_text(encoding="utf-8"))


def _read_page(path: Path) -> None:
    if not path.read_text(encoding="utf-8").rstrip().endswith("</html>"):
        raise ValueError("the page has no end")


def _read_text(path: Path) -> None:
    if not path.read_text(encoding="utf-8").endswith("\n"):
        raise ValueError("the last line has no end")


def _read_picture(path: Path) -> None:
    if cv2.imdecode(np.fromfile(path, np.uint8), -1) is None:
        raise ValueError("the picture cannot be decoded")


_CHECKS: dict[str, Callable[[Path], object]] = {
    ".npz": load_checkpoint,
    ".json": _read_json,
    ".html": _read_page,
    ".md": _read_text,
    ".txt": _read_text,
    ".tsv": _read_text,
    ".pbtxt": _read_text,
    ".png": _read_picture,
    ".jpg": _read_picture,
}
