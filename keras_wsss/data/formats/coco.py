"""Source records from COCO instances: masks of the source categories."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from keras_wsss.categories import IGNORE, Split
from keras_wsss.data.formats.coco_json import (
    CocoFile,
    CocoImage,
    CocoInstance,
    read_coco_file,
)
from keras_wsss.data.formats.format import Format
from keras_wsss.data.images import DEFAULT_MAX_PIXELS
from keras_wsss.data.lookup import find_image, near_image
from keras_wsss.data.problems import Problem, Report, closest, raise_problem
from keras_wsss.data.records import MISSING, Dataset, Record
from keras_wsss.data.segmentation import Region, encode, paint
from keras_wsss.errors import DataError

NO_SOURCE = "no source category in the picture"
WITH_TARGET = "a target category in the picture"
HIDDEN = "source categories hidden by target categories or crowds"
HIDDEN_LABELS = "labels without a visible pixel"
_MOST_LAYERS = 100  # of instances over each other, on average


@dataclasses.dataclass(frozen=True, slots=True)
class CocoMask:
    """Paints the index mask of one picture when it is read.

    Smaller instances lie over larger ones. Ignored (255) are, whatever lies
    there too: all pixels of target categories, which must teach nothing, and
    crowds. Instances of categories that the split does not know are ignored
    where no source instance lies: they may be a target under another name.

    Attributes:
        annotations: the JSON, for messages.
        image: entry of the picture.
        source: (category id of the split, instance) to paint.
        ignored: crowds, and instances of target categories.
        unknown: instances of categories that the split does not know.
    """

    annotations: Path
    image: CocoImage
    source: tuple[tuple[int, CocoInstance], ...]
    ignored: tuple[CocoInstance, ...]
    unknown: tuple[CocoInstance, ...]

    def read(self) -> np.ndarray:
        """The mask as uint8 [height, width]: 0 background, ids, 255 ignore.

        Raises:
            DataError: so many instances lie over each other that painting
                them would take very long.
        """
        # Column-wise like the decoded instances.
        shape = (self.image.height, self.image.width)
        mask = np.zeros(shape, np.uint8, order="F")
        source = [
            (category, self._encode(instance))
            for category, instance in self.source
        ]
        # The JSON's own "area" is not trusted; the sort is stable, so that
        # of equal areas the higher annotation id lies on top.
        source.sort(key=lambda item: -item[1].area)
        layers = [
            *((IGNORE, self._encode(instance)) for instance in self.unknown),
            *source,
            *((IGNORE, self._encode(instance)) for instance in self.ignored),
        ]
        covered = sum(region.area for _, region in layers) / mask.size
        if covered > _MOST_LAYERS:
            raise DataError(
                f"{self.annotations}: image {self.image.id}: its instances "
                f"cover it {covered:.0f} times, more than {_MOST_LAYERS}; "
                "remove repeated annotations."
            )
        for value, region in layers:
            paint(mask, region, value)
        return np.ascontiguousarray(mask)

    def _encode(self, instance: CocoInstance) -> Region:
        return encode(
            instance.polygons,
            instance.runs,
            self.image.height,
            self.image.width,
        )


def read_coco(
    annotations: str | Path,
    images: str | Path,
    split: Split,
    *,
    exclude_images_with_target: bool = False,
    min_pixels: int = 1,
    skip_missing: bool = False,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    negatives: str = "listed",
) -> Dataset:
    """Reads source records: pictures with masks of source categories.

    Labels are the source categories with an instance that is no crowd and of
    which at least `min_pixels` pixels are visible in the painted mask. Labels
    and pixels of target categories never reach a record (see `CocoMask`):
    one that is annotated in a picture is `uncertain` there.

    Args:
        annotations: COCO instances JSON.
        images: folder that its file names are relative to.
        split: categories to use; names of the JSON may be its aliases.
        exclude_images_with_target: leave out every picture with an instance
            of a target category, as the paper does (docs/data.md), instead of
            ignoring its pixels only.
        min_pixels: smallest visible area of a label in pixels of the
            original picture. 0 trusts the annotations and paints nothing
            while reading, which saves 0.3 ms an annotation.
        skip_missing: count pictures without a file instead of raising.
        max_pixels: largest width times height of a picture.
        negatives: which target categories a picture is known to lack when
            it has no annotation of them: "listed", those that the file lists
            among its categories, as its annotators looked for them; "all";
            or "none".

    Returns:
        Records ascending by image id, named by file name without ending.
        `skipped` counts pictures, `dropped` counts labels left out. Skipped
        pictures that are known to lack every target are in `negatives` too.

    Raises:
        DataError: names file, record, value and remedy.
    """
    file = read_coco_file(annotations, max_pixels=max_pixels)
    return coco_records(
        file,
        Path(images),
        split,
        exclude_images_with_target=exclude_images_with_target,
        min_pixels=min_pixels,
        skip_missing=skip_missing,
        negatives=negatives,
    )


def coco_records(
    file: CocoFile,
    images: Path,
    split: Split,
    report: Report = raise_problem,
    *,
    exclude_images_with_target: bool = False,
    min_pixels: int = 1,
    skip_missing: bool = False,
    negatives: str = "listed",
) -> Dataset:
    """Makes source records of a validated file; arguments as `read_coco`.

    Args:
        file: what `read_coco_file` gave.
        images: folder of the pictures.
        split: categories to use.
        report: called with every problem; the picture is left out.
        exclude_images_with_target: see `read_coco`.
        min_pixels: see `read_coco`.
        skip_missing: see `read_coco`.
        negatives: see `read_coco`.

    Raises:
        DataError: the file has no source category of the split; and with
            the default `report`, the first problem.
    """
    ids = {key: split.find(name) for key, name in file.categories.items()}
    source, target = set(split.source_ids), set(split.target_ids)
    _require_source(file, split, set(ids.values()) & source)
    annotated = _annotated(split, set(ids.values()), negatives)
    lacking_all = set(split.target_ids) <= set(annotated)
    records: list[Record] = []
    without: list[Record] = []
    skipped: dict[str, list[str]] = {}
    hidden_labels = 0
    for image, record_id in _named(file, report):
        instances = file.instances.get(image.id, ())
        found = {ids[instance.category] for instance in instances}
        path = find_image(images, image.file_name)
        reason = None
        if not found & source:
            reason = NO_SOURCE
        elif exclude_images_with_target and found & target:
            reason = WITH_TARGET
        elif path is None:
            reason = MISSING
            if not skip_missing:
                report(missing_image(file, images, image))
        if reason is None:
            mask, labels = _mask(file, image, ids, source, target)
            visible = _visible(mask, labels, min_pixels)
            if not visible:
                reason = HIDDEN
        if reason is not None or path is None:
            reason = reason or MISSING
            skipped.setdefault(reason, []).append(record_id)
            if lacking_all and not found & target and path is not None:
                without.append(
                    Record(record_id, path, "source", (), annotated=annotated)
                )
            continue
        hidden_labels += len(labels) - len(visible)
        named = (source | target) & found
        records.append(
            Record(
                image_id=record_id,
                image_path=path,
                domain="source",
                labels=visible,
                mask=mask,
                uncertain=tuple(sorted(named - set(visible))),
                annotated=annotated,
            )
        )
    return Dataset(
        records=tuple(records),
        skipped={key: tuple(value) for key, value in skipped.items()},
        dropped={HIDDEN_LABELS: hidden_labels} if hidden_labels else {},
        negatives=tuple(without),
    )


def _annotated(
    split: Split, listed: set[int | None], negatives: str
) -> tuple[int, ...]:
    """Ids that the file's annotators looked for, ascending."""
    targets = set(split.target_ids)
    if negatives == "listed":
        targets &= listed
    elif negatives == "none":
        targets = set()
    return tuple(sorted((set(split.source_ids) & listed) | targets))


