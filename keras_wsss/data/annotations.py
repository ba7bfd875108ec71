"""Annotations as light tuples: what every format of instances becomes."""

import abc
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from keras_wsss.data.aside import Column

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
            has none that can be used. Of one that is not placed, the part of
            the picture of which nothing is known: its outline had a fault.
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


# What of an instance decides what a picture teaches: its `category`, `crowd`
# and `placed`. There are millions of them.
Mark: TypeAlias = tuple[int, bool, bool]


class Instances(Mapping[int, tuple[Instance, ...]]):
    """Image id -> its instances, ascending by id; some may have none."""

    @abc.abstractmethod
    def marks(self, image: int) -> list[Mark]:
        """Of the instances of a picture, without looking where they are."""

    @abc.abstractmethod
    def without_crowds(self, ignored: frozenset[int]) -> "Instances":
        """The same, but of categories that are not `ignored` none is one."""

    def load(self, *key: Any) -> dict[str, Column] | None:
        """Arrays that were found at an earlier start, see `ReadingIndex`."""
        return None

    def save(
        self, arrays: Mapping[str, np.ndarray | Column], *key: Any
    ) -> None:
        """Keeps arrays for a later start, where there is a place for them."""


def marks_of(instances: Iterable[Instance]) -> list[Mark]:
    """Of some instances."""
    return [(one.category, one.crowd, one.placed) for one in instances]


class HeldInstances(Instances):
    """Instances in memory.

    Args:
        instances: of each picture that has some.
    """

    def __init__(self, instances: Mapping[int, tuple[Instance, ...]]):
        self._instances = dict(instances)

    def __getitem__(self, image: int) -> tuple[Instance, ...]:
        return self._instances[image]

    def __iter__(self) -> Iterator[int]:
        return iter(self._instances)

    def __len__(self) -> int:
        return len(self._instances)

    def marks(self, image: int) -> list[Mark]:
        """See `Instances`."""
        return marks_of(self._instances.get(image, ()))

    def without_crowds(self, ignored: frozenset[int]) -> "HeldInstances":
        """See `Instances`."""
        return HeldInstances(
            {
                image: tuple(
                    instance._replace(crowd=instance.category in ignored)
                    for instance in instances
                )
                for image, instances in self._instances.items()
            }
        )


class Annotations(NamedTuple):
    """What training, scoring and checking need of a file of annotations.

    Attributes:
        path: the file or folder, for messages.
        images: its pictures, ascending by id.
        categories: id -> name.
        instances: image id -> its instances.
        dropped: reason -> number of parts that were left out, of no use to
            anyone.
        folder: that file names start from, where the files tell it.
    """

    path: Path
    images: Sequence[AnnotatedImage]
    categories: dict[int, str]
    instances: Instances
    dropped: dict[str, int]
    folder: Path | None = None
