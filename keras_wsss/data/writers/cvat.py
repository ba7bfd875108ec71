"""A zip that CVAT imports as "Segmentation mask 1.1"."""

import io
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from keras_wsss.categories import BACKGROUND, IGNORE, palette
from keras_wsss.data.writers.writer import (
    LabelledPicture,
    Writer,
    WriterOptions,
)
from keras_wsss.errors import ConfigError
from keras_wsss.files import atomic_path

CVAT_FILE = "cvat.zip"
_LABELMAP = "labelmap.txt"
_HEADER = "# label:color_rgb:parts:actions"
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
        _labelmap(names)
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
            _add(archive, _LABELMAP, _labelmap(names).encode())
            for picture in pictures:
                # CVAT finds the picture by its name without ending.
                listed.append(picture.name)
                data = _png(colours[picture.mask])
                _add(archive, f"{_MASKS}/{picture.name}.png", data)
            _add(archive, _SET, "".join(f"{n}\n" for n in listed).encode())
        return [out / CVAT_FILE]


def _labelmap(names: Sequence[str]) -> str:
    """The text for categories in the colours of VOC, index 1 first.

    Raises:
        ConfigError: a name that the format cannot hold.
    """
    lines = [_HEADER]
    for name, colour in zip(("background", *names), palette(), strict=False):
        if ":" in name or "\n" in name or name.startswith("#"):
            raise ConfigError(
                f"The category {name!r} cannot stand in CVAT's {_LABELMAP}, "
                "which ends names at ':'; rename it."
            )
        lines.append(f"{name}:{','.join(map(str, colour.tolist()))}::")
    return "".join(f"{line}\n" for line in lines)


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
