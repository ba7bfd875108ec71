"""Which labels are visible in the masks of a file, found once and kept."""

import bisect
import sys
from array import array
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from keras_wsss.data.annotations import Annotations, Mark
from keras_wsss.data.formats.filed_instances import FiledInstances
from keras_wsss.data.instance_masks import InstanceMask, Roles
from keras_wsss.data.painting import PaintedAhead, Task
from keras_wsss.side_by_side import cores

_FEWEST = 3000  # pictures that are worth processes of their own


def painted(marks: Iterable[Mark], roles: Roles) -> tuple[int, ...]:
    """Ids of the split that instances are painted with, ascending."""
    found = {roles.of(category, crowd) for category, crowd, _ in marks}
    return tuple(sorted(role for role in found if role > 0))


class VisibleLabels:
    """Which labels of the pictures of a file are visible in their masks.

    Most of the time of a start went into that; what is found is kept where
    the file's instances are. Of many pictures it is found by a process a
    core. Use it as a context: these end with it.

    Args:
        file: annotations of pictures.
        roles: what its instances become.
        min_pixels: of a label that is visible.
        asked: from the marks of a picture to the labels that `of` will be
            given; none if it will not be asked for.
    """

    def __init__(
        self,
        file: Annotations,
        roles: Roles,
        min_pixels: int,
        asked: Callable[[list[Mark]], tuple[int, ...]],
    ):
        self._instances = file.instances
        self._roles, self._asked = roles, asked
        self._min_pixels = min_pixels
        self._key = (
            "visible",
            min_pixels,
            *(sorted(part.items()) for part in (roles.single, roles.crowd)),
        )
        self._ids = array("q", (image.id for image in file.images))
        # Pictures that were looked at, and what was hidden in them.
        self._judged = np.zeros(len(self._ids), bool)
        self._hidden: dict[int, list[int]] = {}
        self._new = 0
        kept = file.instances.load(*self._key) if min_pixels > 0 else None
        if kept is not None:
            self._judged = kept["judged"][:].copy()
            for row, label in kept["hidden"][:].tolist():
                self._hidden.setdefault(row, []).append(label)
        self._ahead: PaintedAhead | None = None
        self._processes = 0 if getattr(sys, "frozen", False) else cores()
        if min_pixels < 1 or np.sum(~self._judged) < _FEWEST:
            self._processes = 0

    def __enter__(self) -> "VisibleLabels":
        if self._processes > 1 and isinstance(self._instances, FiledInstances):
            self._ahead = PaintedAhead(
                self._instances,
                self._roles,
                self._min_pixels,
                len(self._ids),
                self._task,
                self._processes,
            )
        return self

    def __exit__(self, *_: Any) -> None:
        if self._ahead is not None:
            self._ahead.close()

    def _task(self, row: int) -> Task | None:
        """What a process is told of a picture."""
        assert isinstance(self._instances, FiledInstances)
        if self._judged[row]:
            return None
        image = self._ids[row]
        labels = self._asked(self._instances.marks(image))
        place = self._instances.place(image) if labels else None
        return None if place is None else (labels, tuple(place))

    def of(
        self,
        mask: InstanceMask,
        labels: tuple[int, ...],
        min_pixels: int | None = None,
    ) -> tuple[int, ...]:
        """See `InstanceMask.visible`.

        Args:
            mask: of a picture of the file.
            labels: all ids of the split that are painted in it.
            min_pixels: what it was made for.
        """
        assert min_pixels in (None, self._min_pixels)
        row = bisect.bisect_left(self._ids, mask.image.id)
        if not self._judged[row]:
            hidden = self._ahead.hidden(row) if self._ahead else None
            if hidden is None:
                visible = mask.visible(labels, self._min_pixels)
                hidden = tuple(i for i in labels if i not in visible)
            self._judged[row] = True
            self._new += 1
            if hidden:
                self._hidden[row] = list(hidden)
        kept_back = self._hidden.get(row)
        if not kept_back:
            return labels
        return tuple(i for i in labels if i not in kept_back)

    def save(self) -> None:
        """Keeps what is new for the next start."""
        if self._new:
            pairs = [(k, i) for k, found in self._hidden.items() for i in found]
            hidden = np.array(pairs, np.int64).reshape(-1, 2)
            arrays = {"judged": self._judged, "hidden": hidden}
            self._instances.save(arrays, *self._key)
