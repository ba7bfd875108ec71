"""Masks of target pictures to train on: pseudo labels, and a person's.

What a model made from tags teaches with care; what a person drew or corrected
is right: also where the tags say something else.
"""

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from keras_wsss.categories import IGNORE, Split
from keras_wsss.data import formats
from keras_wsss.data.formats.index_masks import IndexMask
from keras_wsss.data.formats.names import check_spelling
from keras_wsss.data.formats.voc import CLASSES_FILE, read_classes
from keras_wsss.data.lookup import files_below
from keras_wsss.data.problems import raise_problem
from keras_wsss.data.pseudo_masks import (
    MASKS,
    with_pseudo_masks,
)
from keras_wsss.data.records import Dataset, MaskReader, Record, Records
from keras_wsss.errors import ConfigError, DataError

PERSON, PSEUDO = "person", "pseudo"
_FORM = (
    "give a folder of pseudo labels, person:FOLDER for masks that a person "
    "drew or corrected (person:FORMAT:PATH if it is no folder in VOC layout), "
    "or several of them with commas between"
)


@dataclasses.dataclass(frozen=True)
class MaskPlace:
    """Where masks of target pictures lie, and who made them.

    Attributes:
        origin: "person" or "pseudo".
        format: name of their format; "" is a folder in VOC layout, of which
            the masks and `classes.txt` alone are needed.
        path: the folder or file.
    """

    origin: str
    format: str
    path: Path


@dataclasses.dataclass(frozen=True)
class TargetMasks:
    """Target records with masks, and what is to be told of them.

    Attributes:
        dataset: the records in their order.
        persons: how many have a mask of a person.
        retagged: names of those whose labels a person's mask has changed.
        digest: of the persons' masks; "" if there are none.
    """

    dataset: Dataset
    persons: int = 0
    retagged: tuple[str, ...] = ()
    digest: str = ""


def mask_places(text: str) -> tuple[MaskPlace, ...]:
    """What `config.data.target_masks` says.

    Raises:
        ConfigError: an entry without a place, or two of pseudo labels.
    """
    places = []
    for entry in filter(None, (part.strip() for part in text.split(","))):
        origin, found, path = entry.partition(":")
        if not found or origin not in (PERSON, PSEUDO):
            origin, path = PSEUDO, entry
        kind = ""
        if origin == PERSON:
            first, found, rest = path.partition(":")
            if found and first in formats.format_names():
                kind, path = first, rest
        if not path:
            raise ConfigError(
                f"config.data.target_masks: '{entry}' names no place; {_FORM}."
            )
        places.append(MaskPlace(origin, kind, Path(path)))
    if sum(place.origin == PSEUDO for place in places) > 1:
        raise ConfigError(
            f"config.data.target_masks is '{text}', with pseudo labels of "
            f"several folders; {_FORM}."
        )
    return tuple(places)


def pseudo_folder(text: str) -> Path | None:
    """The folder of pseudo labels that `config.data.target_masks` names."""
    pseudo = [p.path for p in mask_places(text) if p.origin == PSEUDO]
    return pseudo[0] if pseudo else None


def with_target_masks(dataset: Dataset, data: Any, split: Split) -> TargetMasks:
    """Gives target records the masks that `data.target_masks` names.

    A person's mask goes before a pseudo label, and decides the labels of its
    picture: a category with pixels is one, and one without is none, unless
    parts of the mask are open (255) or the masks know no such category.
    Pseudo labels are needed of all other pictures, if they are named at all.
    What a person drew of categories that are no target is background.

    Args:
        dataset: records of tagged pictures.
        data: group `data` of a config.
        split: categories of the records.

    Raises:
        ConfigError: the field is not of a form that is known.
        DataError: a mask that cannot be read or is of no picture.
    """
    places = mask_places(data.target_masks)
    persons: dict[str, tuple[MaskReader, frozenset[int]]] = {}
    for place in places:
        if place.origin == PERSON:
            _add(persons, _read_persons(place, dataset, data, split), place)
    left = dataset.records.pick(
        number
        for number, record in enumerate(dataset.records)
        if record.image_id not in persons
    )
    folder = pseudo_folder(data.target_masks)
    if folder is not None:
        pseudo = dataclasses.replace(dataset, records=left)
        left = with_pseudo_masks(pseudo, folder, split, data.max_pixels).records
    others = iter(left)
    records, retagged, digest = Records(), [], hashlib.sha256()
    for record in dataset.records:
        if record.image_id not in persons:
            records.append(next(others))
            continue
        reader, judged = persons[record.image_id]
        mask = reader.read()
        digest.update(f"{record.image_id} {mask.shape} ".encode())
        digest.update(mask.tobytes())
        found = _trusted(record, mask, judged, split, data.min_pixels)
        if (found.labels, found.uncertain) != (record.labels, record.uncertain):
            retagged.append(record.image_id)
        records.append(dataclasses.replace(found, mask=reader))
    return TargetMasks(
        dataclasses.replace(dataset, records=records),
        len(persons),
        tuple(retagged),
        digest.hexdigest() if persons else "",
    )


