"""A zip that CVAT imports as "Segmentation mask 1.1"."""

import io
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from keras_wsss.categories import BACKGROUND, IGNORE, palette
from keras_wsss.data.labelmap import LABELMAP, labelmap_text
from keras_wsss.data.writers.writer import (
    LabelledPicture,
    Writer,
    WriterOptions,
)
from keras_wsss.errors import ConfigError
from keras_wsss.files import atomic_path

CVAT_FILE = "cvat.zip"
_SET = "ImageSets/Segmentation/default.txt"
_MASKS = "SegmentationClass"


class _Cvat(Writer):
    """`labelmap.txt`, an image set, and masks in the colours of the map.

    CVAT knows no "left open": such pixels are background.
    """

    name = "cvat"

    def check(
        self,
        file_names: Sequence[str],
        names: Sequence[str],
        options: WriterOptions,
    ) -> None:
        """See `Writer`."""
        labelmap_text(names)
        for name in file_names:
            if any(c in name for c in '"\n\r') or name != name.strip():
                raise ConfigError(
                    f"{name!r} cannot stand in CVAT's list of pictures, which "
                    "has one name a line; rename the picture."
                )

    def write(
        self,
        pictures: Iterable[LabelledPicture],
        out: Path,
        names: Sequence[str],
        options: WriterOptions,
    ) -> list[Path]:
        """See `Writer`."""
        colours = palette()
        colours[IGNORE] = colours[BACKGROUND]
        listed: list[str] = []
        with (
            atomic_path(out / CVAT_FILE) as temporary,
            zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive,
        ):
            _add(archive, LABELMAP, labelmap_text(names).encode())
            for picture in pictures:
                # CVAT finds the picture by its name without ending.
                listed.append(picture.name)
                data = _png(colours[picture.mask])
                _add(archive, f"{_MASKS}/{picture.name}.png", data)
            _add(archive, _SET, "".join(f"{n}\n" for n in listed).encode())
        return [out / CVAT_FILE]


def _png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    # A fixed time: the same masks give the same file.
    entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    archive.writestr(entry, data)


CVAT = _Cvat()
