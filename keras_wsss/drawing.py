"""Draws pictures with maps and masks over them, one panel beside another.

What a panel shows is data, so that every system draws its own maps with the
same code: attention here, class maps or foreground maps there.
"""

import dataclasses
import textwrap
from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw

from keras_wsss.categories import IGNORE
from keras_wsss.colours import bright_palette
from keras_wsss.lettering import box_of, font_of, length, writable, write
from keras_wsss.strips import count_values, strips

_GAP, _HEADING, _CAPTION, _LINE = 8, 30, 24, 20
_PAPER, _INK = (255, 255, 255), (25, 25, 25)
_IGNORED = (190, 190, 190)
_WARNING = (170, 30, 30)
_OPACITY = 0.55  # of masks over a picture in colour
_WIDEST_EDGE = 3  # pens
_HATCH = 8  # pixels between the lines over ignored pixels


@dataclasses.dataclass(frozen=True)
class Panel:
    """One thing to show of a picture.

    Without `mask` and `maps` it is the picture itself.

    Attributes:
        heading: what it is, e.g. "attention".
        mask: uint8 [h, w] of any size: 0 background, ids, 255 ignore.
        maps: float [K, h, w] of any size; each is drawn as a share of its
            own maximum; values that are negative or not finite as nothing.
        ids: categories of the maps, which decide their colours.
        style: how a mask is laid over the picture, one of `STYLES`.
    """

    heading: str
    mask: np.ndarray | None = None
    maps: np.ndarray | None = None
    ids: tuple[int, ...] = ()
    style: str = "dark"


@dataclasses.dataclass(frozen=True)
class Row:
    """A picture and its panels.

    Attributes:
        image: uint8 [H, W, 3], RGB.
        panels: drawn from left to right.
        names: names and ids written below, each with a chip of its colour.
    """

    image: np.ndarray
    panels: tuple[Panel, ...]
    names: tuple[tuple[str, int], ...] = ()


def draw_panel(image: np.ndarray, panel: Panel) -> np.ndarray:
    """Draws a panel at the picture's own size.

    Returns:
        uint8 [H, W, 3], RGB.
    """
    size = image.shape[1::-1]
    if panel.maps is not None:
        maps = [
            cv2.resize(share, size, interpolation=cv2.INTER_LINEAR)
            for share in shares(panel.maps)
        ]
        return _glow(image, maps, panel.ids)
    if panel.mask is not None:
        mask = panel.mask
        if mask.shape != image.shape[:2]:
            mask = cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST)
        return _paint(image, mask, panel.style, np.empty_like(image))
    return image


