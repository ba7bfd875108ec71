"""Counts what the data hold and lists every problem, file by file."""

import collections
import dataclasses
import functools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np

from keras_wsss.categories import BACKGROUND, IGNORE, Split
from keras_wsss.config import DataConfig
from keras_wsss.data import formats
from keras_wsss.data.formats import coco, tags, voc
from keras_wsss.data.formats.coco_json import (
    CocoFile,
    CocoImage,
    read_coco_file,
)
from keras_wsss.data.images import read_image
from keras_wsss.data.lookup import find_image
from keras_wsss.data.masks import mask_value_problem, read_palette_mask
from keras_wsss.data.problems import Counts, Findings, Problem, Report, closest
from keras_wsss.data.records import Dataset, Record
from keras_wsss.errors import DataError
from keras_wsss.files import sha256
from keras_wsss.progress import progress

FAULTY = "image with a problem listed here"
MAX_PROBLEMS = 1000  # listed of each part; checking it ends there

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


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
    train: dict[str, list[Path]] = {}
    validation: list[Path] = []
    parts = (
        ("source", data.source_annotations, data.source_format),
        ("target", data.target_tags, data.tags_format),
        ("evaluation", data.eval_root, data.eval_format),
    )
    for name, given, kind in parts:
        if not given:
            continue
        check = _CHECKS.get((name, kind)) or functools.partial(_verify, name)
        counts = findings.counts[name] = Counts()
        found: list[Problem] = []
        try:
            paths = check(data, split, counts, _limited(found))
        except DataError as error:
            # The whole file is unusable; the other parts are still checked.
            found.append(_unreadable("unreadable file", error))
            continue
        except _TooMany:
            text = f"only the first {MAX_PROBLEMS} problems of it are listed"
            found.append(Problem("unchecked rest", given, "", text))
            continue
        finally:
            findings.problems.extend(found)
        findings.problems.extend(_unusable(name, given, counts, split))
        if name == "evaluation":
            validation = paths
        else:
            train[name] = paths
    for name, paths in train.items():
        # Two collections may number their pictures alike: there only the
        # content counts. Pictures of one collection are compared by name too.
        names = name == "target"
        findings.problems.extend(_in_both(paths, validation, names))
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
            if not set(counts.pixels) - {"background", "ignore"}:
                text += ": all is 0 or 255; is this a 0/255 mask?"
            text += "; save masks whose values are the categories' indices"
            yield Problem("nothing to score", str(place), "", text)
        else:
            for name in absent:
                text = (
                    f"the scored category {name!r} has no pixel; correct the "
                    "masks, or leave it out of config.split.scored"
                )
                yield Problem("category without a pixel", str(place), "", text)
    elif not counts.pairs:
        text = "0 pairs of picture and label; see what is left out, and why"
        yield Problem("nothing to use", str(place), part, text)


class _TooMany(Exception):
    """A part of the data has more problems than anyone reads."""


def _limited(problems: list[Problem]) -> Report:
    """A report into a list that does not grow without end."""

    def report(problem: Problem) -> None:
        if len(problems) >= MAX_PROBLEMS:
            raise _TooMany
        problems.append(problem)

    return report


def _verify(
    part: str, data: DataConfig, split: Split, counts: Counts, report: Report
) -> list[Path]:
    """A part of any format: all that its reader gives, picture by picture.

    What only the format itself knows, such as names of categories that the
    split lacks, is not told.
    """
    dataset = formats.read(data, split, part)
    checked = _in_threads(
        lambda record: _check_record(record, data),
        dataset.records,
        f"checking {part} pictures",
    )
    good, pixels = [], _no_pixels()
    for record, (histogram, problem) in zip(
        dataset.records, checked, strict=True
    ):
        if problem is None:
            good.append(record.image_path)
            pixels += histogram
        else:
            report(problem)
    _count(counts, _with(good, dataset), split)
    _name_pixels(counts, pixels, split)
    return good


def _check_record(
    record: Record, data: DataConfig
) -> tuple[np.ndarray, Problem | None]:
    """Pixels of each id, and what is wrong with picture or mask."""
    histogram = _no_pixels()
    path, what = record.image_path, "unreadable image"
    try:
        size = read_image(path, data.max_pixels).shape[1::-1]
        if record.mask is None:
            return histogram, None
        what = "unreadable mask"
        mask = record.read_mask()
    except DataError as error:
        return histogram, _unreadable(what, error)
    wrong = _size_problem(path, size, "its mask has", mask.shape[::-1])
    return _histogram(mask), wrong


