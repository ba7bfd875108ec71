"""Problems found in data files: raised by readers, listed by `verify`.

A reader takes an `OnProblem`, a function that is called with every problem and
after which the reader goes on without the faulty item. Training passes
`raise_problem`, which ends reading with the first one; `verify` collects.
"""

import collections
import dataclasses
import difflib
import re
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
_EXAMPLES = 5  # of each kind that are shown; all of them are in the JSON
_MAX_NAME = 255  # bytes of a file name on all common file systems
_MAX_PATH = 2000
# Names of most files, of which one glance is enough.
_HARMLESS = re.compile(r"(?!.*\.\.)\w[\w ./-]{0,200}", re.ASCII)

# Kinds that are faults of single annotations, not of a file or a picture.
ANNOTATION_FAULTS = (
    "wrong entry",
    "bad polygon",
    "bad RLE",
    "unknown category",
)

OnProblem = Callable[[Problem], None]


class ProblemError(DataError):
    """A problem that ends reading.

    Attributes:
        problem: what is wrong.
    """

    def __init__(self, problem: Problem):
        super().__init__(problem.sentence)
        self.problem = problem


def raise_problem(problem: Problem) -> NoReturn:
    """The `OnProblem` of readers: raises `DataError` for the first problem."""
    raise ProblemError(problem)


def problem_of(error: DataError, kind: str) -> Problem:
    """An error as a problem; of `kind` where it does not know its own."""
    if isinstance(error, ProblemError):
        return error.problem
    # A DataError's sentence begins with its file.
    path, _, text = str(error).partition(": ")
    return Problem(kind, path, "", text.removesuffix("."))


def counting(
    reason: str, counts: dict[str, int], others: OnProblem
) -> OnProblem:
    """An `OnProblem` that counts what is wrong with annotations, and goes on.

    Args:
        reason: key to count under.
        counts: changed.
        others: what is told of all other problems.
    """

    def on_problem(problem: Problem) -> None:
        if problem.kind in ANNOTATION_FAULTS:
            counts[reason] = counts.get(reason, 0) + 1
        else:
            others(problem)

    return on_problem


def path_problem(name: str) -> str | None:
    """Says why a file name from a data file cannot be used, if so.

    Names are relative to a folder that the user gave and must stay in it, so
    that an annotation file from elsewhere cannot make us read other files.
    Symbolic links that the user put into the folder are followed.
    """
    if _HARMLESS.fullmatch(name):
        return None
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


def check_text(path: Path) -> None:
    """Refuses what is no text file, before it is opened.

    Raises:
        DataError: missing, no regular file, or too large.
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
        with open(path, "rb"):
            pass
    except FileNotFoundError:
        raise DataError(
            f"{path}: no such file; check the path and the flags."
        ) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(f"{path}: cannot be read: {reason}.") from None


def read_text(path: Path) -> str:
    """A whole UTF-8 text file, with or without byte order mark.

    Raises:
        DataError: missing, no regular file, too large or not UTF-8.
    """
    check_text(path)
    try:
        return path.read_text(encoding="utf-8-sig")
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
        format: what the part was read as.
        images: pictures that can be used.
        pairs: (picture, label) pairs, the samples of training.
        pictures: pictures with each label, by category name.
        pixels: pixels of each category, of background and of ignore.
        skipped: pictures left out, by reason.
        dropped: labels left out of pictures that remain, by reason.
        notes: what is no fault but worth knowing.
    """

    format: str = ""
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
            # What is wrong in the same words is shown once.
            alike: dict[tuple[str, str], list[Problem]] = {}
            for item in self.problems:
                if item.kind == kind:
                    key = (item.path, item.text)
                    alike.setdefault(key, []).append(item)
            for items in list(alike.values())[:_EXAMPLES]:
                more = f" ({len(items)} times)" if len(items) > 1 else ""
                lines.append(f"  {items[0].sentence}{more}")
                number -= len(items)
            if number:
                lines.append(f"  ... {number} more")
        if kinds:
            lines += ["", f"{len(self.problems)} problems."]
        else:
            lines.append("No problem found.")
        return "\n".join(lines)


def _part(name: str, counts: Counts) -> Iterator[str]:
    kind = f" ({counts.format})" if counts.format else ""
    yield f"{name}{kind}: {counts.images} pictures, {counts.pairs} pairs"
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
