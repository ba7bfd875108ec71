"""What is taken for what: pixels by true and predicted category."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

_SHADES = 9  # classes h1, h2, ... of report.css
_PAIRS = 6  # confusions that are named
_OPEN = 21  # classes up to which the table is open


@dataclasses.dataclass(frozen=True)
class Cell:
    """A cell of the table.

    Attributes:
        text: percentage of the row's pixels; "" where there is none.
        shade: 0 to 9, as strong as the share is large.
        right: whether it is of one class alone, and so of right pixels.
    """

    text: str
    shade: int
    right: bool


@dataclasses.dataclass(frozen=True)
class Confusion:
    """The table, and its largest mistakes in words.

    Attributes:
        ways: which masks were counted.
        classes: names, background first.
        rows: a row of each true class that has a pixel: name and cells.
        pairs: the largest mistakes between two classes.
        wide: whether it has more columns than most windows.
    """

    ways: str
    classes: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Cell]]]
    pairs: Sequence[str]
    wide: bool


def confusion_parts(confusion: Mapping[str, Any] | None) -> Confusion | None:
    """What the page shows of "confusion" of an evaluation's results.

    Args:
        confusion: its value; None of results of earlier versions, and where no
            mask is known.

    Returns:
        None where there is nothing to show.
    """
    if not confusion:
        return None
    names, counts = confusion["classes"], np.asarray(confusion["pixels"], float)
    pixels = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, pixels, np.zeros_like(counts), where=pixels > 0)
    rows = [
        (name, [_cell(share, r == c) for c, share in enumerate(shares[r])])
        for r, name in enumerate(names)
        if pixels[r]
    ]
    wrong = shares * (1 - np.eye(len(names)))
    largest = np.argsort(-wrong, axis=None, kind="stable")[:_PAIRS]
    places = [divmod(int(flat), len(names)) for flat in largest]
    pairs = [
        f"{_percent(wrong[r, c])} % of {names[r]} "
        + (f"is taken for {names[c]}" if c else "is not found")
        for r, c in places
        if wrong[r, c] >= 0.01
    ]
    ways = f"{confusion['tags']} tags, {confusion['inference']}"
    return Confusion(ways, names, rows, pairs, len(names) > _OPEN)


def _cell(share: float, right: bool) -> Cell:
    text = _percent(share) if share > 0 else ""
    return Cell(text, min(int(share * 10 + 0.5), _SHADES), right)


def _percent(share: float) -> str:
    return "<1" if 0 < share < 0.01 else f"{100 * share:.0f}"
