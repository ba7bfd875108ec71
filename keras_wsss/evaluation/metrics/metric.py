"""What a metric of masks must say of itself."""

import abc
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from keras_wsss.categories import BACKGROUND, Split


class Metric(abc.ABC):
    """Scores masks against true ones, summed over a whole set.

    One object counts one way of predicting. Its figures go into the rows of
    results.json, and those that `columns` names into the tables of results.md
    and the report. See `keras_wsss.evaluation.metrics` for how it is found.

    Args:
        num_classes: background included; labels are 0 to num_classes - 1.

    Attributes:
        name: by which it is registered.
        columns: heading -> key of a figure, a column of the main table.
        counted: attributes, integers or int64 arrays, that sum up over
            pictures and are all that `update` changes: those of several jobs
            are added (`evaluate --shard`).
        of_baselines: whether it is also counted for every threshold of every
            baseline, which is done dozens of times a picture.
    """

    name: ClassVar[str]
    columns: ClassVar[Mapping[str, str]]
    counted: ClassVar[tuple[str, ...]]
    of_baselines: ClassVar[bool] = False

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes

    @abc.abstractmethod
    def update(
        self, truth: np.ndarray, prediction: np.ndarray, name: str = ""
    ) -> None:
        """Counts one picture.

        Args:
            truth: uint8 [height, width]; class ids or 255 (ignore).
            prediction: uint8 [height, width]; class ids only.
            name: picture or file that error messages name.

        Raises:
            DataError: shapes differ, or a label that is not a class.
        """

    @abc.abstractmethod
    def result(self, split: Split | None = None) -> dict[str, Any]:
        """The figures as plain numbers and names, ready for JSON.

        Args:
            split: names the classes; then background and the scored
                categories are reported, else every id.

        Returns:
            Key -> figure, None where undefined; and perhaps "per_class",
            name of a class -> key -> figure.
        """

    def state(self) -> dict[str, Any]:
        """JSON values of what was counted, for `add_state` of another job."""
        return {
            name: np.asarray(getattr(self, name)).tolist()
            for name in self.counted
        }

    def add_state(self, counts: Mapping[str, Any]) -> None:
        """Adds what `state` gave of other pictures."""
        for name in self.counted:
            more = counts[name]
            if isinstance(more, list):
                more = np.array(more, np.int64)
            setattr(self, name, getattr(self, name) + more)

    def names(self, split: Split | None) -> dict[int, str]:
        """The classes that are reported: id -> name."""
        if split is None:
            return {c: str(c) for c in range(self.num_classes)}
        return {c: split.name_of(c) for c in (BACKGROUND, *split.scored_ids)}