def draw_overlay(
    image: np.ndarray,
    mask: np.ndarray,
    names: Mapping[int, str] | None = None,
    style: str = "colour",
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Lays a mask over its picture and writes the categories' names on it.

    Args:
        image: uint8 [H, W, 3], RGB.
        mask: uint8 [H, W]: 0 background, ids, 255 ignore.
        names: id -> what is written where its region is widest.
        style: one of `STYLES`.
        out: what is drawn to, as `image`, which it may be; None is new.

    Returns:
        uint8 [H, W, 3], RGB.
    """
    drawn = np.empty_like(image) if out is None else out
    _paint(image, mask, style, drawn)
    size = min(max(11, min(mask.shape) // 16), 48)
    for number, name in (names or {}).items():
        place = _widest(mask, number)
        if place is not None:
            _write_within(drawn, place, writable(name, number), size)
    return drawn


def draw_sheet(
    rows: Sequence[Row], tile: int = 160, note: str = ""
) -> np.ndarray:
    """Draws rows of panels below their headings.

    Rows whose panels have other headings than those above get their own.

    Args:
        rows: at least one.
        tile: side of a panel, pixels.
        note: a sentence to write above all, broken into lines.

    Returns:
        uint8 [height, width, 3], RGB.
    """
    columns = max(len(row.panels) for row in rows)
    width = _GAP + columns * (tile + _GAP)
    headings = _new_headings(rows)
    height = len(rows) * (tile + _CAPTION + _GAP)
    height += sum(map(bool, headings)) * _HEADING
    # As a pixel font of this size is at most that wide, nothing is cut off.
    lines = textwrap.wrap(writable(note), max(10, width // 8))
    height += len(lines) * _LINE
    sheet = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for index, line in enumerate(lines):
        write(draw, (_GAP, 3 + index * _LINE), line, _WARNING, 14)
    top = len(lines) * _LINE
    for row, texts in zip(rows, headings, strict=True):
        if texts:
            _draw_headings(draw, top + 6, tile, texts)
            top += _HEADING
        for column, panel in enumerate(row.panels):
            left = _GAP + column * (tile + _GAP)
            shown = _tile(draw_panel(row.image, panel), tile)
            sheet.paste(Image.fromarray(shown), (left, top))
        _draw_names(draw, _GAP, top + tile + 4, row.names)
        top += tile + _CAPTION + _GAP
    return np.asarray(sheet)


def shares(maps: np.ndarray) -> np.ndarray:
    """Every map, [K, h, w], as a share of its own maximum: float32 0 to 1.

    What is negative or not finite is 0: training draws its first pictures
    before it can tell that a network's weights are spoiled.
    """
    values = np.asarray(maps, np.float32)
    positive = np.where(np.isfinite(values) & (values > 0), values, 0.0)
    if not len(positive):
        return positive
    highest = positive.max(axis=(1, 2), keepdims=True)
    return positive / np.maximum(highest, 1e-12)


def glow_layer(maps: np.ndarray, ids: Sequence[int]) -> np.ndarray:
    """Maps as coloured light alone, to lay over a dark picture.

    Args:
        maps: float [K, h, w] in [0, 1], see `shares`.
        ids: their categories.

    Returns:
        uint8 [h, w, 4], RGBA: brightness is in the opacity.
    """
    light = _light(maps, ids, maps.shape[1:])
    highest = light.max(axis=2, keepdims=True)
    colour = light * (255 / np.maximum(highest, 1e-6))
    opacity = np.clip(highest, 0, 255)
    return np.concatenate([colour, opacity], 2).astype(np.uint8)


def _light(maps, ids: Sequence[int], size: Sequence[int]) -> np.ndarray:
    light = np.zeros((*size, 3), np.float32)
    for share, number in zip(maps, ids, strict=True):
        light += np.clip(share, 0, 1)[..., None] * bright_palette()[number]
    return light


def _glow(image: np.ndarray, maps, ids: Sequence[int]) -> np.ndarray:
    """Maps [K, H, W] in [0, 1] as coloured light over the picture."""
    light = 0.9 * _light(maps, ids, image.shape[:2])
    return np.clip(_dark(image) + light, 0, 255).astype(np.uint8)


def _paint(
    image: np.ndarray, mask: np.ndarray, style: str, out: np.ndarray
) -> np.ndarray:
    """Lays a mask [H, W] over a picture, to `out`, which may be the picture.

    In strips, each with the rows around it that its outlines depend on.
    """
    # Twice as wide in a picture of 1000 pixels as in a small one, and so on.
    height, width = mask.shape
    pen = max(1, round(max(height, width) / 500))
    reach = _WIDEST_EDGE * pen
    reach += -reach % _HATCH  # or lines would begin elsewhere
    for rows in strips(height, width, _HATCH):
        near = slice(max(0, rows.start - reach), rows.stop + reach)
        drawn = _PAINTERS[style](image[near], mask[near], pen)
        first = rows.start - near.start
        out[rows] = drawn[first : first + rows.stop - rows.start]
    return out


def _dark(image: np.ndarray) -> np.ndarray:
    """The picture as dark grey, uint8 [H, W, 3]."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    dark = (np.arange(256) * 0.3).astype(np.uint8)
    return cv2.cvtColor(cv2.LUT(grey, dark), cv2.COLOR_GRAY2RGB)


def _painted(image: np.ndarray, mask: np.ndarray, pen: int) -> np.ndarray:
    """The picture dark, with the pixels of categories in their colours."""
    result = _dark(image)
    _lay(result, image, mask, 0.85)
    result[mask == IGNORE] = _IGNORED
    return result


def _lay(
    result: np.ndarray, image: np.ndarray, mask: np.ndarray, opacity: float
) -> None:
    """Lays colours of that opacity over the pixels of categories."""
    shown = np.flatnonzero(count_values(mask))
    for number in shown[(shown > 0) & (shown != IGNORE)].tolist():
        # By tables: arithmetic on pixels would take as long as a network.
        colour = opacity * bright_palette()[number]
        values = (1 - opacity) * np.arange(256)[:, None] + colour  # (256, 3)
        table = np.clip(values.astype(np.float32), 0, 255).astype(np.uint8)
        cv2.copyTo(
            cv2.LUT(image, table[None]), (mask == number).view(np.uint8), result
        )


def _coloured(image: np.ndarray, mask: np.ndarray, pen: int) -> np.ndarray:
    """The picture in colour, categories half transparent within an outline."""
    result = image.copy()
    _lay(result, image, mask, _OPACITY)
    rows, columns = (
        (np.arange(n) % _HATCH).astype(np.uint8) for n in mask.shape
    )
    hatch = np.add.outer(rows, columns) % _HATCH < 2  # bytes: masks are large
    result[hatch & (mask == IGNORE)] = 255
    result[_edges(mask, pen)] = 255
    return result


def _outlined(image: np.ndarray, mask: np.ndarray, pen: int) -> np.ndarray:
    """The picture as it is, with an outline in the category's colour."""
    result = image.copy()
    # A white seam: colours show on any ground.
    result[_edges(mask, _WIDEST_EDGE * pen)] = 255
    inner = np.where(_edges(mask, 2 * pen), mask, 0)
    _lay(result, image, inner, 1.0)
    return result


def _edges(mask: np.ndarray, width: int) -> np.ndarray:
    """Pixels of categories as near to another value, bool [H, W]."""
    side = 1 + 2 * width
    kernel = np.ones((side, side), np.uint8)
    edge = cv2.dilate(mask, kernel) != cv2.erode(mask, kernel)
    return edge & (mask > 0) & (mask != IGNORE)


# How a mask may be laid over its picture.
_PAINTERS = {"colour": _coloured, "outline": _outlined, "dark": _painted}
STYLES = tuple(_PAINTERS)


def _widest(mask: np.ndarray, number: int) -> tuple[float, float] | None:
    """Where a category's region is widest: x and y, or None without pixel."""
    scale = min(1.0, 256 / max(mask.shape))
    size = [max(1, round(scale * side)) for side in mask.shape[1::-1]]
    region = (mask == number).view(np.uint8)
    small = cv2.resize(region, size, interpolation=cv2.INTER_AREA)
    if not region.any():
        return None
    if not small.any():  # thinner than half a pixel of the small one
        row, column = divmod(int(region.argmax()), region.shape[1])
        return float(column), float(row)
    # A frame of nothing: a region may fill the picture.
    depth = cv2.distanceTransform(np.pad(small, 1), cv2.DIST_L2, 3)
    # Of the places that are nearly as wide, the one in the middle.
    wide = np.argwhere(depth >= 0.9 * depth.max())
    middle = np.linalg.norm(wide - wide.mean(axis=0), axis=1).argmin()
    row, column = wide[middle]
    return (column - 0.5) / scale, (row - 0.5) / scale


def _write_within(
    image: np.ndarray, place: tuple[float, float], text: str, size: int
) -> None:
    """Writes a text around a place, moved into the picture [H, W, 3]."""
    height, width = image.shape[:2]
    left, top, right, bottom = box_of(text, size)
    x = min(max(place[0] - (left + right) / 2, -left), width - right)
    y = min(max(place[1] - (top + bottom) / 2, -top), height - bottom)
    # Of a text that is longer than the picture, the beginning.
    x, y = max(x, -left), max(y, -top)
    # Pillow gets what it writes on alone: it copies all that it is given.
    first_x, first_y = int(x + left), int(y + top)
    around = (
        slice(first_y, int(y + bottom) + 2),
        slice(first_x, int(x + right) + 2),
    )
    patch = Image.fromarray(image[around])
    place = (x - first_x, y - first_y)
    write(ImageDraw.Draw(patch), place, text, (255, 255, 255), size, _INK)
    image[around] = np.asarray(patch)


def _tile(image: np.ndarray, side: int) -> np.ndarray:
    """A picture within a square, on the colour of paper."""
    height, width = image.shape[:2]
    scale = side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    image = cv2.resize(image, size, interpolation=method)
    tile = np.full((side, side, 3), _PAPER, np.uint8)
    top, left = (side - size[1]) // 2, (side - size[0]) // 2
    tile[top : top + size[1], left : left + size[0]] = image
    return tile


def _new_headings(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    """The headings to draw above each row; empty where those above hold."""
    headings: list[tuple[str, ...]] = []
    above: tuple[str, ...] = ()
    for row in rows:
        texts = tuple(panel.heading for panel in row.panels)
        # A row may lack the last panels, such as a truth that is not known.
        new = not above or texts != above[: len(texts)]
        headings.append(texts if new else ())
        above = texts if new else above
    return headings


def _draw_headings(
    draw: ImageDraw.ImageDraw, top: int, tile: int, texts: Sequence[str]
) -> None:
    """Writes a text above the middle of each column."""
    for column, text in enumerate(texts):
        centre = _GAP + column * (tile + _GAP) + tile // 2
        draw.text((centre, top), writable(text), _INK, font_of(16), anchor="ma")


def _draw_names(
    draw: ImageDraw.ImageDraw,
    left: float,
    top: float,
    names: Sequence[tuple[str, int]],
) -> None:
    """Writes names, each behind a chip of its colour."""
    for given, number in names:
        name = writable(given, number)
        colour = tuple(int(v) for v in bright_palette()[number])
        box = (left, top + 3, left + 10, top + 13)
        draw.rectangle(box, fill=colour, outline=_INK)
        write(draw, (left + 15, top), name, _INK, 13)
        left += 15 + length(name, 13) + 14
