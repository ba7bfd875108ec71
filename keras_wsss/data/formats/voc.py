"""Evaluation records from a folder in the layout of PASCAL VOC."""

import dataclasses
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePath

import numpy as np

from keras_wsss.categories import (
    BACKGROUND,
    IGNORE,
    MAX_CATEGORIES,
    VOC_CATEGORIES,
    Split,
)
from keras_wsss.data.formats.format import Format
from keras_wsss.data.images import DEFAULT_MAX_PIXELS
from keras_wsss.data.lookup import find_image, near_image
from keras_wsss.data.masks import mask_value_problem, read_palette_mask
from keras_wsss.data.problems import (
    Problem,
    Report,
    closest,
    path_problem,
    raise_problem,
    read_text,
)
from keras_wsss.data.records import MISSING, Dataset, Record
from keras_wsss.errors import DataError
from keras_wsss.files import write_text

CLASSES_FILE = "classes.txt"
# As class lists of annotation tools begin, in any case and with or without
# underscores around; none of them takes an index of a category.
_NO_CATEGORY = ("background", "bg", "ignore")


@dataclasses.dataclass(frozen=True, slots=True)
class VocMask:
    """Reads an index mask and gives its indices the ids of a split.

    Attributes:
        path: palette or 8-bit grey PNG.
        ids: id of the split for index 1, 2, ...; background (0) for
            categories that the split does not know.
        max_pixels: largest width times height that is accepted.
    """

    path: Path
    ids: tuple[int, ...]
    max_pixels: int = DEFAULT_MAX_PIXELS

    def read(self) -> np.ndarray:
        """The mask as uint8 [height, width]: 0 background, ids, 255 ignore.

        Raises:
            DataError: unreadable, or with values that name no category.
        """
        mask = read_palette_mask(self.path, self.max_pixels)
        if problem := mask_value_problem(mask, len(self.ids)):
            raise DataError(f"{self.path}: {problem.text}.")
        return with_split_ids(mask, self.ids)


def read_voc(
    root: str | Path,
    image_set: str,
    split: Split,
    *,
    masks: str = "SegmentationClass",
    skip_missing: bool = False,
    max_pixels: int = DEFAULT_MAX_PIXELS,
) -> Dataset:
    """Reads evaluation records: target pictures with their true masks.

    For scoring only; training reads target pictures by `read_tags`, whose
    records hold no mask. Layout below `root`: `JPEGImages/<name>.jpg` (or
    .png), `ImageSets/Segmentation/<image_set>.txt` with a name a line,
    `<masks>/<name>.png`, and for categories other than VOC's `classes.txt`
    with a name a line, index 1 first.

    Labels are the target categories in the mask (oracle tags), so every mask
    is read once here: about 3 ms each.

    Args:
        root: the folder, e.g. VOCdevkit/VOC2012.
        image_set: name of the list, e.g. "val".
        split: categories to use. A scored one must be known to the folder.
        masks: folder of the masks; "SegmentationClassAug" for SBD's.
        skip_missing: count pictures without a file instead of raising.
        max_pixels: largest width times height of picture and mask.

    Returns:
        Records in the order of the list, also those without a target
        category: what is found there counts as wrong.

    Raises:
        DataError: names file, record, value and remedy.
    """
    root = Path(root)
    ids = index_ids(root, split)
    skipped: list[str] = []
    found: list[tuple[str, Path]] = []
    for line, name in read_image_set(root, image_set):
        image = find_image(root / "JPEGImages", name)
        if image is not None:
            found.append((name, image))
        elif skip_missing:
            skipped.append(name)
        else:
            raise_problem(missing_image(root, image_set, line, name))
    readers = [
        VocMask(root / masks / f"{name}.png", ids, max_pixels)
        for name, _ in found
    ]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        labels = pool.map(
            lambda reader: target_labels(reader.read(), split), readers
        )
        records = tuple(
            Record(name, image, "target", present, reader)
            for (name, image), reader, present in zip(
                found, readers, labels, strict=True
            )
        )
    return Dataset(records, {MISSING: tuple(skipped)} if skipped else {})


def with_split_ids(mask: np.ndarray, ids: tuple[int, ...]) -> np.ndarray:
    """Replaces checked mask indices by ids of a split; 0 and 255 stay.

    Args:
        mask: uint8 [height, width] of indices.
        ids: what `index_ids` gives.

    Returns:
        uint8 [height, width] of ids.
    """
    table = np.full(256, IGNORE, np.uint8)
    table[: len(ids) + 1] = (BACKGROUND, *ids)
    return table[mask]


def target_labels(mask: np.ndarray, split: Split) -> tuple[int, ...]:
    """Ids of the target categories in a mask of split ids, ascending."""
    counts = np.bincount(mask.ravel(), minlength=IGNORE + 1)
    return tuple(label for label in split.target_ids if counts[label])


