"""What `verify` found: counts of each part, problems, and their text."""

import collections
import dataclasses
from collections.abc import Iterator
from typing import Any

from keras_wsss.data.problems import Problem


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
