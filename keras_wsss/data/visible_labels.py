"""Which labels are visible in the masks of a file, found once and kept."""

import bisect
import itertools
import sys
from array import array
from collections.abc import Callable, Iterable
from operator import itemgetter
from typing import Any

import numpy as np

from keras_wsss.data.annotations import Annotations, Mark
from keras_wsss.data.aside import Column, Spool
from keras_wsss.data.formats.filed_instances import (
    FiledImages,
    FiledInstances,
)
from keras_wsss.data.instance_masks import InstanceMask, Roles
from keras_wsss.data.painting import PaintedAhead, Task
from keras_wsss.side_by_side import cores

_FEWEST = 3000  # pictures that are worth processes of their own
_MOST = 8  # processes: one reads the file for all of them


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
        self._ids = (
            file.images.ids
            if isinstance(file.images, FiledImages)
            else array("q", (image.id for image in file.images))
        )
        # Of each picture: 0 if it was not looked at, 1 if nothing is hidden in
        # it, else the place of what is, and 2.
        self._found = array("I", bytes(4 * len(self._ids)))
        self._hidden = Spool()
        self._new = 0
        kept = file.instances.load(*self._key) if min_pixels > 0 else None
        if kept is not None:
            self._found = array("I", kept["judged"][:].astype("I").tobytes())
            pairs = map(np.ndarray.tolist, kept["hidden"][:])
            for row, several in itertools.groupby(pairs, itemgetter(0)):
                self._hide(row, tuple(label for _, label in several))
        self._ahead: PaintedAhead | None = None
        self._processes = min(cores(), _MOST)
        frozen = getattr(sys, "frozen", False)
        if frozen or min_pixels < 1 or self._found.count(0) < _FEWEST:
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
        if self._found[row]:
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
        if not self._found[row]:
            hidden = self._ahead.hidden(row) if self._ahead else None
            if hidden is None:
                visible = mask.visible(labels, self._min_pixels)
                hidden = tuple(i for i in labels if i not in visible)
            self._hide(row, hidden)
            self._new += 1
        if self._found[row] == 1:
            return labels
        kept_back = self._hidden[self._found[row] - 2]
        return tuple(i for i in labels if i not in kept_back)

    def _hide(self, row: int, labels: tuple[int, ...]) -> None:
        """Notes what is hidden in a picture, if anything."""
        self._found[row] = 1
        if labels:
            self._hidden.append(labels)
            self._found[row] += len(self._hidden)

    def save(self) -> None:
        """Keeps what is new for the next start."""
        if self._new:
            found = np.asarray(self._found)
            pairs = Column(np.zeros((0, 2), np.int64))
            for row in np.flatnonzero(found > 1).tolist():
                labels = self._hidden[self._found[row] - 2]
                pairs.append(np.array([(row, i) for i in labels], np.int64))
            self._instances.save(
                {"judged": found > 0, "hidden": pairs}, *self._key
            )
