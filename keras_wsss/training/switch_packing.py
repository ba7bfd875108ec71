"""Pooling switches at two bits a cell."""

import numpy as np

# Value of the four cells that a byte holds, lowest bits first.
_CELLS = (np.arange(256)[:, None] >> np.array([0, 2, 4, 6])).astype(
    np.uint8
) & 3
_FOUR_CELLS = np.ascontiguousarray(_CELLS).view("<u4")[:, 0]


def packed_size(count: int) -> int:
    """Bytes that `count` switches take."""
    return -(-count // 4)


def pack(switches: np.ndarray) -> np.ndarray:
    """Packs four switches into a byte.

    Args:
        switches: uint8, any shape, values 0 to 3.

    Returns:
        uint8 [packed_size(number of switches)]; missing ones count as 0.

    Raises:
        ValueError: another type, or a value above 3.
    """
    if switches.dtype != np.uint8:
        raise ValueError(f"switches are {switches.dtype}, not uint8")
    flat = np.ravel(switches)
    if flat.size and flat.max() > 3:
        raise ValueError(f"a switch has the value {flat.max()}; 0 to 3 exist")
    flat = np.pad(flat, (0, -flat.size % 4))
    words = flat.view("<u4")  # four cells at once
    return (words | words >> 6 | words >> 12 | words >> 18).astype(np.uint8)


def unpack(packed: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Undoes `pack`.

    Args:
        packed: uint8 [packed_size(product of `shape`)].
        shape: shape of the switches.

    Returns:
        uint8 of `shape`, values 0 to 3.

    Raises:
        ValueError: `packed` has another size.
    """
    count = int(np.prod(shape))
    if packed.shape != (packed_size(count),):
        raise ValueError(f"{packed.shape} bytes cannot hold switches {shape}")
    # "clip" spares the check of bounds that a byte cannot leave.
    words = np.take(_FOUR_CELLS, packed, mode="clip")
    return words.view(np.uint8)[:count].reshape(shape)
