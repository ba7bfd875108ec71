"""Problems found in data files: raised by readers, listed by `verify`.

A reader takes a `Report`, a function that is called with every problem and
after which the reader goes on without the faulty item. Training passes
`raise_problem`, which ends reading with the first one; `verify` collects.
"""

import collections
import dataclasses
import difflib
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, NoReturn

from keras_wsss.errors import DataError, printable


@dataclasses.dataclass(frozen=True)
class Problem:
    """One fault of one record.

    Attributes:
        kind: short class of the fault, for counting, e.g. "bad polygon".
        path: file that holds the fault.
        record: which part of the file, e.g. "annotation 17"; may be empty.
        text: what is wrong and what to do, without a final full stop.
    """

    kind: str
    path: str
    record: str
    text: str

    @property
    def sentence(self) -> str:
        """File, record, value and remedy in one sentence."""
        record = f" {self.record}:" if self.record else ""
        return printable(f"{self.path}:{record} {self.text}.")


# Largest text file that is read; COCO's own largest has 450 MB.
MAX_TEXT_BYTES = 1_000_000_000
_MAX_NAME = 255  # bytes of a file name on all common file systems
_MAX_PATH = 2000

Report = Callable[[Problem], None]


def raise_problem(problem: Problem) -> NoReturn:
    """The `Report` of readers: raises `DataError` for the first problem."""
    raise DataError(problem.sentence)


def path_problem(name: str) -> str | None:
    """Says why a file name from a data file cannot be used, if so.

    Names are relative to a folder that the user gave and must stay in it, so
    that an annotation file from elsewhere cannot make us read other files.
    Symbolic links that the user put into the folder are followed.
    """
    if not name.strip() or "\0" in name:
        return f"the file name {name!r} is empty or holds a zero byte"
    try:
        longest = max(len(part.encode()) for part in name.split("/"))
    except UnicodeEncodeError:
        return f"the file name {name!r} holds half a character; correct it"
    if longest > _MAX_NAME or len(name) > _MAX_PATH:
        return (
            f"the file name {name[:30]!r}... has {len(name)} characters; no "
            "file can be called that"
        )
    if not PurePosixPath(name).name:
        return f"the file name {name!r} names no file"
    windows = PureWindowsPath(name)  # splits at both kinds of slashes
    outside = PurePosixPath(name).is_absolute() or windows.is_absolute()
    if outside or windows.drive or windows.root or ".." in windows.parts:
        return (
            f"the file name {name!r} leads out of its folder; use names "
            "relative to the folder, without '..'"
        )
    return None


def closest(name: str, known: Iterable[str]) -> str:
    """Hint that names the known spellings nearest to `name`.

    Returns:
        ", closest known: a, b" or, without any similar, an empty string.
    """
    lower = {other.lower(): other for other in known}
    found = difflib.get_close_matches(name.lower(), lower, n=3)
    if not found:
        return ""
    return ", closest known: " + ", ".join(lower[key] for key in found)


def read_text(path: Path) -> str:
    """A whole UTF-8 text file, with or without byte order mark.

    Raises:
        DataError: missing, no regular file, too large or not UTF-8.
    """
    try:
        # Opening a pipe or device could block for ever: look first.
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise DataError(f"{path}: not a file; give a text file.")
        if found.st_size > MAX_TEXT_BYTES:
            raise DataError(
                f"{path}: {found.st_size / 1e6:.0f} MB is more than the limit "
                f"of {MAX_TEXT_BYTES / 1e6:.0f} MB; divide the file."
            )
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataError(
            f"{path}: no such file; check the path and the flags."
        ) from None
    except (OSError, ValueError) as error:
        if isinstance(error, UnicodeDecodeError):
            reason = f"byte {error.start} is not UTF-8; save it as UTF-8"
        else:
            reason = getattr(error, "strerror", None) or str(error)
        raise DataError(f"{path}: cannot be read: {reason}.") from None


@dataclasses.dataclass
class Counts:
    """What one part of the data holds.

    Attributes:
        images: pictures that can be used.
        pairs: (picture, label) pairs, the samples of training.
        pictures: pictures with each label, by category name.
        pixels: pixels of each category, of background and of ignore.
        skipped: pictures left out, by reason.
        dropped: labels left out of pictures that remain, by reason.
        notes: what is no fault but worth knowing.
    """

    images: int = 0
    pairs: int = 0
    pictures: dict[str, int] = dataclasses.field(default_factory=dict)
    pixels: dict[str, int] = dataclasses.field(default_factory=dict)
    skipped: dict[str, int] = dataclasses.field(default_factory=dict)
    dropped: dict[str, int] = dataclasses.field(default_factory=dict)
    notes: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Findings:
    """Everything `verify` found.

    Attributes:
        split: name of the split.
        counts: part ("source", "target", "evaluation") -> what it holds.
        problems: every fault, in the order it was met.
    """

    split: str
    counts: dict[str, Counts] = dataclasses.field(default_factory=dict)
    problems: list[Problem] = dataclasses.field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """The findings as plain JSON values."""
        return dataclasses.asdict(self)

    def text(self) -> str:
        """The findings as a report for the terminal."""
        lines: list[str] = []
        for name, counts in self.counts.items():
            lines += [*_part(name, counts), ""]
        kinds = collections.Counter(item.kind for item in self.problems)
        for kind, number in sorted(kinds.items()):
            lines.append(f"{kind}: {number}")
            lines += [
                f"  {item.sentence}"
                for item in self.problems
                if item.kind == kind
            ]
        if kinds:
            lines += ["", f"{len(self.problems)} problems."]
        else:
            lines.append("No problem found.")
        return "\n".join(lines)


def _part(name: str, counts: Counts) -> Iterator[str]:
    yield f"{name}: {counts.images} pictures, {counts.pairs} pairs"
    for reason, number in counts.skipped.items():
        yield f"  left out: {number} pictures ({reason})"
    for reason, number in counts.dropped.items():
        yield f"  left out: {number} {reason}"
    for note in counts.notes:
        yield f"  note: {note}"
    rows = list(dict.fromkeys((*counts.pixels, *counts.pictures)))
    if not rows:
        return
    total = sum(counts.pixels.values())
    heading = f"  {'category':<20} {'pictures':>9}"
    yield heading + (f" {'pixels':>13} {'share':>7}" if total else "")
    for row in rows:
        pictures = counts.pictures.get(row, "")
        line = f"  {row:<20} {pictures:>9}"
        if total:
            pixels = counts.pixels.get(row, 0)
            line += f" {pixels:>13} {pixels / total:>7.2%}"
        yield line
