"""COCO instances JSON: masks of source categories, masks to score by, tags."""

from pathlib import Path

from keras_wsss.categories import Split
from keras_wsss.data.formats.coco_json import read_coco_file
from keras_wsss.data.formats.format import starts_with
from keras_wsss.data.formats.instances import InstanceFormat, source_records
from keras_wsss.data.images import DEFAULT_MAX_PIXELS
from keras_wsss.data.records import Dataset


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
    and pixels of target categories never reach a record (see `InstanceMask`):
    one that is annotated in a picture is `uncertain` there.

    Args:
        annotations: COCO instances JSON.
        images: folder that its file names are relative to.
        split: categories to use; names of the JSON may be its aliases.
        exclude_images_with_target: leave out every picture with an instance
            of a target category, as the paper does (docs/data.md), instead of
            ignoring its pixels only.
        min_pixels: smallest visible area of a label in pixels of the
            original picture. 0 trusts the annotations and compares no
            outlines while reading, which saves more than half of the time.
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
    return source_records(
        file,
        Path(images),
        split,
        exclude_images_with_target=exclude_images_with_target,
        min_pixels=min_pixels,
        skip_missing=skip_missing,
        negatives=negatives,
    )


class _Coco(InstanceFormat):
    """COCO instances JSON, and a folder that its file names start from."""

    name = "coco"

    def recognises(self, path, part):
        """Whether it is a JSON file; others that are one come before."""
        return path.suffix == ".json" or starts_with(path, "{")

    def read_annotations(
        self, path, images, data, on_problem, image_set, masks=True
    ):
        """See `read_coco_file`."""
        return read_coco_file(
            path, on_problem, data.max_pixels, masks=masks, index=data.index
        )


COCO = _Coco()
