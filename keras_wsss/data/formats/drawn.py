"""Annotations of picture after picture, as readers of drawings collect them."""

import collections
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from keras_wsss.data.annotations import (
    IGNORED_REGION,
    AnnotatedImage,
    Annotations,
    HeldInstances,
    Instance,
)
from keras_wsss.data.formats.coco_entries import is_name
from keras_wsss.data.formats.names import is_background, is_ignored
from keras_wsss.data.segmentation import checked_polygons, runs_of

BACKGROUND_SHAPES = "shapes of the background"


class Drawn:
    """Grows by pictures and instances; ids are running numbers.

    Args:
        path: file or folder of the annotations, for messages.
        masks: whether outlines are kept.
        names: of categories that are known to be looked for, in their order.
    """

    def __init__(self, path: Path, masks: bool, names: tuple[str, ...] = ()):
        self.path = path
        self.masks = masks
        self.dropped: collections.Counter[str] = collections.Counter()
        self._images: list[AnnotatedImage] = []
        self._ids: dict[str, int] = {}
        self._instances: dict[int, list[Instance]] = {}
        self._count = 0
        for name in names:
            self._id_of(name)

    def _id_of(self, name: str) -> int:
        return self._ids.setdefault(name, len(self._ids) + 1)

    def add_image(
        self, file_name: str, width: int, height: int, record: str
    ) -> AnnotatedImage:
        """Begins a picture; see `AnnotatedImage`."""
        number = len(self._images) + 1
        image = AnnotatedImage(number, file_name, width, height, record)
        self._images.append(image)
        return image

    def add_mention(self, image: AnnotatedImage, name: str) -> None:
        """Notes a category that is in a picture, nobody knows where.

        It is a tag; with masks, a crowd without pixels: neither present nor
        absent.
        """
        self._add(image, name, (), None, crowd=self.masks)

    def add_fault(self, image: AnnotatedImage, names: Iterable[Any]) -> None:
        """Notes that something with a fault is in a picture, unknown where.

        With masks, all that is not drawn there teaches nothing: it would be
        trained as background.

        Args:
            image: the picture.
            names: its categories; what is no name is passed over.
        """
        for name in filter(is_name, names):
            self.add_mention(image, name)
        if self.masks:
            whole = (0, 0, image.width, image.height)
            self._add(image, IGNORED_REGION, (), None, True, whole)

    def add_polygon(
        self, image: AnnotatedImage, name: str, points: list
    ) -> str | None:
        """Adds an outline [x, y, x, y, ...]; says what is wrong with it."""
        if not self.masks:
            self._add(image, name, (), None)
            return None
        if len(points) < 6:
            return f"it has {len(points) // 2} points; it needs three"
        arrays, text = checked_polygons([points], image.height, image.width)
        if text is None:
            self._add(image, name, arrays, None)
        return text

    def add_mask(
        self, image: AnnotatedImage, name: str, mask: np.ndarray
    ) -> None:
        """Adds the pixels of a mask, bool [height, width] of the picture."""
        self._add(image, name, (), runs_of(mask) if self.masks else None)

    def _add(
        self,
        image: AnnotatedImage,
        name: str,
        polygons: tuple[np.ndarray, ...],
        runs: np.ndarray | None,
        crowd: bool = False,
        box: tuple[float, float, float, float] | None = None,
    ) -> None:
        if is_background(name):
            self.dropped[BACKGROUND_SHAPES] += 1
            return
        ignored = is_ignored(name)
        self._count += 1
        category = self._id_of(IGNORED_REGION if ignored else name.strip())
        crowd = crowd or ignored
        instance = Instance(self._count, category, crowd, polygons, runs, box)
        self._instances.setdefault(image.id, []).append(instance)

    def annotations(self) -> Annotations:
        """All that was added."""
        return Annotations(
            path=self.path,
            images=tuple(self._images),
            categories={number: name for name, number in self._ids.items()},
            instances=HeldInstances(
                {key: tuple(value) for key, value in self._instances.items()}
            ),
            dropped=dict(+self.dropped),
        )
