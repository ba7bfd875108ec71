"""What the rest asks of a format that masks and tags are written in."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from keras_wsss.categories import BACKGROUND, IGNORE
from keras_wsss.strips import count_values


@dataclasses.dataclass(frozen=True)
class LabelledPicture:
    """A picture with its mask and tags.

    Attributes:
        name: what its outputs are called, without ending; unique, perhaps
            with folders.
        file_name: of the picture, as `name` but with the picture's ending.
        path: where the picture lies.
        mask: uint8 [H, W], 0 background, ids, 255 left open.
        tags: ids of the categories in the picture, ascending.
        scores: id to confidence, 0 to 1; 1 where there is none.
    """

    name: str
    file_name: str
    path: Path
    mask: np.ndarray
    tags: tuple[int, ...]
    scores: Mapping[int, float] = dataclasses.field(default_factory=dict)

    def regions(self) -> list[tuple[int, np.ndarray, float]]:
        """(id, bool [H, W], score) of every category with a pixel."""
        counts = count_values(self.mask)
        return [
            (number, self.mask == number, self.scores.get(number, 1.0))
            for number in np.flatnonzero(counts[:IGNORE]).tolist()
            if number != BACKGROUND
        ]


@dataclasses.dataclass(frozen=True)
class WriterOptions:
    """What some of the formats can be told.

    Attributes:
        coco_ids: COCO file whose ids of pictures and categories are used;
            None numbers them from 1.
        coco_polygons: polygons in place of run lengths.
        image_url: what Label Studio finds a picture by, before its name.
    """

    coco_ids: Path | None = None
    coco_polygons: bool = False
    image_url: str = "/data/local-files/?d="


class Writer:
    """A format that masks and tags of pictures are written in.

    Attributes:
        name: value of `--format`.
    """

    name: str

    def check(
        self,
        file_names: Sequence[str],
        names: Sequence[str],
        options: WriterOptions,
    ) -> None:
        """Refuses what could not be written, before anything is computed.

        Args:
            file_names: of the pictures, see `LabelledPicture`.
            names: of the categories, id 1 first.
            options: what the format is told.

        Raises:
            ConfigError: names what does not fit, and the remedy.
            DataError: a file of the options that cannot be used.
        """

    def write(
        self,
        pictures: Iterable[LabelledPicture],
        out: Path,
        names: Sequence[str],
        options: WriterOptions,
    ) -> list[Path]:
        """Writes all pictures, one after the other in constant memory.

        Every file appears complete or not at all.

        Args:
            pictures: each is looked at once.
            out: folder to write to.
            names: of the categories, id 1 first.
            options: what the format is told.

        Returns:
            The files, or folders, that were written.
        """
        raise NotImplementedError
