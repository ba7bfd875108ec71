"""What a store of encoder outputs gives to the pipeline that reads it.

The store itself is `keras_wsss.training.feature_cache`; data code does not
import training code.
"""

import dataclasses
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from keras_wsss.data.records import Record
from keras_wsss.data.views import ViewSpec, Window


@dataclasses.dataclass(frozen=True)
class LevelSpec:
    """What is kept of one level of an encoder.

    Attributes:
        shape: [side, side, channels].
        dtype: "uint8", switches of a pool, 0 to 3; or "float16", a finer map.
    """

    shape: tuple[int, ...]
    dtype: str


@dataclasses.dataclass(frozen=True)
class Encoding:
    """The encoder's outputs for one view of one picture.

    Attributes:
        features: float16 [g, g, D], g = image size / stride.
        levels: maps of the levels that are kept, the finest first, as
            `LevelSpec` says.
        view: the window and mirroring.
        height: rows of the original picture.
        width: columns of the original picture.
    """

    features: np.ndarray
    levels: tuple[np.ndarray, ...]
    view: Window
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
    def level_specs(self) -> tuple[LevelSpec, ...]:
        """Of each level that is kept."""

    def read(
        self,
        record: Record,
        view: int,
        out: Sequence[np.ndarray] | None = None,
    ) -> Encoding:
        """The outputs for view number `view` of a record; thread-safe.

        Args:
            record: the picture.
            view: 0 to `num_views` - 1.
            out: contiguous arrays that features and levels are written to;
                new ones by default.
        """

    def results(self) -> dict[str, float]:
        """Figures for results.json."""
