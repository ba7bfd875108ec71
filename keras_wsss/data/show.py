"""Contact sheets: pictures with their masks and tags drawn over them."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw

from keras_wsss.categories import IGNORE, Split
from keras_wsss.colours import bright_palette
from keras_wsss.config import DataConfig
from keras_wsss.data import formats
from keras_wsss.data.images import DEFAULT_MAX_PIXELS, read_image
from keras_wsss.data.records import Record
from keras_wsss.drawing import draw_overlay
from keras_wsss.errors import ConfigError, DataError
from keras_wsss.files import atomic_path
from keras_wsss.lettering import font_of, length, writable, write

TILE = 240  # pixels, longest side of a picture on the sheet
_GAP, _LINE, _LINES, _HEADING = 12, 18, 3, 34
_PAPER, _INK, _PALE = (255, 255, 255), (25, 25, 25), (120, 120, 120)


@dataclasses.dataclass(frozen=True)
class Part:
    """Pictures that share a heading on the sheet."""

    heading: str
    records: Sequence[Record]


def write_contact_sheet(
    path: str | Path,
    data: DataConfig,
    split: Split,
    *,
    count: int = 12,
    columns: int = 6,
    seed: int = 0,
) -> None:
    """Writes a PNG with some pictures of each part of the data.

    Masks are drawn as overlays are, with a white outline, ignored pixels
    hatched in white. Below a picture stand its name and its labels: those in
    the mask of a source or evaluation picture, the tags of a target one.

    Args:
        path: PNG file to write.
        data: what to draw; parts without a location are left out.
        split: categories to use.
        count: pictures of each part.
        columns: pictures in a row.
        seed: choice of the pictures.

    Raises:
        DataError: a file that cannot be read.
        ConfigError: `count` or `columns` is not positive.
    """
    if count < 1 or columns < 1:
        raise ConfigError("--count and --columns must be positive.")
    parts = [
        _chosen(heading, records, count, seed)
        for heading, records in _read(data, split)
    ]
    sheet = contact_sheet(parts, split, columns, data.max_pixels)
    with atomic_path(path) as temporary:
        Image.fromarray(sheet).save(temporary, format="PNG")


def contact_sheet(
    parts: Sequence[Part],
    split: Split,
    columns: int,
    max_pixels: int = DEFAULT_MAX_PIXELS,
) -> np.ndarray:
    """Draws headings and pictures.

    Args:
        parts: what to draw, from top to bottom.
        split: names of the ids in labels and masks.
        columns: pictures in a row.
        max_pixels: largest width times height of a picture.

    Returns:
        uint8 [height, width, 3], RGB.
    """
    cell_height = TILE + (1 + _LINES) * _LINE + _GAP
    rows = [-(-len(part.records) // columns) for part in parts]
    headings = [font_of(20).getlength(part.heading) for part in parts]
    width = max(columns * (TILE + _GAP) - _GAP, *map(round, headings), TILE)
    width += 2 * _GAP
    height = sum(_HEADING + count * cell_height for count in rows) + _GAP
    sheet = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(sheet)
    top = _GAP
    for part, count in zip(parts, rows, strict=True):
        draw.text((_GAP, top), part.heading, _INK, font_of(20))
        top += _HEADING
        for index, record in enumerate(part.records):
            row, column = divmod(index, columns)
            corner = (
                _GAP + column * (TILE + _GAP),
                top + row * cell_height,
            )
            _draw_record(sheet, draw, corner, record, split, max_pixels)
        top += count * cell_height
    return np.asarray(sheet)


def _read(data: DataConfig, split: Split) -> list[tuple[str, Sequence[Record]]]:
    data = data.replace({"min_pixels": 0, "exclude_images_with_target": False})
    parts = (
        ("source", data.source_annotations, "source (masks)"),
        ("target", data.target_tags, "target (tags only)"),
        ("evaluation", data.eval_root, f"evaluation ({data.eval_set})"),
    )
    return [
        (heading, formats.read(data, split, part).records)
        for part, given, heading in parts
        if given
    ]


def _chosen(
    heading: str, records: Sequence[Record], count: int, seed: int
) -> Part:
    count = min(count, len(records))
    generator = np.random.default_rng(seed)
    picked = sorted(generator.choice(len(records), count, replace=False))
    return Part(
        f"{heading}: {count} of {len(records)} pictures",
        [records[index] for index in picked],
    )


def _draw_record(
    sheet: Image.Image,
    draw: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    record: Record,
    split: Split,
    max_pixels: int,
) -> None:
    image = read_image(record.image_path, max_pixels)
    height, width = image.shape[:2]
    scale = TILE / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    labels: Sequence[int] = record.labels
    if record.mask is not None:
        mask = record.read_mask()
        if mask.shape != (height, width):
            raise DataError(
                f"{record.image_path}: the picture is {width} x {height} but "
                f"its mask is {mask.shape[1]} x {mask.shape[0]}; run verify "
                "to list all such pictures."
            )
        labels = [
            label for label in np.unique(mask) if label not in (0, IGNORE)
        ]
        mask = cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST)
        image = draw_overlay(image, mask)
    left, top = corner
    # Centred in its tile, at the bottom: next to its caption.
    place = (left + (TILE - size[0]) // 2, top + TILE - size[1])
    sheet.paste(Image.fromarray(image), place)
    top += TILE + 4
    name = _fitting(writable(record.image_id), TILE, 12)
    write(draw, (left, top), name, _PALE, 12)
    names = [
        (writable(split.name_of(int(label)), int(label)), int(label))
        for label in labels
    ]
    _draw_names(draw, (left, top + _LINE), names)


def _draw_names(
    draw: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    names: Sequence[tuple[str, int]],
) -> None:
    """Writes names with a chip of their colour, broken into lines."""
    size, colours, chip = 13, bright_palette().astype(int), 10
    left, top = corner
    x, line = left, 0
    for index, (name, label) in enumerate(names):
        name = _fitting(name, TILE - chip - 4, size)
        width = chip + 4 + round(length(name, size)) + 8
        rest = f"+{len(names) - index}"
        room = TILE - (length(rest, size) + 4) * (line == _LINES - 1)
        if x > left and x + width - 8 > left + room:
            line, x = line + 1, left
        if line == _LINES:
            # No room: say how many more there are.
            x_last = left + TILE - length(rest, size)
            write(draw, (x_last, top + (line - 1) * _LINE), rest, _INK, size)
            return
        y = top + line * _LINE
        box = (x, y + 3, x + chip, y + 3 + chip)
        colour = tuple(colours[label].tolist())
        draw.rectangle(box, fill=colour, outline=_INK)
        write(draw, (x + chip + 4, y), name, _INK, size)
        x += width


def _fitting(text: str, width: int, size: int) -> str:
    """The end of a text that fits, marked when it was cut."""
    shown = text
    while length(shown, size) > width:
        text = text[1:]
        shown = "…" + text
    return shown
