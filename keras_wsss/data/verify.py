"""Counts what the data hold and lists every problem, file by file."""

import collections
import dataclasses
import hashlib
import itertools
import os
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from pathlib import Path
from typing import NamedTuple

import numpy as np

from keras_wsss.categories import IGNORE, Split
from keras_wsss.config import DataConfig
from keras_wsss.data import formats
from keras_wsss.data.aside import Spool
from keras_wsss.data.formats.instances import crowds_of
from keras_wsss.data.geometry import geometry_problems
from keras_wsss.data.images import read_image
from keras_wsss.data.instance_masks import InstanceMask
from keras_wsss.data.orientation import SIDEWAYS, exif_orientation
from keras_wsss.data.problems import (
    Counts,
    Findings,
    OnProblem,
    Problem,
    closest,
    problem_of,
)
from keras_wsss.data.records import Dataset, Record, Records
from keras_wsss.data.target_masks import with_target_masks
from keras_wsss.data.twins import problems_across
from keras_wsss.errors import DataError
from keras_wsss.progress import progress
from keras_wsss.side_by_side import side_by_side

FAULTY = "image with a problem listed here"
MAX_PROBLEMS = 100_000  # listed of each part; checking it ends there


def verify(data: DataConfig, split: Split) -> Findings:
    """Reads all data as training and evaluation would, without stopping.

    Every picture is decoded, every mask painted or read. What cannot be read
    is not counted.

    Args:
        data: what to check; parts without a location are left out. Source
            pictures are counted as training does with these fields.
        split: categories to use.

    Returns:
        Counts of each part and every problem.
    """
    findings = Findings(split.name)
    good: dict[str, Records] = {}
    digests: dict[str, Spool] = {}
    for part, (_, place, _) in formats.FIELDS.items():
        given = getattr(data, place)
        if not given:
            continue
        counts = findings.counts[part] = Counts()
        found: list[Problem] = []
        try:
            good[part], digests[part] = _verify(
                part, data, split, counts, _limited(found)
            )
        except DataError as error:
            # The whole file is unusable; the other parts are still checked.
            found.append(problem_of(error, "unreadable file"))
            continue
        except _TooMany:
            text = f"only the first {MAX_PROBLEMS} problems of it are listed"
            found.append(Problem("unchecked rest", given, "", text))
            continue
        finally:
            findings.problems.extend(found)
        findings.problems.extend(_unusable(part, given, counts, split))
    findings.problems.extend(problems_across(good, digests))
    return findings


def _unusable(
    part: str, place: str, counts: Counts, split: Split
) -> Iterator[Problem]:
    """Yields what would make training or a score of a part mean nothing."""
    if not counts.images:
        text = "0 pictures can be used; see what is left out, and why"
        yield Problem("nothing to use", str(place), part, text)
    elif part == "evaluation":
        absent = [n for n in split.scored if not counts.pixels.get(n)]
        if len(absent) == len(split.scored):
            text = "no scored category has a pixel"
            if sum(map(counts.dropped.get, map(crowds_of, absent), repeat(0))):
                text += (
                    " but in crowds (iscrowd 1); if they are objects, set "
                    "config.data.crowds_as_instances=True"
                )
            elif counts.pixels.keys() >= {"background", "ignore"} and not set(
                counts.pixels
            ) - {"background", "ignore"}:
                text += ": all is 0 or 255; is this a 0/255 mask?"
            text += "; save masks whose values are the categories' indices"
            yield Problem("nothing to score", str(place), "", text)
        else:
            for name in absent:
                text = f"the scored category {name!r} has no pixel"
                if crowds := counts.dropped.get(crowds_of(name)):
                    text += (
                        f", but {crowds} crowds (iscrowd 1); if they are "
                        "objects, set config.data.crowds_as_instances=True"
                    )
                text += (
                    "; correct the masks, or leave it out of "
                    "config.split.scored"
                )
                yield Problem("category without a pixel", str(place), "", text)
    elif not counts.pairs:
        text = "0 pairs of picture and label; see what is left out, and why"
        yield Problem("nothing to use", str(place), part, text)


class _TooMany(Exception):
    """A part of the data has more problems than anyone reads."""


