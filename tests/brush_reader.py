"""Reads brush masks as the format is described, to hold what is written."""

from collections.abc import Sequence

import numpy as np

_CHANNELS = 4


def decode_brush(code: Sequence[int], height: int, width: int) -> np.ndarray:
    """The mask of a brush result.

    Args:
        code: bytes, as Label Studio exports them.
        height: rows of the picture.
        width: columns of the picture.

    Returns:
        bool [height, width]: where the brush has painted.

    Raises:
        ValueError: no such code, or of another size; says what is wrong.
    """
    try:
        data = np.frombuffer(bytes(code), np.uint8)
    except (TypeError, ValueError):
        raise ValueError("its rle is no list of bytes") from None
    stream = _Bits(np.unpackbits(data))
    total = stream.read(32)
    if total != height * width * _CHANNELS:
        raise ValueError(
            f"its rle has {total} values, not {height} x {width} x {_CHANNELS}"
        )
    size = stream.read(5) + 1
    sizes = [stream.read(4) + 1 for _ in range(4)]
    values = np.zeros(total, bool)
    at = 0
    while at < total:
        repeated = stream.read(1)
        length = stream.read(sizes[stream.read(2)]) + 1
        if at + length > total:
            raise ValueError("its rle has more values than it says")
        if repeated:
            values[at : at + length] = stream.read(size) > 0
        else:
            values[at : at + length] = stream.read_values(length, size)
        at += length
    # The opacity says where the brush was, whatever its colour.
    return values.reshape(height, width, _CHANNELS)[..., -1]


class _Bits:
    """Numbers from a stream of bits, uint8 [n] of 0 and 1."""

    def __init__(self, bits: np.ndarray):
        self._bits = bits
        self._text = bits.tobytes().translate(_DIGITS)
        self._at = 0

    def _take(self, count: int) -> slice:
        start, self._at = self._at, self._at + count
        if self._at > len(self._text):
            raise ValueError("its rle ends too early")
        return slice(start, self._at)

    def read(self, size: int) -> int:
        """The next number of `size` bits."""
        return int(self._text[self._take(size)], 2)

    def read_values(self, count: int, size: int) -> np.ndarray:
        """Which of the next numbers are not zero, bool [count]."""
        taken = self._bits[self._take(count * size)]
        return np.any(taken.reshape(count, size), axis=1)


_DIGITS = bytes([48, 49, *range(2, 256)])  # "0" and "1"
