"""Which pictures with masks are trained on, and which labels of them.

The same for all formats: each makes candidates of its files.
"""

import collections
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from keras_wsss.categories import Split
from keras_wsss.data.problems import (
    OnProblem,
    Problem,
    closest,
    raise_problem,
)
from keras_wsss.data.records import (
    MISSING,
    Dataset,
    MaskReader,
    Record,
    Records,
)
from keras_wsss.errors import DataError

NO_SOURCE = "no source category in the picture"
WITH_TARGET = "a target category in the picture"
HIDDEN = "source categories without enough visible pixels (min_pixels)"
IN_CROWDS = "source categories only in crowds (iscrowd 1)"
UNPAINTED = "annotations of source categories that paint nothing"
HIDDEN_LABELS = "labels without enough visible pixels (min_pixels)"


class Candidate(NamedTuple):
    """A picture with a mask, perhaps to train on.

    Attributes:
        name: of its record.
        path: its file; None if there is none.
        mask: paints source ids and 255 for what teaches nothing.
        named: ids of source and target categories that are annotated in it.
        labels: ids of the source categories that may be labels, ascending.
        missing: what to tell where there is no file.
        hidden_by: says why none of `labels` is visible.
        counts: pixels of each of the 256 values of the mask, if known.
        visible: tells which labels have so many pixels without reading the
            mask, if there is such a way.
    """

    name: str
    path: Path | None
    mask: MaskReader
    named: frozenset[int]
    labels: tuple[int, ...]
    missing: Problem | None
    hidden_by: "Callable[[Candidate], str]"
    counts: np.ndarray | None = None
    visible: Callable[[tuple[int, ...], int], tuple[int, ...]] | None = None


def source_dataset(
    candidates: Iterable[Candidate],
    split: Split,
    listed: set[int],
    on_problem: OnProblem = raise_problem,
    *,
    exclude_images_with_target: bool = False,
    min_pixels: int = 1,
    skip_missing: bool = False,
    negatives: str = "listed",
) -> Dataset:
    """Makes source records, as a file of masks gives them.

    Args:
        candidates: the pictures, in the order of the records.
        split: categories to use.
        listed: ids that the files list, i.e. that annotators looked for.
        on_problem: called with every problem; the picture is left out.
        exclude_images_with_target: leave out every picture with an instance
            of a target category, as the paper does (docs/data.md), instead of
            ignoring its pixels only.
        min_pixels: smallest visible area of a label in pixels of the
            original picture.
        skip_missing: count pictures without a file instead of raising.
        negatives: which target categories a picture is known to lack when
            it has no annotation of them: "listed", those that the file lists
            among its categories, as its annotators looked for them; "all";
            or "none".

    Returns:
        A data set without what only the format knows (`listed`, `unknown`).
        `skipped` counts pictures, `dropped` counts labels left out. Skipped
        pictures that are known to lack every target are in `negatives` too.

    Raises:
        DataError: with the default `on_problem`, the first problem.
    """
    source, target = set(split.source_ids), set(split.target_ids)
    annotated = _annotated(split, listed, negatives)
    lacking_all = target <= set(annotated)
    records, without, left_out = Records(), Records(), Records()
    skipped: dict[str, list[str]] = collections.defaultdict(list)
    hidden_labels = 0
    for each in candidates:
        visible: tuple[int, ...] = ()
        if not each.named & source:
            reason = NO_SOURCE
        elif exclude_images_with_target and each.named & target:
            reason = WITH_TARGET
        elif each.path is None:
            reason = MISSING
            if each.missing is not None and not skip_missing:
                on_problem(each.missing)
        else:
            visible = _visible(each, min_pixels)
            reason = "" if visible else each.hidden_by(each)
        if reason:
            skipped[reason].append(each.name)
        if each.path is None:
            continue
        record = Record(
            each.name,
            each.path,
            "source",
            visible,
            each.mask,
            uncertain=tuple(sorted(each.named - set(visible))),
            annotated=annotated,
        )
        if not reason:
            hidden_labels += len(each.labels) - len(visible)
            records.append(record)
        elif lacking_all and not each.named & target:
            without.append(record)
        else:
            left_out.append(record)
    return Dataset(
        records=records,
        skipped={key: tuple(value) for key, value in skipped.items()},
        dropped={HIDDEN_LABELS: hidden_labels} if hidden_labels else {},
        negatives=without,
        left_out=left_out,
    )


def require_source(
    split: Split,
    ids: Iterable[int | None],
    path: Path,
    names: Iterable[str],
) -> None:
    """Raises `DataError` if none of the ids found is one of the sources.

    Args:
        split: categories to use.
        ids: ids of what a file lists.
        path: the file.
        names: what it lists.
    """
    if set(ids) & set(split.source_ids):
        return
    if not split.source:
        raise DataError(
            f"{path}: split '{split.name}' has no source category, so no mask "
            "can be used; name the source categories."
        )
    wanted = split.source[0]
    raise DataError(
        f"{path}: none of the source categories of split '{split.name}' is "
        f"among its categories ({wanted!r} is not{closest(wanted, names)}); "
        "correct the split or the file."
    )


def _annotated(
    split: Split, listed: set[int], negatives: str
) -> tuple[int, ...]:
    """Ids that the file's annotators looked for, ascending."""
    targets = set(split.target_ids)
    if negatives == "listed":
        targets &= listed
    elif negatives == "none":
        targets = set()
    return tuple(sorted((set(split.source_ids) & listed) | targets))


def _visible(candidate: Candidate, min_pixels: int) -> tuple[int, ...]:
    labels = candidate.labels
    if not labels or min_pixels < 1:
        return labels
    if candidate.visible is not None:
        return candidate.visible(labels, min_pixels)
    counts = candidate.counts
    if counts is None:
        counts = np.bincount(candidate.mask.read().ravel(), minlength=256)
    return tuple(label for label in labels if counts[label] >= min_pixels)
