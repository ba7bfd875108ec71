"""Large pictures a few rows at a time, so that what is made of them is small.

Many of NumPy's functions make a copy of all that they are given, of up to 8
bytes a pixel: of 100 million pixels, that is most of a machine's memory.
"""

from collections.abc import Iterator

import numpy as np

_PIXELS = 1 << 22  # of a strip


def strips(height: int, width: int, multiple: int = 1) -> Iterator[slice]:
    """Rows of each strip, from the top.

    Args:
        height: of the picture, in pixels.
        width: likewise.
        multiple: strips begin at multiples of this row.
    """
    rows = max(1, _PIXELS // (max(1, width) * multiple)) * multiple
    for start in range(0, height, rows):
        yield slice(start, min(start + rows, height))


def count_values(mask: np.ndarray) -> np.ndarray:
    """How many pixels have each value, int64 [256], of uint8 [H, W]."""
    counts = np.zeros(256, np.int64)
    for rows in strips(*mask.shape):
        counts += np.bincount(mask[rows].ravel(), minlength=256)
    return counts
