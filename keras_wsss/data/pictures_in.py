"""Pictures as callers have them: files, bytes, arrays, Pillow's."""

import os
from typing import Any

import numpy as np
from PIL import Image

from keras_wsss.data.images import (
    DEFAULT_MAX_PIXELS,
    decode_image,
    read_image,
)
from keras_wsss.data.orientation import orientation_of_exif
from keras_wsss.errors import DataError

_CHANNELS = (1, 3, 4)
_UPRIGHT = {  # what undoes an EXIF orientation
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_TOO_FEW_FOR_16_BITS = 256


def as_picture(value: Any, max_pixels: int = DEFAULT_MAX_PIXELS) -> np.ndarray:
    """One picture in any form as RGB.

    As with files, alpha is dropped, grey is repeated, and of 16 bits the
    upper 8 count.

    Args:
        value: a path; the content of a JPEG or PNG file, or an open binary
            file; a Pillow image; or an array [H, W], [H, W, 1], [H, W, 3] or
            [H, W, 4]: uint8, uint16, float from 0 to 1, or other integers
            from 0 to 255.
        max_pixels: largest width times height that is accepted.

    Returns:
        uint8 [H, W, 3], RGB.

    Raises:
        DataError: what is given is no such picture, or not one alone.
    """
    if isinstance(value, str | os.PathLike):
        return read_image(value, max_pixels)
    if isinstance(value, bytes | bytearray | memoryview):
        return decode_image(bytes(value), "the picture", max_pixels)
    if isinstance(value, Image.Image):
        array = _of_pillow(value, max_pixels)
    elif hasattr(value, "read"):
        return _of_file(value, max_pixels)
    elif isinstance(value, np.ndarray) or hasattr(value, "__array__"):
        array = np.asarray(value)
    elif isinstance(value, list | tuple):
        raise DataError(
            f"A {type(value).__name__} of {len(value)} is no picture; "
            "predict_many takes several, and numbers must be a NumPy array."
        )
    else:
        raise DataError(
            f"A {type(value).__name__} is no picture; give a path, bytes, an "
            "open file, a Pillow image or a NumPy array."
        )
    array = _channels(array)
    height, width = array.shape[:2]
    if height * width > max_pixels:
        raise DataError(
            f"A picture of {width} x {height} is more than the limit of "
            f"{max_pixels} pixels; shrink it or raise max_pixels."
        )
    return np.ascontiguousarray(_bytes(array))


def _of_file(file: Any, max_pixels: int) -> np.ndarray:
    try:
        data = file.read()
    except (OSError, ValueError) as error:  # closed, or open for writing
        raise DataError(
            f"The file cannot be read ({error}); open it with 'rb'."
        ) from None
    if not isinstance(data, bytes):
        raise DataError("The file is open as text; open it with 'rb'.")
    name = getattr(file, "name", "")
    name = name if isinstance(name, str) and name else "the open file"
    return decode_image(data, name, max_pixels)


def _of_pillow(image: Image.Image, max_pixels: int) -> np.ndarray:
    if image.width * image.height > max_pixels:
        # Not opened before: decoding it would take the memory.
        return np.empty((image.height, image.width), np.uint8)
    try:
        image.load()  # EXIF may stand behind the pixels
        turned = orientation_of_exif(image.info.get("exif", b""))
        if turned > 1:
            image = image.transpose(_UPRIGHT[turned])
        if image.mode.startswith("I;16"):
            return np.asarray(image).astype(np.uint16)
        if image.mode in ("I", "F"):
            return np.asarray(image)
        return np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(
            f"The Pillow image cannot be decoded ({error}); replace its file."
        ) from None


def _channels(array: np.ndarray) -> np.ndarray:
    """The array as [H, W, 3] of its own type."""
    shape = " x ".join(map(str, array.shape))
    if array.ndim == 4:
        raise DataError(
            f"An array of {shape} is a batch; predict_many takes it."
        )
    if array.ndim == 2:
        array = array[..., np.newaxis]
    if array.ndim != 3 or array.shape[-1] not in _CHANNELS:
        hint = "give [height, width, 3]"
        if array.ndim == 3 and array.shape[0] in _CHANNELS:
            hint = (
                "its channels come first: give numpy.moveaxis(picture, 0, -1)"
            )
        raise DataError(f"An array of {shape} is no picture; {hint}.")
    if not array.size:
        raise DataError(f"An array of {shape} has no pixel.")
    if array.shape[-1] == 1:
        return np.repeat(array, 3, axis=2)
    return array[..., :3]


def _bytes(array: np.ndarray) -> np.ndarray:
    """The array as uint8, by the range of its type."""
    if array.dtype == np.uint8:
        return array
    if array.dtype == bool or array.dtype.kind not in "uif":
        raise DataError(
            f"A picture of type {array.dtype} has no grey levels; give uint8."
        )
    low, high = array.min(), array.max()
    if array.dtype.kind == "f":
        if not (low >= 0 and high <= 1):  # also where one is not a number
            raise DataError(
                f"A picture of type {array.dtype} must lie between 0 and 1, "
                f"and this one reaches from {low:g} to {high:g}; scale it, or "
                "give uint8."
            )
        return np.round(array * 255.0).astype(np.uint8)
    if array.dtype == np.uint16:
        if 0 < high < _TOO_FEW_FOR_16_BITS:
            raise DataError(
                f"A picture of type uint16 reaches {high} of 65535 only, as "
                "if it had 8 bits, and would be black; give it as uint8."
            )
        return (array >> 8).astype(np.uint8)
    if low < 0 or high > 255:
        raise DataError(
            f"A picture of type {array.dtype} must lie between 0 and 255, and "
            f"this one reaches from {low} to {high}; give uint8 or uint16."
        )
    return array.astype(np.uint8)
