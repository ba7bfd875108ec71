"""Index masks in PNG files: palette files read as indices, and written."""

import io
import json
import os
import struct
import zlib
from collections.abc import Mapping
from typing import Any, BinaryIO, NamedTuple

import cv2
import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngImageFile, PngInfo

from keras_wsss.categories import IGNORE, palette
from keras_wsss.data.images import (
    DEFAULT_MAX_PIXELS,
    check_complete,
    check_image,
    read_picture_file,
)
from keras_wsss.data.problems import Problem, raise_problem
from keras_wsss.errors import DataError
from keras_wsss.files import atomic_path
from keras_wsss.strips import count_values

# What the colours of a mask stand for: RGB -> index.
Colours = Mapping[tuple[int, int, int], int]

# Place of bit depth and colour type in a PNG file, which begins with its
# 8 magic bytes, the chunk's length and name, width and height.
_DEPTH, _COLOUR = 24, 25
# What Pillow was seen to raise for damaged files.
_DAMAGE = (
    EOFError,
    IndexError,
    OSError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
_GREY, _PALETTE = 0, 3
_NOTE = "keras_wsss"  # keyword of the text chunk that holds a note
_COLOUR_NAMES = {
    2: "an RGB picture",
    4: "grey with alpha",
    6: "an RGBA picture",
}


def read_palette_mask(
    path: str | os.PathLike[str], max_pixels: int = DEFAULT_MAX_PIXELS
) -> np.ndarray:
    """Reads the category index of every pixel from a palette or grey PNG.

    `tf.io.decode_png` and `cv2.imread` look the palette up and give grey
    values instead (VOC's index 1 becomes 38); Pillow gives the indices.

    Args:
        path: PNG file: 8-bit grey whose values are indices, or a palette.
        max_pixels: largest width times height that is accepted.

    Returns:
        uint8 [height, width]: indices in [0, 255].

    Raises:
        DataError: missing or damaged, no PNG, or a PNG of colours, of 16
            bits or of fewer than 8 bits of grey, which hold no indices.
    """
    if check_image(path, max_pixels).kind != "png":
        raise DataError(
            f"{path}: a JPEG cannot be a mask, compression changes its "
            "values; save masks as palette PNG."
        )
    data = read_picture_file(path, max_pixels)
    check_complete(data, str(path), max_pixels)
    depth, colour = data[_DEPTH], data[_COLOUR]
    # Grey of 1, 2 or 4 bits is stretched to 0..255 by every decoder.
    if colour != _PALETTE and (colour, depth) != (_GREY, 8):
        found = _COLOUR_NAMES.get(colour, f"grey of {depth} bits")
        raise DataError(
            f"{path}: the mask is {found}, which holds colours and no "
            "category indices; save it as an 8-bit palette PNG "
            "(keras_wsss.data.masks.write_palette_mask)."
        )
    image = _open(data, path)
    mask = np.array(image, np.uint8)
    if colour == _PALETTE:
        _check_palette(mask, image.getpalette("RGB") or [], path)
    return mask


def read_colour_mask(
    path: str | os.PathLike[str],
    colours: Colours,
    max_pixels: int = DEFAULT_MAX_PIXELS,
) -> np.ndarray:
    """Reads a PNG whose colours stand for categories.

    Args:
        path: PNG file, of colours or with a palette of them.
        colours: RGB -> index in [0, 255].
        max_pixels: largest width times height that is accepted.

    Returns:
        uint8 [height, width]: indices.

    Raises:
        DataError: missing or damaged, no PNG, or with another colour.
    """
    if check_image(path, max_pixels).kind != "png":
        raise DataError(
            f"{path}: a JPEG cannot be a mask, compression changes its "
            "colours; save masks as PNG."
        )
    data = read_picture_file(path, max_pixels)
    check_complete(data, str(path), max_pixels)
    pixels = np.array(_open(data, path).convert("RGB")).astype(np.uint32)
    codes = pixels @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    known = np.full(1 << 24, -1, np.int16)
    for (red, green, blue), index in colours.items():
        known[(red << 16) + (green << 8) + blue] = index
    mask = known[codes]
    if (mask < 0).any():
        code = int(codes[mask < 0][0])
        colour = f"{code >> 16}, {code >> 8 & 255}, {code & 255}"
        raise DataError(
            f"{path}: {int((mask < 0).sum())} pixels have colours of no "
            f"category, such as {colour}; add the colour to the list of "
            "colours, or save the mask without smoothing."
        )
    return mask.astype(np.uint8)


def _check_palette(
    mask: np.ndarray, colours: list[int], path: str | os.PathLike[str]
) -> None:
    """Refuses indices whose colours are VOC's for other indices.

    Programs that turn colours into a palette number them as they come.
    """
    used = np.flatnonzero(count_values(mask))
    own = np.zeros((256, 3), int)
    own[: len(colours) // 3] = np.reshape(colours, (-1, 3))
    shown = own[used]
    grey = (shown == shown[:, :1]).all()  # a ramp says nothing
    if grey or len(np.unique(shown, axis=0)) < len(shown):
        return
    usual = palette().astype(int)
    for index, colour in zip(used.tolist(), shown, strict=True):
        (meant,) = np.nonzero((usual == colour).all(axis=1))
        if meant.size and index not in meant:
            raise_problem(
                Problem(
                    "palette contradicts indices",
                    str(path),
                    "",
                    f"index {index} has the colour that VOC's palette gives "
                    f"index {meant[0]}: a program numbered the colours anew; "
                    "save the original indices, or masks of colours again with "
                    "VOC's palette",
                )
            )


def own_palette(path: str | os.PathLike[str]) -> np.ndarray | None:
    """The colours of a palette PNG, the pixels not decoded.

    Returns:
        uint8 [256, 3]; None for a file without a palette, or with one that
        every program gives: VOC's, or a ramp of grey.
    """
    try:
        with Image.open(path, formats=["PNG"]) as image:
            colours = image.getpalette("RGB") if image.mode == "P" else None
    except (*_DAMAGE, Image.DecompressionBombError):
        return None
    if not colours:
        return None
    own = np.reshape(colours, (-1, 3))[:256].astype(np.uint8)
    ramp = np.arange(len(own))[:, np.newaxis]
    if (own == ramp).all() or (own == palette()[: len(own)]).all():
        return None
    return np.concatenate([own, np.zeros((256 - len(own), 3), np.uint8)])


def _open(data: bytes, path: str | os.PathLike[str]) -> Image.Image:
    """A decoded PNG, whose size is known to be accepted. Raises `DataError`."""
    try:
        image = PngImageFile(io.BytesIO(data))  # `Image.open` has own limits
        image.load()
        return image
    except _DAMAGE:
        raise DataError(
            f"{path}: its PNG data are corrupt; replace the file."
        ) from None


def write_palette_mask(
    path: str | os.PathLike[str] | BinaryIO,
    mask: np.ndarray,
    note: Mapping[str, Any] | None = None,
) -> None:
    """Writes an index mask as a palette PNG with the VOC colours.

    Args:
        path: file name, written atomically, or a binary file object.
        mask: uint8 [height, width]: 0 background, ids, 255 ignore.
        note: JSON values to keep with it, for `read_mask_note`.

    Raises:
        ValueError: `mask` has another type or rank.
    """
    if mask.dtype != np.uint8 or mask.ndim != 2:
        raise ValueError(
            f"a mask is uint8 [height, width], not {mask.dtype} {mask.shape}"
        )
    image = Image.fromarray(np.ascontiguousarray(mask))
    image.putpalette(palette().tobytes())
    text = PngInfo()
    if note is not None:
        text.add_text(_NOTE, json.dumps(note, sort_keys=True))
    if isinstance(path, str | os.PathLike):
        with atomic_path(path) as temporary:
            image.save(temporary, format="PNG", pnginfo=text)
    else:
        image.save(path, format="PNG", pnginfo=text)


def read_mask_note(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """What `write_palette_mask` noted in a file; None if nothing can be read.

    The pixels are not decoded.
    """
    try:
        with PngImageFile(os.fspath(path)) as image:
            note = json.loads(image.info[_NOTE])
    except (*_DAMAGE, KeyError):
        return None
    return note if isinstance(note, dict) else None


class ValueProblem(NamedTuple):
    """What is wrong with the values of a mask.

    Attributes:
        kind: "palette read as grey" or "label out of range".
        text: names the values and the remedy, without a final full stop.
    """

    kind: str
    text: str


def mask_value_problem(mask: np.ndarray, largest: int) -> ValueProblem | None:
    """Says what is wrong with the values of a mask, if anything.

    Args:
        mask: uint8 [height, width].
        largest: largest index that names a category.

    Returns:
        None when every value is at most `largest` or 255.
    """
    values = np.flatnonzero(count_values(mask))
    wrong = values[(values > largest) & (values != IGNORE)]
    if not wrong.size:
        return None
    shown = ", ".join(str(value) for value in wrong[:5])
    if wrong.size > 5:
        shown += ", ..."
    colours = palette()[np.newaxis, [*range(1, largest + 1), IGNORE]]
    greys = cv2.cvtColor(colours, cv2.COLOR_RGB2GRAY).astype(int)
    # Decoders round the grey of a palette entry differently, by one.
    named = values[(values > 0) & (values != IGNORE), np.newaxis]
    if np.abs(named - greys).min(axis=1).max() <= 1:
        return ValueProblem(
            "palette read as grey",
            f"the mask holds {shown}, the grey values of the VOC palette: it "
            "was saved from a palette that was read as grey; save the "
            "original indices",
        )
    return ValueProblem(
        "label out of range",
        f"the mask holds {shown}, but categories end at {largest} and only "
        "255 may lie above; renumber it or add the categories",
    )
