"""A picture of results: image, attention, densified attention, mask, truth."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from keras_wsss.categories import IGNORE, palette
from keras_wsss.data.images import read_image
from keras_wsss.data.records import Record
from keras_wsss.errors import ConfigError
from keras_wsss.files import atomic_path
from keras_wsss.inference.predictor import Predictor

HEADINGS = ("picture", "attention", "densified", "mask", "truth")
FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
TILE = 160  # pixels, side of a picture in the gallery
_GAP, _HEADING, _CAPTION = 8, 30, 24
_PAPER, _INK = (255, 255, 255), (25, 25, 25)
_IGNORED = (190, 190, 190)


def write_gallery(
    path: str | Path,
    predictor: Predictor,
    records: Sequence[Record],
    *,
    refine: bool = False,
) -> None:
    """Writes a picture with one row per record; its tags are given.

    Colours stand for categories and are named below each row. Attention and
    densified attention are drawn over the darkened picture, every label's
    map divided by its own maximum.

    Args:
        path: PNG or JPEG file to write.
        predictor: a trained network.
        records: evaluation pictures with masks, see `choose_rows`.
        refine: whether the masks are refined.

    Raises:
        ConfigError: another type of file, or no record.
        DataError: a picture or mask that cannot be read.
    """
    path = Path(path)
    if path.suffix.lower() not in FORMATS:
        raise ConfigError(f"{path} must end in {', '.join(sorted(FORMATS))}.")
    if not records:
        raise ConfigError("There is no picture to draw in the gallery.")
    with atomic_path(path) as temporary:
        Image.fromarray(draw_gallery(predictor, records, refine)).save(
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
        set(np.unique(record.mask.read()).tolist()) & set(ids)
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


def draw_gallery(
    predictor: Predictor, records: Sequence[Record], refine: bool = False
) -> np.ndarray:
    """Draws what `write_gallery` writes: uint8 [height, width, 3], RGB."""
    rows = [_row(predictor, record, refine) for record in records]
    width = _GAP + len(HEADINGS) * (TILE + _GAP)
    height = _HEADING + len(rows) * (TILE + _CAPTION + _GAP)
    sheet = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for column, heading in enumerate(HEADINGS):
        centre = _GAP + column * (TILE + _GAP) + TILE // 2
        draw.text((centre, 6), heading, _INK, _font(16), anchor="ma")
    for number, (tiles, ids) in enumerate(rows):
        top = _HEADING + number * (TILE + _CAPTION + _GAP)
        for column, tile in enumerate(tiles):
            left = _GAP + column * (TILE + _GAP)
            sheet.paste(Image.fromarray(tile), (left, top))
        names = [(predictor.split.name_of(i), i) for i in ids]
        _draw_names(draw, _GAP, top + TILE + 4, names)
    return np.asarray(sheet)


def _row(
    predictor: Predictor, record: Record, refine: bool
) -> tuple[list[np.ndarray], tuple[int, ...]]:
    """The tiles of a picture, and the ids that were asked for."""
    limit = predictor.config.data.max_pixels
    image = read_image(Path(record.image_path), limit)
    truth = record.mask.read()
    scored = predictor.split.scored_ids
    ids = tuple(i for i in scored if np.any(truth == i))
    encoded = predictor.encode(image)
    probabilities = predictor.probabilities(encoded, ids)
    if refine:
        probabilities = predictor.refine(image, probabilities)
    mask = predictor.merge(probabilities, ids)
    tiles = [image]
    maps = predictor.densified(encoded, ids) if ids else {}
    for key in ("attention", "densified_attention"):
        if ids:
            shares = predictor.square_to_picture(
                _shares(maps[key]), *image.shape[:2]
            )
            tiles.append(_glow(image, shares, ids))
        else:
            tiles.append(_dark(image))
    # Categories that are not scored are background, as in the evaluation.
    truth = np.where(np.isin(truth, (*scored, IGNORE)), truth, 0)
    tiles += [_painted(image, mask), _painted(image, truth)]
    return [_tile(tile) for tile in tiles], ids


def _shares(maps: np.ndarray) -> np.ndarray:
    """Every map, [K, g, g], as a share of its own maximum, in [0, 1]."""
    positive = np.maximum(maps, 0.0)
    highest = positive.max(axis=(1, 2), keepdims=True)
    return positive / np.maximum(highest, 1e-12)


def _glow(
    image: np.ndarray, shares: np.ndarray, ids: Sequence[int]
) -> np.ndarray:
    """Maps [K, H, W] in [0, 1] as coloured light over the picture."""
    light = np.zeros(image.shape, np.float32)
    for share, number in zip(shares, ids, strict=True):
        light += np.clip(share, 0, 1)[..., None] * _colours()[number]
    return np.clip(_dark(image) + 0.9 * light, 0, 255).astype(np.uint8)


def _dark(image: np.ndarray) -> np.ndarray:
    """The picture as dark grey, uint8 [H, W, 3]."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) * 0.3
    return np.repeat(grey[..., None], 3, axis=2).astype(np.uint8)


def _painted(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The picture dark, with the pixels of categories in their colours."""
    result = _dark(image).astype(np.float32)
    known = (mask > 0) & (mask != IGNORE)
    result[known] = 0.15 * image[known] + 0.85 * _colours()[mask[known]]
    result[mask == IGNORE] = _IGNORED
    return np.clip(result, 0, 255).astype(np.uint8)


def _tile(image: np.ndarray) -> np.ndarray:
    """A picture within a square of TILE pixels, on the colour of paper."""
    height, width = image.shape[:2]
    scale = TILE / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    image = cv2.resize(image, size, interpolation=method)
    tile = np.full((TILE, TILE, 3), _PAPER, np.uint8)
    top, left = (TILE - size[1]) // 2, (TILE - size[0]) // 2
    tile[top : top + size[1], left : left + size[0]] = image
    return tile


def _colours() -> np.ndarray:
    """The VOC colours at full brightness, float32 [256, 3]."""
    colours = palette().astype(np.float32)
    highest = np.maximum(colours.max(axis=1, keepdims=True), 1)
    # A little white: pure blue can hardly be seen on a dark ground.
    return 0.8 * colours * (255 / highest) + 0.2 * 255


def _draw_names(
    draw: ImageDraw.ImageDraw,
    left: float,
    top: float,
    names: Sequence[tuple[str, int]],
) -> None:
    """Writes names, each behind a chip of its colour."""
    for name, number in names:
        colour = tuple(int(v) for v in _colours()[number])
        box = (left, top + 3, left + 10, top + 13)
        draw.rectangle(box, fill=colour, outline=_INK)
        draw.text((left + 15, top), name, _INK, _font(13))
        left += 15 + draw.textlength(name, _font(13)) + 14


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
