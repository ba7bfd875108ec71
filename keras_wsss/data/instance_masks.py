"""Index masks painted from the instances of a picture."""

import dataclasses
from pathlib import Path

import numpy as np

from keras_wsss.categories import IGNORE
from keras_wsss.data.annotations import AnnotatedImage, Instance
from keras_wsss.data.segmentation import Region, encode, paint
from keras_wsss.errors import DataError

_MOST_LAYERS = 100  # of instances over each other, on average


@dataclasses.dataclass(frozen=True, slots=True)
class InstanceMask:
    """Paints the index mask of one picture when it is read.

    Smaller instances lie over larger ones. Ignored (255) is, whatever lies
    there too, what must not be judged; and where no painted instance lies,
    what is not known.

    Attributes:
        annotations: the file, for messages.
        image: the picture.
        painted: (category id of the split, instance) to paint.
        ignored: crowds, and to train on, instances of target categories,
            which must teach nothing.
        unknown: instances of categories that the split does not know: to
            train on, they may be a target under another name.
    """

    annotations: Path
    image: AnnotatedImage
    painted: tuple[tuple[int, Instance], ...]
    ignored: tuple[Instance, ...]
    unknown: tuple[Instance, ...]

    @property
    def place(self) -> str:
        """What messages call it."""
        return f"its entry {self.image.named} in {self.annotations}"

    @property
    def instances(self) -> tuple[Instance, ...]:
        """All of the picture, ascending by id."""
        known = (*(i for _, i in self.painted), *self.ignored, *self.unknown)
        return tuple(sorted(known, key=lambda instance: instance.id))

    def read(self) -> np.ndarray:
        """The mask as uint8 [height, width]: 0 background, ids, 255 ignore.

        Raises:
            DataError: so many instances lie over each other that painting
                them would take very long.
        """
        # Column-wise like the decoded instances.
        shape = (self.image.height, self.image.width)
        mask = np.zeros(shape, np.uint8, order="F")
        painted = [
            (category, self._encode(instance))
            for category, instance in self.painted
        ]
        # A file's own "area" is not trusted; the sort is stable, so that of
        # equal areas the higher id lies on top.
        painted.sort(key=lambda item: -item[1].area)
        layers = [
            *((IGNORE, self._encode(instance)) for instance in self.unknown),
            *painted,
            *((IGNORE, self._encode(instance)) for instance in self.ignored),
        ]
        covered = sum(region.area for _, region in layers) / mask.size
        if covered > _MOST_LAYERS:
            raise DataError(
                f"{self.annotations}: {self.image.named}: its instances "
                f"cover it {covered:.0f} times, more than {_MOST_LAYERS}; "
                "remove repeated annotations."
            )
        for value, region in layers:
            paint(mask, region, value)
        return np.ascontiguousarray(mask)

    def _encode(self, instance: Instance) -> Region:
        return region_of(instance, self.image)


def region_of(instance: Instance, image: AnnotatedImage) -> Region:
    """The pixels of an instance of a picture."""
    return encode(instance.polygons, instance.runs, image.height, image.width)
