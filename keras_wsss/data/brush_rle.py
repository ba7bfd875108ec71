"""Label Studio's run lengths of brush masks, written and read.

They are those of thi.ng/rle-pack, of RGBA pixels of which the opacity is the
mask: a stream of bits that says how many values follow, their size, and four
sizes of run lengths; then runs, each of one value or of as many as it is long.
"""

from collections.abc import Sequence

import numpy as np

_CHANNELS = 4
_SIZES = (3, 4, 8, 16)  # bits of a run length
_VALUE = 8  # bits of a value
_OPAQUE = 255
_LONGEST = 1 << _SIZES[-1]


def encode_brush(mask: np.ndarray) -> list[int]:
    """The "rle" of a brush result.

    Args:
        mask: bool [height, width].

    Returns:
        Bytes, 0 to 255.
    """
    flat = np.asarray(mask, bool).ravel()
    ends = np.append(np.flatnonzero(flat[1:] != flat[:-1]) + 1, flat.size)
    lengths = np.diff(ends, prepend=0) * _CHANNELS
    bits = [f"{flat.size * _CHANNELS:032b}", f"{_VALUE - 1:05b}"]
    bits += [f"{size - 1:04b}" for size in _SIZES]
    for end, length in zip(ends.tolist(), lengths.tolist(), strict=True):
        value = f"{_OPAQUE if flat[end - 1] else 0:08b}"
        while length > 0:
            run = min(length, _LONGEST)
            index = next(i for i, s in enumerate(_SIZES) if run <= 1 << s)
            bits.append(f"1{index:02b}{run - 1:0{_SIZES[index]}b}{value}")
            length -= run
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return list(int(text, 2).to_bytes(len(text) // 8, "big"))


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
