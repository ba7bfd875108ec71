"""Index masks painted from the instances of a picture."""

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from keras_wsss.categories import IGNORE
from keras_wsss.data.annotations import (
    AnnotatedImage,
    Instance,
    Instances,
)
from keras_wsss.data.segmentation import Layers, Region, encode, paint
from keras_wsss.errors import DataError

_MOST_LAYERS = 100  # of instances over each other, on average

# What becomes of an instance, besides an id of the split.
IGNORED = -1  # crowds, and to train on, instances of target categories
# Of categories that the split does not know: to train on, they may be a
# target under another name.
UNKNOWN = -2
BACKGROUND = -3


@dataclasses.dataclass(frozen=True, slots=True)
class Roles:
    """What the instances of a file become, by their categories in the file.

    Attributes:
        single: of instances that are no crowd: ids of the split, or one of
            the values above.
        crowd: of crowds.
    """

    single: Mapping[int, int]
    crowd: Mapping[int, int]

    def of(self, category: int, crowd: bool) -> int:
        """What an instance becomes."""
        return (self.crowd if crowd else self.single)[category]


@dataclasses.dataclass(frozen=True, slots=True)
class InstanceMask:
    """Paints the index mask of one picture when it is read.

    Smaller instances lie over larger ones. Ignored (255) is, whatever lies
    there too, what must not be judged; and where no painted instance lies,
    what is not known.

    Attributes:
        annotations: the file, for messages.
        image: the picture.
        source: of its instances.
        roles: what these become; the masks of a file share it.
    """

    annotations: Path
    image: AnnotatedImage
    source: Instances
    roles: Roles

    @property
    def place(self) -> str:
        """What messages call it."""
        return f"its entry {self.image.named} in {self.annotations}"

    @property
    def instances(self) -> tuple[Instance, ...]:
        """All of the picture that are not background, ascending by id."""
        return tuple(
            instance for role, instance in self._all() if role != BACKGROUND
        )

    def _all(self) -> Iterator[tuple[int, Instance]]:
        for instance in self.source.get(self.image.id, ()):
            yield self.roles.of(instance.category, instance.crowd), instance

    def read(self) -> np.ndarray:
        """The mask as uint8 [height, width]: 0 background, ids, 255 ignore.

        Raises:
            DataError: so many instances lie over each other that painting
                them would take very long.
        """
        # Column-wise like the decoded instances.
        shape = (self.image.height, self.image.width)
        mask = np.zeros(shape, np.uint8, order="F")
        unknown, painted, ignored = self._layers()
        for _, region in unknown:
            paint(mask, region, IGNORE)
        for value, region in painted:
            paint(mask, region, value)
        for _, region in ignored:
            paint(mask, region, IGNORE)
        return np.ascontiguousarray(mask)

    def visible(
        self, labels: tuple[int, ...], min_pixels: int
    ) -> tuple[int, ...]:
        """Those of some labels with enough pixels in the mask.

        What `read` would tell, but nothing is painted: runs are compared.

        Args:
            labels: ids of the split.
            min_pixels: of each of them, at least; 1 or more.

        Raises:
            DataError: as `read` does.
        """
        _, painted, ignored = self._layers()
        missing = dict.fromkeys(labels, min_pixels)
        if not missing:
            return ()
        above = Layers()
        for _, region in ignored:
            above.add(region)
        for value, region in reversed(painted):
            shown = above.add(region)
            if value in missing:
                missing[value] -= shown
                if missing[value] <= 0:
                    del missing[value]
                    if not missing:
                        break
        return tuple(label for label in labels if label not in missing)

    def _layers(self) -> tuple[list[tuple[int, Region]], ...]:
        """(Role, pixels) of what is unknown, painted and ignored, upwards."""
        unknown: list[tuple[int, Region]] = []
        painted: list[tuple[int, Region]] = []
        ignored: list[tuple[int, Region]] = []
        for role, instance in self._all():
            if role == BACKGROUND:
                continue
            if instance.box and not instance.placed:
                unknown.append((UNKNOWN, self._box(*instance.box)))
                continue
            region = region_of(instance, self.image)
            part = {UNKNOWN: unknown, IGNORED: ignored}.get(role, painted)
            part.append((role, region))
        # A file's own "area" is not trusted; the sort is stable, so that of
        # equal areas the higher id lies on top.
        painted.sort(key=lambda item: -item[1].area)
        layers = (unknown, painted, ignored)
        area = sum(region.area for part in layers for _, region in part)
        covered = area / (self.image.height * self.image.width)
        if covered > _MOST_LAYERS:
            raise DataError(
                f"{self.annotations}: {self.image.named}: its instances "
                f"cover it {covered:.0f} times, more than {_MOST_LAYERS}; "
                "remove repeated annotations."
            )
        return layers

    def _box(self, x: float, y: float, across: float, down: float) -> Region:
        """Its pixels; all of the picture where it has none in it."""
        height, width = self.image.height, self.image.width
        corners = np.array([[x, y], [x + across, y + down]])
        (x, y), (right, below) = np.clip(corners, 0, [width, height])
        if right - x < 1 or below - y < 1:
            x, y, right, below = 0, 0, width, height
        outline = np.array([x, y, right, y, right, below, x, below], float)
        return encode((outline,), None, height, width)


def region_of(instance: Instance, image: AnnotatedImage) -> Region:
    """The pixels of an instance of a picture."""
    return encode(instance.polygons, instance.runs, image.height, image.width)