def _verify_source(
    data: DataConfig, split: Split, counts: Counts, report: Report
) -> list[Path]:
    file = read_coco_file(
        Path(data.source_annotations), report, data.max_pixels
    )
    folder = Path(data.source_images)
    dataset = coco.coco_records(
        file,
        folder,
        split,
        report,
        exclude_images_with_target=data.exclude_images_with_target,
        min_pixels=data.min_pixels,
        skip_missing=True,
        negatives=data.source_negatives,
    )
    unknown = sorted(
        name for name in file.categories.values() if split.find(name) is None
    )
    if unknown:
        counts.notes.append(
            f"categories that split '{split.name}' does not know, ignored "
            f"in masks: {', '.join(unknown)}"
        )
    problems = _in_threads(
        lambda image: _coco_image_problem(file, folder, image, data),
        file.images,
        "checking source pictures",
    )
    good = []
    for image, problem in zip(file.images, problems, strict=True):
        path = find_image(folder, image.file_name)
        if problem is None and path is not None:
            good.append(path)
        elif problem is not None:
            report(problem)
    dataset = _with(good, dataset)
    _count(counts, dataset, split)
    _note_unseen(counts, split.source, file.categories.values())
    _note_unlisted(counts, split, file)
    both = _pictures_of_both(file, split)
    if both and not data.exclude_images_with_target:
        counts.notes.append(
            f"{both} pictures show a target category too; training leaves "
            "them out unless config.data.exclude_images_with_target is False"
        )
    histograms = _in_threads(
        lambda record: _histogram(record.read_mask()),
        dataset.records,
        "painting masks",
    )
    _name_pixels(counts, sum(histograms, _no_pixels()), split)
    return good


def _coco_image_problem(
    file: CocoFile, folder: Path, image: CocoImage, data: DataConfig
) -> Problem | None:
    path = find_image(folder, image.file_name)
    if path is None:
        return coco.missing_image(file, folder, image)
    try:
        height, width = read_image(path, data.max_pixels).shape[:2]
    except DataError as error:
        return _unreadable("unreadable image", error)
    return _size_problem(
        path,
        (width, height),
        f"{file.path} says of image {image.id}",
        (image.width, image.height),
    )


def _verify_target(
    data: DataConfig, split: Split, counts: Counts, report: Report
) -> list[Path]:
    path, folder = Path(data.target_tags), Path(data.target_images)
    lines = list(tags.read_tag_lines(path, split, report))
    dataset = tags.tag_records(
        path, lines, folder, split, report, complete=data.tags_complete
    )
    found = [find_image(folder, line.image) for line in lines]
    images = list(dict.fromkeys(image for image in found if image))
    problems = _in_threads(
        lambda image: _image_problem(image, data),
        images,
        "checking target pictures",
    )
    good = []
    for image, problem in zip(images, problems, strict=True):
        if problem is None:
            good.append(image)
        else:
            report(problem)
    dataset = _with(good, dataset)
    _count(counts, dataset, split)
    if empty := sum(not record.labels for record in dataset.records):
        counts.notes.append(
            f"{empty} of them without any target category: they teach the "
            "tagger what is absent"
        )
    _note_unseen(counts, split.target, ())
    return images


def _with(images: Sequence[Path], dataset: Dataset) -> Dataset:
    """The records whose picture is among these; the others left out."""
    good = set(images)
    bad = [r.image_id for r in dataset.records if r.image_path not in good]
    if not bad:
        return dataset
    return dataclasses.replace(
        dataset,
        records=tuple(r for r in dataset.records if r.image_path in good),
        skipped={**dataset.skipped, FAULTY: tuple(bad)},
    )


def _image_problem(path: Path, data: DataConfig) -> Problem | None:
    try:
        read_image(path, data.max_pixels)
    except DataError as error:
        return _unreadable("unreadable image", error)
    return None


def _verify_evaluation(
    data: DataConfig, split: Split, counts: Counts, report: Report
) -> list[Path]:
    root = Path(data.eval_root)
    ids = voc.index_ids(root, split)
    names = list(voc.read_image_set(root, data.eval_set, report))
    checked = _in_threads(
        lambda item: _check_pair(data, ids, *item),
        names,
        "checking evaluation pictures",
    )
    records: list[Record] = []
    images: list[Path] = []
    pixels = _no_pixels()
    for (_, name), (image, histogram, problems) in zip(
        names, checked, strict=True
    ):
        for problem in problems:
            report(problem)
        if image is not None:
            images.append(image)
        if problems or image is None:
            continue
        pixels += histogram
        labels = tuple(label for label in split.target_ids if histogram[label])
        records.append(Record(name, image, "target", labels))
    _count(counts, Dataset(tuple(records)), split)
    _name_pixels(counts, pixels, split)
    unknown = [
        name
        for name, number in zip(voc.read_classes(root), ids, strict=True)
        if number == BACKGROUND
    ]
    if unknown:
        counts.notes.append(
            f"categories that split '{split.name}' does not know, scored as "
            f"background: {', '.join(unknown)}"
        )
    return images


# Formats of which more is told than `_verify` can.
_CHECKS = {
    ("source", "coco"): _verify_source,
    ("target", "csv"): _verify_target,
    ("evaluation", "voc"): _verify_evaluation,
}