def _named(file: CocoFile, report: Report) -> Iterator[tuple[CocoImage, str]]:
    """Pictures with their record names: file names without ending."""
    taken: dict[str, str] = {}
    for image in file.images:
        name = str(Path(image.file_name).with_suffix(""))
        if name in taken:
            report(
                Problem(
                    "duplicate name",
                    str(file.path),
                    f"image {image.id}",
                    f"{image.file_name} and {taken[name]} differ only in "
                    "their ending; rename one",
                )
            )
            continue
        taken[name] = image.file_name
        yield image, name


def _require_source(file: CocoFile, split: Split, found: set) -> None:
    if found:
        return
    wanted = split.source[0] if split.source else ""
    if not wanted:
        raise DataError(
            f"{file.path}: split '{split.name}' has no source category, so "
            "no mask can be used; name the source categories."
        )
    raise DataError(
        f"{file.path}: none of the source categories of split "
        f"'{split.name}' is among its categories ({wanted!r} is not"
        f"{closest(wanted, file.categories.values())}); correct the split "
        "or the file."
    )


def missing_image(file: CocoFile, images: Path, image: CocoImage) -> Problem:
    """Problem of a listed picture without a file."""
    return Problem(
        "missing image",
        str(images / image.file_name),
        "",
        f"no such file, though {file.path} lists it as image {image.id}"
        f"{near_image(images, image.file_name)}; check the image folder or "
        "remove the entry",
    )


def _mask(
    file: CocoFile,
    image: CocoImage,
    ids: dict[int, int | None],
    source: set[int],
    target: set[int],
) -> tuple[CocoMask, tuple[int, ...]]:
    """Mask reader and labels of one picture, hidden labels included."""
    painted, ignored, unknown = [], [], []
    for instance in file.instances.get(image.id, ()):
        category = ids[instance.category]
        if instance.crowd or category in target:
            ignored.append(instance)
        elif category in source:
            painted.append((category, instance))
        else:
            unknown.append(instance)
    mask = CocoMask(
        file.path, image, tuple(painted), tuple(ignored), tuple(unknown)
    )
    return mask, tuple(sorted({category for category, _ in painted}))


def _visible(
    mask: CocoMask, labels: tuple[int, ...], min_pixels: int
) -> tuple[int, ...]:
    if not labels or min_pixels < 1:
        return labels
    counts = np.bincount(mask.read().ravel(), minlength=256)
    return tuple(label for label in labels if counts[label] >= min_pixels)


class _Coco(Format):
    """COCO instances JSON, and a folder that its file names start from."""

    name = "coco"

    def read_source(self, data, split):
        """See `read_coco`."""
        return read_coco(
            Path(data.source_annotations),
            Path(data.source_images),
            split,
            exclude_images_with_target=data.exclude_images_with_target,
            min_pixels=data.min_pixels,
            skip_missing=data.skip_bad_images,
            max_pixels=data.max_pixels,
            negatives=data.source_negatives,
        )


COCO = _Coco()
