"""COCO segmentations: polygons and run lengths, checked, then decoded.

The decoding is pycocotools'. Its C code trusts sizes, run lengths and
coordinates, so nothing reaches it that has not been checked here.
"""

import math
import reprlib
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeGuard

import numpy as np
from pycocotools import mask as coco_mask

_FIRST = 48  # the compressed code stores 6 bits a character, from "0" on
_MORE, _SIGN, _BITS = 0x20, 0x10, 0x1F
_LONGEST = 7  # characters of the largest run: 5 bits each
_LARGE_MASK = 4_000_000  # pixels
_SMALL_PART = 16  # of a large mask that is painted pixel by pixel
# Pixels. The rasteriser takes 5 points and 100 bytes for each of them; an
# outline that zigzags over a large picture would take gigabytes.
_LONGEST_OUTLINE = 1_000_000


def checked_polygons(
    polygons: list, height: int, width: int
) -> tuple[tuple[np.ndarray, ...], str | None]:
    """Turns polygons from JSON into arrays, or says what is wrong.

    Args:
        polygons: list of lists x, y, x, y, ... in pixels.
        height: rows of the picture.
        width: columns of the picture.

    Returns:
        float64 arrays [2 * points] and None, or nothing and the problem.
    """
    if not polygons:
        return (), "its segmentation is empty; draw it or remove it"
    arrays: list[np.ndarray] = []
    for index, polygon in enumerate(polygons):
        where = f"polygon {index}"
        if _is_pair(polygon) and len(polygons) + len(polygon) > 3:
            return (), (
                "its points are pairs in lists of their own; write each "
                "polygon as one list [x, y, x, y]"
            )
        if not isinstance(polygon, list) or len(polygon) % 2:
            return (), f"{where} must be a list of x, y, x, y, ..."
        if len(polygon) < 6:
            return (), f"{where} has {len(polygon) // 2} points; it needs three"
        array = _numbers(polygon)
        if array is None:
            wrong = next(v for v in polygon if not is_number(v))
            return (), f"{where} holds {shown(wrong)}, not a finite number"
        # Slightly outside is common and clipped; far outside is a mistake,
        # and the rasteriser would take memory for all of the outline.
        points = array.reshape(-1, 2)
        low, high = points.min(0).tolist(), points.max(0).tolist()
        for axis, (name, side) in enumerate((("x", width), ("y", height))):
            for value in (low[axis], high[axis]):
                if -side <= value <= 2 * side:
                    continue
                if wrong := [v for v in polygon if not is_number(v)]:
                    text = f"{where} holds {shown(wrong[0])}"
                    return (), f"{text}, not a finite number"
                return (), (
                    f"{where} has {name} = {value} in a picture of "
                    f"{width} x {height}; correct it"
                )
        arrays.append(array)
    corners = sum(array.size for array in arrays) // 2
    # No edge is longer than three sides: most need no closer look.
    longest = 3 * max(height, width) * corners
    if longest > _LONGEST_OUTLINE < (length := sum(map(_outline, arrays))):
        return (), (
            f"its outline is {length:.0f} pixels long, more than "
            f"{_LONGEST_OUTLINE}; draw it with fewer turns, or as RLE"
        )
    return tuple(arrays), None


def _numbers(values: list) -> np.ndarray | None:
    """float64 [n] of JSON numbers, perhaps infinite; None if one is none.

    Looked at together: a file of a million annotations holds 50 million.
    """
    if not set(map(type, values)) <= {int, float}:
        return None
    try:
        return np.array(values, np.float64)
    except OverflowError:
        return None


def _is_pair(polygon: Any) -> bool:
    """Whether a polygon is a point [x, y], or a list of points."""
    if not isinstance(polygon, list) or not polygon:
        return False
    point = polygon[0] if isinstance(polygon[0], list) else polygon
    return len(point) == 2 and all(map(is_number, point))


def _outline(polygon: np.ndarray) -> float:
    points = polygon.reshape(-1, 2)
    return float(np.abs(points - np.roll(points, 1, axis=0)).max(1).sum())


def checked_runs(
    code: dict, height: int, width: int
) -> tuple[np.ndarray | None, str | None]:
    """Turns an RLE from JSON into run lengths, or says what is wrong.

    Args:
        code: "size" [height, width] and "counts", a list of run lengths or
            COCO's compressed string.
        height: rows of the picture.
        width: columns of the picture.

    Returns:
        uint32 run lengths, column-wise, background first, and None; or None
        and the problem.
    """
    size, counts = code.get("size"), code.get("counts")
    if size != [height, width]:
        return None, (
            f"its RLE has size {shown(size)} but the picture is "
            f"[{height}, {width}] (height, width); export it again"
        )
    if isinstance(counts, str):
        counts = expand_counts(counts)
    elif not isinstance(counts, list) or not all(map(is_integer, counts)):
        counts = None
    if counts is None:
        return None, (
            'its RLE "counts" must be a list of integers or a COCO '
            "compressed string; export it again"
        )
    if counts and min(counts) < 0:
        return None, (
            f"its RLE has the negative run {shown(min(counts))}; export again"
        )
    if counts and max(counts) >= 2**32:
        return None, (
            f"its RLE has the run {shown(max(counts))}; export it again"
        )
    if sum(counts) != height * width:
        return None, (
            f"its RLE covers {sum(counts)} pixels but the picture has "
            f"{height * width}; export it again"
        )
    return np.array(counts, np.uint32), None


