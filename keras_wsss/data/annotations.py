"""Annotations as light tuples: what every format of instances becomes."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

# Category of regions that are not to be judged, whatever lies there; all of
# its instances are crowds.
IGNORED_REGION = "__ignore__"


class AnnotatedImage(NamedTuple):
    """A picture of which instances are known; sizes in pixels, upright.

    Attributes:
        id: its number, unique in the annotations.
        file_name: relative to the folder of the pictures.
        width: columns of the picture that was annotated.
        height: its rows.
        record: what messages call it; "" stands for "image ID".
    """

    id: int
    file_name: str
    width: int
    height: int
    record: str = ""

    @property
    def named(self) -> str:
        """What messages call it."""
        return self.record or f"image {self.id}"


class Instance(NamedTuple):
    """One object, or part of the picture, of one category.

    Attributes:
        id: its number, unique in the annotations.
        category: id of its category in the annotations.
        crowd: whether it marks a group and not one object.
        polygons: float64 arrays [2 * points] of x, y in pixels; empty for a
            run-length encoded instance, and for one that is known to be
            there, but not where.
        runs: uint32 run lengths, column-wise, background first; None for
            polygons.
        box: x, y, width, height in pixels as the file has them; None if it
            has none that can be used.
    """

    id: int
    category: int
    crowd: bool
    polygons: tuple[np.ndarray, ...]
    runs: np.ndarray | None
    box: tuple[float, float, float, float] | None = None

    @property
    def placed(self) -> bool:
        """Whether it says where it is."""
        return bool(self.polygons) or self.runs is not None


class Annotations(NamedTuple):
    """What training, scoring and checking need of a file of annotations.

    Attributes:
        path: the file or folder, for messages.
        images: its pictures, ascending by id.
        categories: id -> name.
        instances: image id -> its instances, ascending by id.
        dropped: reason -> number of parts that were left out, of no use to
            anyone.
        folder: that file names start from, where the files tell it.
    """

    path: Path
    images: tuple[AnnotatedImage, ...]
    categories: dict[int, str]
    instances: dict[int, tuple[Instance, ...]]
    dropped: dict[str, int]
    folder: Path | None = None