def _limited(problems: list[Problem]) -> OnProblem:
    """Notes problems in a list that does not grow without end."""

    def on_problem(problem: Problem) -> None:
        if len(problems) >= MAX_PROBLEMS:
            raise _TooMany
        problems.append(problem)

    return on_problem


class _Checked(NamedTuple):
    """What was seen of one record.

    Attributes:
        pixels: of each of the 256 values of its mask.
        problems: what is wrong; if anything is, the record is not counted.
        turned: whether EXIF turns a picture with a mask, and its size does
            not show it.
        digest: of the picture's pixels.
    """

    pixels: np.ndarray
    problems: tuple[Problem, ...] = ()
    turned: bool = False
    digest: bytes = b""


def _verify(
    part: str,
    data: DataConfig,
    split: Split,
    counts: Counts,
    on_problem: OnProblem,
) -> tuple[Records, Spool]:
    """Checks a part picture by picture.

    Returns:
        The records without a problem, and digests of their pixels.
    """
    # What is missing is a problem here, whatever training does.
    reading = data.replace({"skip_bad_images": False})
    dataset = formats.read(reading, split, part, on_problem)
    counts.format = formats.format_of(data, part).name
    if part == "target" and data.target_masks:
        dataset = with_target_masks(dataset, data, split).dataset
    used = dataset.records
    parts = (used, dataset.negatives, dataset.left_out)
    checked = progress(
        side_by_side(
            lambda record: _check_record(record, data),
            itertools.chain(*parts),
            os.cpu_count() or 1,
        ),
        f"checking {part} pictures",
        sum(map(len, parts)),
    )
    good, digests, bad = Records(), Spool(), array("q")
    pixels, turned = _no_pixels(), 0
    for row, (record, found) in enumerate(
        zip(itertools.chain(*parts), checked, strict=True)
    ):
        for problem in found.problems:
            on_problem(problem)
        turned += found.turned
        if not found.problems:
            good.append(record)
            digests.append(found.digest)
            if len(good) <= len(used):
                pixels += found.pixels
        elif row < len(used):
            bad.append(row)
    if bad:
        names = tuple(used[row].image_id for row in bad)
        skipped = {**dataset.skipped, FAULTY: names}
        lost = set(bad)
        left = used.pick(n for n in range(len(used)) if n not in lost)
        dataset = dataclasses.replace(dataset, records=left, skipped=skipped)
    _count(counts, dataset, split)
    _name_pixels(counts, pixels, split)
    _note(part, counts, dataset, split)
    if turned:
        counts.notes.append(
            f"{turned} pictures with masks are turned or mirrored by their "
            "EXIF orientation, and of the same size either way; "
            "`data show` shows whether their masks fit"
        )
    if part == "source":
        _note_source(counts, dataset, split, data)
        for problem in _only_crowds(counts, dataset, split, data):
            on_problem(problem)
    return good, digests


def _check_record(record: Record, data: DataConfig) -> _Checked:
    """Decodes the picture, and paints or reads its mask."""
    pixels = _no_pixels()
    path, what = record.image_path, "unreadable image"
    try:
        image = read_image(path, data.max_pixels)
        size = image.shape[1::-1]
        digest = hashlib.blake2b(image.data, digest_size=16)
        digest.update(repr(size).encode())
        if record.mask is None:
            return _Checked(pixels, digest=digest.digest())
        orientation = exif_orientation(path)
        what = "unreadable mask"
        mask = record.read_mask()
    except DataError as error:
        return _Checked(pixels, (problem_of(error, what),))
    problems = []
    if size != mask.shape[::-1]:
        place = record.mask.place
        problems.append(
            _size_problem(path, size, place, mask.shape[::-1], orientation)
        )
    if isinstance(record.mask, InstanceMask):
        problems += geometry_problems(record.mask)
    pixels = np.bincount(mask.ravel(), minlength=IGNORE + 1)
    hidden = orientation < SIDEWAYS or size[0] == size[1]
    hidden &= orientation > 1
    return _Checked(pixels, tuple(problems), hidden, digest.digest())


