"""Index masks as palette PNGs with classes.txt: what this project reads."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from keras_wsss.data.formats.voc import CLASSES_FILE, write_classes
from keras_wsss.data.writers.writer import (
    LabelledPicture,
    Writer,
    WriterOptions,
)


class _Png(Writer):
    """The names of the indices of masks that are there already.

    Masks of pictures are kept as palette PNGs as they are computed; all other
    formats are made of these.
    """

    name = "png"

    def write(
        self,
        pictures: Iterable[LabelledPicture],
        out: Path,
        names: Sequence[str],
        options: WriterOptions,
    ) -> list[Path]:
        """See `Writer`."""
        write_classes(out, names)
        return [out / CLASSES_FILE]


PNG = _Png()