def _check_pair(
    data: DataConfig, ids: tuple[int, ...], line: int, name: str
) -> tuple[Path | None, np.ndarray, list[Problem]]:
    """(picture, pixels of each id, problems) of one evaluation picture."""
    root = Path(data.eval_root)
    problems: list[Problem] = []
    histogram = _no_pixels()
    size = None
    image = find_image(root / "JPEGImages", name)
    if image is None:
        problems.append(voc.missing_image(root, data.eval_set, line, name))
    else:
        try:
            size = read_image(image, data.max_pixels).shape[1::-1]
        except DataError as error:
            problems.append(_unreadable("unreadable image", error))
    path = root / data.eval_masks / f"{name}.png"
    try:
        mask = read_palette_mask(path, data.max_pixels)
    except DataError as error:
        problems.append(_unreadable("unreadable mask", error))
        return image, histogram, problems
    if wrong := mask_value_problem(mask, len(ids)):
        problems.append(Problem(wrong.kind, str(path), "", wrong.text))
    else:
        mask = voc.with_split_ids(mask, ids)
        histogram = _histogram(mask)
    if size is not None:
        problem = _size_problem(
            path, mask.shape[::-1], f"its picture {image} has", size
        )
        if problem is not None:
            problems.append(problem)
    return image, histogram, problems


def _size_problem(
    path: Path,
    size: tuple[int, int],
    other: str,
    other_size: tuple[int, int],
) -> Problem | None:
    if size == other_size:
        return None
    text = (
        f"it has {size[0]} x {size[1]} pixels but {other} "
        f"{other_size[0]} x {other_size[1]}"
    )
    if size == other_size[::-1]:
        text += (
            "; perhaps the picture has an EXIF orientation that its mask "
            "does not follow: save it upright"
        )
    else:
        text += "; use the size that the mask was drawn on"
    return Problem("size mismatch", str(path), "", text)


def _unreadable(kind: str, error: DataError) -> Problem:
    # A DataError's sentence begins with its file.
    path, _, text = str(error).partition(": ")
    return Problem(kind, path, "", text.removesuffix("."))


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


def _note_unlisted(counts: Counts, split: Split, file: CocoFile) -> None:
    """Notes targets of which the source's annotators say nothing."""
    listed = {split.find(name) for name in file.categories.values()}
    unlisted = [split.name_of(i) for i in split.target_ids if i not in listed]
    if unlisted:
        counts.notes.append(
            f"the file does not list {', '.join(unlisted)}, so that its "
            "pictures may hold them unseen; if none does, set "
            "config.data.source_negatives='all', and they teach the tagger "
            "what is absent"
        )


def _note_unseen(
    counts: Counts, names: Sequence[str], known: Iterable[str]
) -> None:
    """Notes categories without any picture: perhaps they are misspelt."""
    known = [name for name in known if name not in names]
    unseen = [name for name in names if name not in counts.pictures]
    if unseen:
        hints = (f"{name}{closest(name, known)}" for name in unseen)
        counts.notes.append(f"no picture has a label {'; '.join(hints)}")


def _pictures_of_both(file: CocoFile, split: Split) -> int:
    """Pictures with instances of source and of target categories."""
    ids = {key: split.find(name) for key, name in file.categories.items()}
    count = 0
    for instances in file.instances.values():
        found = {ids[instance.category] for instance in instances}
        if found & set(split.source_ids) and found & set(split.target_ids):
            count += 1
    return count


def _no_pixels() -> np.ndarray:
    return np.zeros(IGNORE + 1, np.int64)


def _histogram(mask: np.ndarray) -> np.ndarray:
    """Pixels of each of the 256 values of a mask."""
    return np.bincount(mask.ravel(), minlength=IGNORE + 1)


def _name_pixels(counts: Counts, pixels: np.ndarray, split: Split) -> None:
    counts.pixels = {
        "ignore" if index == IGNORE else split.name_of(index): int(
            pixels[index]
        )
        for index in np.flatnonzero(pixels).tolist()
    }


def _in_threads(
    function: Callable[[_Item], _Result], items: Sequence[_Item], what: str
) -> Iterator[_Result]:
    """Results of `function` in order; few are held at a time."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from progress(pool.map(function, items), what, len(items))


def _in_both(
    train: Sequence[Path], validation: Sequence[Path], names: bool
) -> Iterator[Problem]:
    """Yields a problem for every training picture that is in validation.

    Content is compared byte for byte (by SHA-256); a picture that was saved
    again at another size or quality is found by its name only.

    Args:
        train: training pictures.
        validation: evaluation pictures.
        names: whether equal names mean equal pictures.
    """
    by_name = {path.stem: path for path in validation} if names else {}
    by_size: dict[int, list[Path]] = collections.defaultdict(list)
    for path in validation:
        by_size[path.stat().st_size].append(path)
    digests: dict[Path, str] = {}
    for path in train:
        twin = by_name.get(path.stem)
        relation = "has the name of"
        remedy = "or rename it if it is another picture"
        # Equal content needs equal size; only such files are hashed.
        for other in by_size.get(path.stat().st_size, ()):
            for file in (path, other):
                if file not in digests:
                    digests[file] = sha256(file)
            if digests[path] == digests[other]:
                twin = other
                relation, remedy = "is also", "whatever its name"
        if twin is not None:
            yield Problem(
                "same image in train and val",
                str(path),
                "",
                f"it {relation} the evaluation picture {twin}; remove it from "
                f"one of them, {remedy}",
            )
