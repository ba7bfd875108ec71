"""What a store of encoder outputs gives to the pipeline that reads it.

The store itself is `keras_wsss.training.feature_cache`; data code does not
import training code.
"""

import dataclasses
from typing import Protocol

import numpy as np

from keras_wsss.data.records import Record
from keras_wsss.data.views import View, ViewSpec


@dataclasses.dataclass(frozen=True)
class Encoding:
    """The encoder's outputs for one view of one picture.

    Attributes:
        features: float16 [g, g, D], g = image size / stride.
        switches: uint8 [side, side, channels] with values 0 to 3, one for
            each pool that is kept, in the order of the pools.
        view: the window and mirroring.
        height: rows of the original picture.
        width: columns of the original picture.
    """

    features: np.ndarray
    switches: tuple[np.ndarray, ...]
    view: View
    height: int
    width: int


class Encodings(Protocol):
    """Encoder outputs of every picture under a fixed number of views."""

    @property
    def views(self) -> ViewSpec:
        """How the views are made; gives the input size."""

    @property
    def num_views(self) -> int:
        """Views per picture.

        With mirroring, view 2c is window c and view 2c + 1 its mirror image;
        window 0 is the whole picture.
        """

    @property
    def features_shape(self) -> tuple[int, ...]:
        """[g, g, D]."""

    @property
    def switch_shapes(self) -> tuple[tuple[int, ...], ...]:
        """[side, side, channels] of each pool that is kept."""

    def read(self, record: Record, view: int) -> Encoding:
        """The outputs for view number `view` of a record; thread-safe."""

    def results(self) -> dict[str, float]:
        """Figures for results.json."""