def read_classes(root: Path) -> tuple[str, ...]:
    """Category names of a folder in index order, index 1 first.

    They stand in `classes.txt`, a name a line; first lines that mean
    background or ignore, such as "_background_" and "__ignore__", are
    skipped. Without that file they are VOC's.

    Raises:
        DataError: an empty or repeated name, too many, or a name of the
            background behind a category.
    """
    path = root / CLASSES_FILE
    if not path.exists():
        return VOC_CATEGORIES
    names = [line.strip() for line in read_text(path).rstrip().split("\n")]
    while names and _is_no_category(names[0]):
        names = names[1:]
    for name in names:
        if _is_no_category(name):
            raise DataError(
                f"{path}: {name!r} stands behind a category, so that it is not "
                "clear which index each name has; write the categories only, "
                "in the order of the mask indices from 1 on."
            )
    if not names or len(names) > MAX_CATEGORIES:
        raise DataError(
            f"{path}: {len(names)} names; give 1 to {MAX_CATEGORIES}."
        )
    for name in names:
        if not name or names.count(name) > 1:
            raise DataError(
                f"{path}: the name {name!r} is empty or stands twice; write "
                "one category name a line, in the order of the mask indices."
            )
    return tuple(names)


def _is_no_category(name: str) -> bool:
    return name.strip("_ ").lower() in _NO_CATEGORY


def write_classes(root: Path, names: Iterable[str]) -> None:
    """Writes the names of mask indices for `read_classes`, index 1 first."""
    write_text(root / CLASSES_FILE, "".join(f"{name}\n" for name in names))


def index_ids(root: Path, split: Split) -> tuple[int, ...]:
    """Id of `split` for the mask indices 1, 2, ... of a folder.

    Categories that the split does not know become background (0).

    Raises:
        DataError: a scored category of the split is not in the folder.
    """
    if not root.is_dir():
        raise DataError(f"{root}: no such folder; give one in VOC layout.")
    names = read_classes(root)
    ids = tuple(split.find(name) or BACKGROUND for name in names)
    remedy = "correct the split or classes.txt"
    if not (root / CLASSES_FILE).exists():
        remedy = "without a file classes.txt the indices are VOC's: write one"
    for scored in split.scored:
        if split.id_of(scored) not in ids:
            raise DataError(
                f"{root}: the category {scored!r} that split '{split.name}' "
                f"scores has no mask index here{closest(scored, names)}; "
                f"{remedy}."
            )
    return ids


def read_image_set(
    root: Path, image_set: str, report: Report = raise_problem
) -> Iterator[tuple[int, str]]:
    """Yields (line number, picture name) of an image set.

    Args:
        root: folder in VOC layout.
        image_set: name of the list in ImageSets/Segmentation.
        report: called with every problem; the line is left out.

    Raises:
        DataError: the list is missing or empty.
    """
    path = image_set_path(root, image_set)
    seen: dict[str, int] = {}
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        name = line.strip()
        if not name:
            continue
        kind, text = "path leaving the root", path_problem(name)
        if not text and name in seen:
            kind = "duplicate name"
            text = f"{name} stands in line {seen[name]} too; remove one"
        elif not text and PurePath(name).suffix.lower() in (".jpg", ".png"):
            kind = "name with an ending"
            text = f"write {PurePath(name).stem} without {name[-4:]}"
        if text:
            report(Problem(kind, str(path), f"line {number}", text))
            continue
        seen[name] = number
        yield number, name
    if not seen:
        raise DataError(f"{path}: it lists no picture; write a name a line.")


def image_set_path(root: Path, image_set: str) -> Path:
    """File of an image set, e.g. ImageSets/Segmentation/val.txt."""
    if path_problem(image_set):
        raise DataError(
            f"{root}: the image set {image_set!r} is no name; give one such "
            "as 'val'."
        )
    return root / "ImageSets" / "Segmentation" / f"{image_set}.txt"


def missing_image(root: Path, image_set: str, line: int, name: str) -> Problem:
    """Problem of a listed picture without a file."""
    folder = root / "JPEGImages"
    return Problem(
        "missing image",
        str(image_set_path(root, image_set)),
        f"line {line}",
        f"{name} has no .jpg or .png file in {folder}"
        f"{near_image(folder, name)}; add the picture or remove the line",
    )


class _Voc(Format):
    """A folder in VOC layout: lists, pictures, index PNGs."""

    name = "voc"

    def read_evaluation(self, data, split):
        """See `read_voc`."""
        return read_voc(
            data.eval_root,
            data.eval_set,
            split,
            masks=data.eval_masks,
            max_pixels=data.max_pixels,
        )


VOC = _Voc()