def expand_counts(text: str) -> list[int] | None:
    """Run lengths of COCO's compressed string, or None if it is malformed.

    Each number takes 5 bits a character, lowest first, with a sign; from the
    fourth on, numbers are differences to the one before the last.

    Args:
        text: "counts" of an RLE as a string.

    Returns:
        The run lengths; their signs and sum are not checked.
    """
    try:
        codes = np.frombuffer(text.encode("ascii"), np.uint8).astype(np.int64)
    except UnicodeEncodeError:
        return None
    codes -= _FIRST
    if not codes.size:
        return []
    last = codes & _MORE == 0
    if codes.min() < 0 or codes.max() >= 64 or not last[-1]:
        return None
    ends = np.flatnonzero(last)
    starts = np.concatenate(([0], ends[:-1] + 1))
    lengths = ends - starts + 1
    if lengths.max() > _LONGEST:
        return None
    shift = 5 * (np.arange(codes.size) - np.repeat(starts, lengths))
    values = np.add.reduceat((codes & _BITS) << shift, starts)
    negative = codes[ends] & _SIGN != 0
    values[negative] -= 1 << (5 * lengths[negative])
    # Differences of step two: two running sums, the first one from index 1.
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values.tolist()


def runs_of(mask: np.ndarray) -> np.ndarray:
    """Run lengths of a mask, uint32, column-wise, background first.

    Args:
        mask: bool [height, width].
    """
    flat = np.asarray(mask, bool).ravel(order="F")
    ends = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    start = [0] if flat.size and flat[0] else []
    return np.diff([*start, 0, *ends, flat.size]).astype(np.uint32)


class Region(NamedTuple):
    """The pixels of an instance as COCO's compressed runs: small.

    Attributes:
        code: pycocotools' dictionary of "size" and "counts".
        area: pixels.
    """

    code: dict[str, Any]
    area: int


def encode(
    polygons: Sequence[np.ndarray],
    runs: np.ndarray | None,
    height: int,
    width: int,
) -> Region:
    """Pixels of a checked segmentation.

    Args:
        polygons: float64 [2 * points] each; the region is their union.
        runs: uint32 run lengths, taken instead of polygons when given.
        height: rows of the picture.
        width: columns of the picture.
    """
    if runs is None and not polygons:
        runs = np.array([height * width], np.uint32)
    if runs is None:
        codes = coco_mask.frPyObjects(list(polygons), height, width)
        code = coco_mask.merge(codes) if len(codes) > 1 else codes[0]
    else:
        code = coco_mask.frPyObjects(
            {"size": [height, width], "counts": runs.tolist()}, height, width
        )
    return Region(code, int(coco_mask.area(code)))


class Layers:
    """The union of regions, of which one after the other is laid below."""

    def __init__(self):
        self._code: dict[str, Any] | None = None

    def add(self, region: Region) -> int:
        """Adds a region; gives the pixels of it that lay in none before."""
        if not region.area:
            return 0
        if self._code is None:
            self._code = region.code
            return region.area
        codes = [region.code, self._code]
        common = coco_mask.area(coco_mask.merge(codes, intersect=True))
        self._code = coco_mask.merge(codes)
        return region.area - int(common)


def paint(mask: np.ndarray, region: Region, value: int) -> None:
    """Sets the pixels of a region to `value`.

    Args:
        mask: uint8 [height, width], column-wise in memory; changed.
        region: what `encode` gave for that size.
        value: 0 to 255.
    """
    if mask.size < _LARGE_MASK or region.area > mask.size // _SMALL_PART:
        np.copyto(mask, value, where=coco_mask.decode(region.code).view(bool))
        return
    # A small object in a large picture: visiting all pixels would take 100
    # times longer.
    # Never None: pycocotools wrote the text.
    runs = expand_counts(region.code["counts"].decode()) or []
    ends = np.cumsum(runs + [0] * (len(runs) % 2))
    starts, lengths = ends[0::2], ends[1::2] - ends[0::2]
    before = np.cumsum(lengths) - lengths
    index = np.repeat(starts - before, lengths) + np.arange(region.area)
    mask.reshape(-1, order="F")[index] = value


def is_integer(value: Any) -> TypeGuard[int]:
    """Whether a JSON value is an integer (true and false are not)."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: Any) -> TypeGuard[float]:
    """Whether a JSON value is a finite number of sensible size."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < 2**63 and math.isfinite(value)


def shown(value: Any) -> str:
    """A JSON value, shortened, for an error message."""
    # Of deep nesting and long lists, only the beginning is looked at.
    text = _SHORT.repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


_SHORT = reprlib.Repr()
_SHORT.maxlevel = 3
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 38
