"""Where tiles lie along the sides of a picture, and what each counts there."""

import math
from typing import NamedTuple

import numpy as np

from keras_wsss.systems.quality import Tiling


class Axis(NamedTuple):
    """Tiles along one side of a picture.

    Attributes:
        starts: int [n], first pixel of each tile, ascending.
        size: pixels of each.
        edges: int [n + 1]; with tile i, edges[i] to edges[i + 1] has all
            that it shows of tiles: it and the one before it.
        weights: float32 [n, size], sum 1 over the tiles at every pixel, and
            fall to 0 before the tile ends.
    """

    starts: np.ndarray
    size: int
    edges: np.ndarray
    weights: np.ndarray

    def span(self, number: int) -> slice:
        """Pixels of a tile."""
        start = int(self.starts[number])
        return slice(start, start + self.size)

    def block(self, number: int) -> slice:
        """Pixels of which a tile and the one before it say all."""
        return slice(*map(int, self.edges[number : number + 2]))


def lay_tiles(length: int, tiling: Tiling) -> Axis:
    """Tiles of one size, evenly over a side of `length` pixels.

    Neighbours go over into each other through all of their overlap: a tile
    counts least where it sees least around a pixel.
    """
    size = min(tiling.side, length)
    overlap = round(size * tiling.overlap)
    count = 1
    if length > size:
        count = math.ceil((length - overlap) / (size - overlap))
    starts = np.round(np.linspace(0, length - size, count)).astype(int)
    ends = starts[:-1] + size
    borders = (starts[1:] + ends) / 2  # between neighbours
    ramp = 0.0
    if count > 1:
        ramp = float((ends - starts[1:]).min())
    if count > 2:
        ramp = min(ramp, float(np.diff(borders).min()) - 2)
    pixels = np.arange(length) + 0.5
    # How far each pixel has gone over to tile i from the one before.
    over = np.stack(
        [
            np.ones(length),
            *(
                _smooth((pixels - border) / max(ramp, 1e-6))
                for border in borders
            ),
            np.zeros(length),
        ]
    )  # (n + 1, length)
    weights = over[:-1] - over[1:]
    edges = [0, *((over[i] > 0).argmax() for i in range(1, count)), length]
    return Axis(
        starts,
        size,
        np.array(edges),
        np.stack(
            [w[s : s + size] for w, s in zip(weights, starts, strict=True)]
        ).astype(np.float32),
    )


def _smooth(places: np.ndarray) -> np.ndarray:
    """From 0 at -0.5 to 1 at 0.5 without a corner."""
    share = np.clip(places + 0.5, 0.0, 1.0)
    return share * share * (3.0 - 2.0 * share)
