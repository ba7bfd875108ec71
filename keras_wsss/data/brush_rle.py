"""Label Studio's run lengths of brush masks.

They are those of thi.ng/rle-pack, of RGBA pixels of which the opacity is the
mask: a stream of bits that says how many values follow, their size, and four
sizes of run lengths; then runs, each of one value or of as many as it is long.
"""

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