def _size_problem(
    path: Path,
    size: tuple[int, int],
    place: str,
    other: tuple[int, int],
    orientation: int,
) -> Problem:
    """Of a picture whose upright size is not that of its mask."""
    text = (
        f"it has {size[0]} x {size[1]} pixels but {place} is {other[0]} x "
        f"{other[1]}; "
    )
    if size != other[::-1]:
        text += "use the size that the mask was drawn on"
    elif orientation >= SIDEWAYS:
        text += (
            f"the picture is stored on its side (EXIF orientation "
            f"{orientation}), and the mask follows what is stored: save the "
            "picture upright and turn the mask, or draw it on the upright one"
        )
    else:
        text += (
            "width and height are swapped there, as the picture has no EXIF "
            "orientation that turns it"
        )
    return Problem("size mismatch", str(path), "", text)


def _count(counts: Counts, dataset: Dataset, split: Split) -> None:
    counts.images = len(dataset.records)
    counts.pairs = sum(len(record.labels) for record in dataset.records)
    pictures = collections.Counter(
        label for record in dataset.records for label in record.labels
    )
    counts.pictures = {
        split.name_of(label): pictures[label] for label in sorted(pictures)
    }
    counts.skipped = {key: len(ids) for key, ids in dataset.skipped.items()}
    counts.dropped = dict(dataset.dropped)


def _note(part: str, counts: Counts, dataset: Dataset, split: Split) -> None:
    """Notes what is no fault but worth knowing."""
    if dataset.unknown:
        what = {
            "source": "ignored in masks",
            "target": "of which its tags say nothing",
            "evaluation": "scored as background",
        }[part]
        counts.notes.append(
            f"categories that split '{split.name}' does not know, {what}: "
            f"{', '.join(dataset.unknown)}"
        )
    empty = sum(not record.labels for record in dataset.records)
    if part == "target" and empty:
        counts.notes.append(
            f"{empty} of them without any target category: they teach the "
            "tagger what is absent"
        )
    unsure = sum(len(record.uncertain) for record in dataset.records)
    if part == "target" and unsure:
        counts.notes.append(
            f"{unsure} tags are marked as unsure: taught neither as present "
            "nor as absent"
        )
    if part != "evaluation":
        names = split.source if part == "source" else split.target
        _note_unseen(counts, names, dataset.unknown)


def _note_source(
    counts: Counts, dataset: Dataset, split: Split, data: DataConfig
) -> None:
    unlisted = [
        split.name_of(i) for i in split.target_ids if i not in dataset.listed
    ]
    if dataset.listed and unlisted:
        counts.notes.append(
            f"the file does not list {', '.join(unlisted)}, so that its "
            "pictures may hold them unseen; if none does, set "
            "config.data.source_negatives='all', and they teach the tagger "
            "what is absent"
        )
    targets = set(split.target_ids)
    both = sum(bool(targets & {*r.uncertain}) for r in dataset.records)
    if both and not data.exclude_images_with_target:
        counts.notes.append(
            f"{both} pictures show a target category too; training leaves "
            "them out unless config.data.exclude_images_with_target is False"
        )


def _only_crowds(
    counts: Counts, dataset: Dataset, split: Split, data: DataConfig
) -> Iterator[Problem]:
    """Yields source categories that nothing but crowds marks."""
    for name in split.source:
        crowds = dataset.dropped.get(crowds_of(name))
        if crowds and name not in counts.pictures:
            yield Problem(
                "crowds only",
                data.source_annotations,
                "",
                f"{name!r} has no annotation but {crowds} crowds (iscrowd 1), "
                "which teach nothing; CVAT and Datumaro mark drawn masks so: "
                "if they are objects, set "
                "config.data.crowds_as_instances=True",
            )


def _note_unseen(
    counts: Counts, names: Sequence[str], known: Iterable[str]
) -> None:
    """Notes categories without any picture: perhaps they are misspelt."""
    unseen = [name for name in names if name not in counts.pictures]
    if unseen:
        hints = (f"{name}{closest(name, known)}" for name in unseen)
        counts.notes.append(f"no picture has a label {'; '.join(hints)}")


def _no_pixels() -> np.ndarray:
    return np.zeros(IGNORE + 1, np.int64)


def _name_pixels(counts: Counts, pixels: np.ndarray, split: Split) -> None:
    counts.pixels = {
        "ignore" if index == IGNORE else split.name_of(index): int(
            pixels[index]
        )
        for index in np.flatnonzero(pixels).tolist()
    }
