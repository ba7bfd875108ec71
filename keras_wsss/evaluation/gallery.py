"""A picture of results: image, maps of the network, mask, truth."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from keras_wsss.categories import IGNORE
from keras_wsss.data.images import read_image
from keras_wsss.data.records import Record
from keras_wsss.drawing import Panel, Row, draw_sheet
from keras_wsss.errors import ConfigError
from keras_wsss.files import atomic_path
from keras_wsss.inference.one_picture import OnePicture
from keras_wsss.inference.predictor import Predictor
from keras_wsss.systems.quality import Quality

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
TILE = 160  # pixels, side of a picture in the gallery
# What is drawn of a system's maps: the first two of these that it has, or the
# first two of its own.
_HEADINGS = {
    "attention": "attention",
    "densified_attention": "densified",
    "class_maps": "class map",
    "foreground": "foreground",
}


# The masks that the prior system makes of tags, see
# `Steps.training_masks`.
_MASK_HEADINGS = {
    "masks on line, no CRF": "mask",
    "masks on line": "mask + CRF",
}


def write_gallery(path: str | Path, rows: Sequence[Row]) -> None:
    """Writes a picture of rows.

    Args:
        path: PNG or JPEG file to write.
        rows: see `gallery_rows`; those of several predictors may follow each
            other.

    Raises:
        ConfigError: another type of file, or no row.
    """
    path = Path(path)
    if path.suffix.lower() not in FORMATS:
        raise ConfigError(f"{path} must end in {', '.join(sorted(FORMATS))}.")
    if not rows:
        raise ConfigError("There is no picture to draw in the gallery.")
    with atomic_path(path) as temporary:
        Image.fromarray(draw_sheet(rows, TILE)).save(
            temporary, format=FORMATS[path.suffix.lower()], quality=88
        )


def choose_rows(
    records: Sequence[Record], ids: Sequence[int], count: int
) -> list[Record]:
    """Pictures for a gallery, by a rule that knows no prediction.

    First those with several categories of which one is new, then those
    with a new one, then the others; each in the order given.

    Args:
        records: pictures with masks.
        ids: the categories to show; pictures without any are left out.
        count: how many pictures, if there are as many.
    """
    held = [
        set(np.unique(record.read_mask()).tolist()) & set(ids)
        for record in records
    ]
    chosen: list[int] = []
    seen: set[int] = set()
    for several, new in ((True, True), (False, True), (False, False)):
        for index, found in enumerate(held):
            if len(chosen) == count:
                break
            fits = len(found) > 1 or not several
            wanted = found - seen if new else found
            if wanted and fits and index not in chosen:
                chosen.append(index)
                seen |= found
    return [records[index] for index in chosen]


def gallery_rows(
    predictor: Predictor, records: Sequence[Record], refine: bool = False
) -> list[Row]:
    """One row per record: maps and mask of its true tags, and the truth.

    Colours stand for categories and are named below each row. Attention and
    densified attention are drawn over the darkened picture, each map divided
    by its own maximum. The prior system has class and foreground map in their
    place, the masks that its training would make of the tags, and the
    prediction after its CRF; another system has its own maps.

    Args:
        predictor: a trained network.
        records: evaluation pictures with masks, see `choose_rows`.
        refine: whether refined masks stand beside the masks.

    Raises:
        DataError: a picture or mask that cannot be read.
    """
    return [_row(predictor, record, refine) for record in records]


def _row(predictor: Predictor, record: Record, refine: bool) -> Row:
    """A picture with the ids that its mask asks for."""
    limit = predictor.config.data.max_pixels
    image = read_image(Path(record.image_path), limit)
    truth = record.read_mask()
    scored = predictor.split.scored_ids
    ids = tuple(i for i in scored if np.any(truth == i))
    picture = OnePicture(predictor, image)
    own_crf = predictor.steps.has_crf
    maps = picture.maps(ids or scored[:1])
    panels = [Panel("picture")]
    drawn = [key for key in _HEADINGS if key in maps] or list(maps)
    for key in drawn[:2]:
        shown = np.zeros((0, *image.shape[:2]), np.float32)
        if ids:
            shown = picture.enlarge(maps[key])
        panels.append(Panel(_HEADINGS.get(key, key), maps=shown, ids=ids))
    # Categories that are not scored are background, as in the evaluation.
    truth = np.where(np.isin(truth, (*scored, IGNORE)), truth, 0)
    panels += [
        Panel(_MASK_HEADINGS.get(name, name), made)
        for name, made in picture.training_masks(ids).items()
    ]
    # Beside masks that teach, the network's own answer needs another name.
    qualities = {
        "prediction" if own_crf else "mask": Quality(own_crf=own_crf),
    }
    if refine:
        qualities["refined"] = Quality(refine=True, own_crf=own_crf)
    panels += [
        Panel(heading, picture.predict(ids, quality).mask)
        for heading, quality in qualities.items()
    ]
    panels.append(Panel("truth", truth.astype(np.uint8)))
    names = tuple((predictor.split.name_of(i), i) for i in ids)
    return Row(image, tuple(panels), names)