def _trusted(
    record: Record,
    mask: np.ndarray,
    judged: frozenset[int],
    split: Split,
    min_pixels: int,
) -> Record:
    """The record as a person's mask says, uint8 [H, W]."""
    counts = np.bincount(mask.ravel(), minlength=IGNORE + 1)
    if counts[IGNORE]:
        judged = frozenset()  # the rest may lie in what was left open
    labels, uncertain, annotated = [], [], []
    for i in split.target_ids:
        pixels = int(counts[i])
        if pixels or i in judged:
            annotated.append(i)
            if pixels >= max(min_pixels, 1):
                labels.append(i)
            elif pixels:
                uncertain.append(i)
            continue
        # Of this the mask says nothing.
        if i in record.labels:
            labels.append(i)
        if i in record.uncertain:
            uncertain.append(i)
        if i in record.annotated:
            annotated.append(i)
    return dataclasses.replace(
        record,
        labels=tuple(labels),
        uncertain=tuple(uncertain),
        annotated=tuple(annotated),
        trusted=True,
    )


def _add(
    persons: dict[str, tuple[MaskReader, frozenset[int]]],
    more: Mapping[str, tuple[MaskReader, frozenset[int]]],
    place: MaskPlace,
) -> None:
    for name, found in more.items():
        if name in persons:
            raise DataError(
                f"{place.path}: there is a second mask of a person of "
                f"'{name}'; keep one of them."
            )
        persons[name] = found


def _read_persons(
    place: MaskPlace, dataset: Dataset, data: Any, split: Split
) -> dict[str, tuple[MaskReader, frozenset[int]]]:
    """Masks of a place by picture, and the target ids that they judge."""
    if place.format:
        found = _read_format(place, data, split)
    else:
        found = _read_folder(place.path, data, split)
    names = {record.image_id for record in dataset.records}
    if strange := sorted(found.keys() - names):
        raise DataError(
            f"{place.path}: {len(strange)} masks are of no tagged picture, "
            f"such as '{strange[0]}'; name them as the pictures of "
            f"{data.target_tags}, and tag those that are missing there."
        )
    return found


def _read_folder(
    folder: Path, data: Any, split: Split
) -> dict[str, tuple[MaskReader, frozenset[int]]]:
    masks = folder / MASKS
    paths = files_below(masks, ".png")
    if not paths:
        raise DataError(
            f"{masks}: there is no mask; a folder of a person's masks has "
            f"them there as NAME.png, palette PNGs, beside {CLASSES_FILE}."
        )
    if not (folder / CLASSES_FILE).exists():
        raise DataError(
            f"{folder / CLASSES_FILE}: no such file, so nothing tells what "
            "the masks' indices mean; write a category a line, index 1 first."
        )
    names = read_classes(folder)
    check_spelling(folder / CLASSES_FILE, names, split, raise_problem)
    ids = tuple(split.find(name) or 0 for name in names)
    judged = frozenset(ids) & frozenset(split.target_ids)
    return {
        path.relative_to(masks).with_suffix("").as_posix(): (
            IndexMask(path, ids, data.max_pixels),
            judged,
        )
        for path in paths
    }


def _read_format(
    place: MaskPlace, data: Any, split: Split
) -> dict[str, tuple[MaskReader, frozenset[int]]]:
    """Of a format that `config.data.eval_format` may name."""
    places = {
        "eval_format": place.format,
        "eval_root": str(place.path),
        "eval_images": data.target_images,
    }
    # Nobody has to draw all that is scored.
    free = dataclasses.replace(split, scored=())
    records = formats.read(data.replace(places), free, "evaluation").records
    # A category that nobody drew anywhere was perhaps not looked for.
    judged = frozenset(i for record in records for i in record.labels)
    return {
        record.image_id: (record.mask, judged)
        for record in records
        if record.mask is not None
    }
