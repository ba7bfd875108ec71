"""What the network says of one picture, and ways to look at it and keep it."""

import dataclasses
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from keras_wsss.data.masks import write_palette_mask
from keras_wsss.data.writers.coco import coco_results
from keras_wsss.data.writers.writer import LabelledPicture
from keras_wsss.drawing import Panel, Row, draw_overlay, draw_sheet
from keras_wsss.errors import ConfigError
from keras_wsss.files import atomic_path
from keras_wsss.strips import strips

Tags = Sequence[int | str] | int | str  # names or ids of categories
_TILE = 320  # pixels of each of the two pictures in a notebook


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What the network says of one picture of H x W pixels.

    A notebook shows it: the picture beside its overlay, names below.

    Attributes:
        mask: uint8 [H, W], 0 background or category ids.
        tags: ids of the categories looked for, ascending; none where the
            tagger found nothing.
        tag_scores: float32 [C], the tagger's probability of every category.
        probabilities: float32 [K, H, W], foreground probability of each tag,
            refined where the mask is. They say where each is; between tags
            at one pixel the mask goes by those before refinement. None of a
            picture in tiles, for which they would be too large.
        names: of all categories, id 1 first.
        image: uint8 [H, W, 3], RGB: the picture.
        by_tagger: whether the tagger chose the tags.
        foreground: in place of `probabilities` of a picture in tiles,
            float16 [H, W]: the foreground probability of the category in the
            mask, and in the background the highest of any tag.
    """

    mask: np.ndarray
    tags: tuple[int, ...]
    tag_scores: np.ndarray
    probabilities: np.ndarray | None
    names: tuple[str, ...] = dataclasses.field(repr=False)
    image: np.ndarray = dataclasses.field(repr=False)
    by_tagger: bool
    foreground: np.ndarray | None = dataclasses.field(default=None, repr=False)

    @property
    def tag_names(self) -> tuple[str, ...]:
        """Names of `tags`."""
        return tuple(self.names[number - 1] for number in self.tags)

    @property
    def region_scores(self) -> dict[int, float]:
        """Id to confidence, 0 to 1, of every tag with a pixel in the mask.

        It is the mean foreground probability of these pixels; of a tag that
        the tagger chose, times the tagger's probability.
        """
        return region_scores(self, self.mask)

    def highest(self) -> np.ndarray:
        """How probable it is that a pixel is foreground, float [H, W].

        The highest probability of any tag; see `foreground` for pictures in
        tiles.
        """
        if self.foreground is not None:
            return self.foreground
        assert self.probabilities is not None
        return self.probabilities.max(axis=0, initial=0.0)

    def overlay(
        self, style: str = "colour", out: np.ndarray | None = None
    ) -> np.ndarray:
        """The picture with the mask over it and names: uint8 [H, W, 3].

        Args:
            style: one of `keras_wsss.drawing.STYLES`: the picture in colour,
                with outlines alone, or dark.
            out: what is drawn to, perhaps `image`; None is a new array.
        """
        names = dict(zip(self.tags, self.tag_names, strict=True))
        return draw_overlay(self.image, self.mask, names, style, out)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the mask as a palette PNG of ids, or an overlay as JPEG.

        Args:
            path: ends in .png for the mask, in .jpg or .jpeg for the overlay.

        Raises:
            ConfigError: another ending.
        """
        ending = Path(path).suffix.lower()
        if ending == ".png":
            write_palette_mask(path, self.mask)
        elif ending in (".jpg", ".jpeg"):
            with atomic_path(path) as temporary:
                drawn = Image.fromarray(self.overlay())
                drawn.save(temporary, format="JPEG", quality=90)
        else:
            raise ConfigError(
                f"{path}: the ending says what is written: .png the mask, "
                ".jpg the picture with the mask over it."
            )

    def to_coco(
        self, image_id: int | str = 1, *, polygons: bool = False
    ) -> list[dict[str, Any]]:
        """Entries of COCO's results format; category ids are those here.

        Args:
            image_id: what the picture is called in the results.
            polygons: give polygons in place of run lengths.
        """
        picture = LabelledPicture(
            str(image_id),
            str(image_id),
            Path(),
            self.mask,
            self.tags,
            self.region_scores,
        )
        own = {number: number for number in self.tags}
        return coco_results(picture, image_id, own, polygons)

    def _repr_png_(self) -> bytes:
        shown = Panel("mask", mask=self.mask, style="colour")
        panels = (Panel("picture"), shown)
        names = tuple(zip(self.tag_names, self.tags, strict=True))
        sheet = draw_sheet([Row(self.image, panels, names)], _TILE)
        buffer = io.BytesIO()
        Image.fromarray(sheet).save(buffer, "PNG")
        return buffer.getvalue()


def region_scores(prediction: Prediction, mask: np.ndarray) -> dict[int, float]:
    """As `Prediction.region_scores`, of a mask [H, W] that keeps a part."""
    scores = {}
    for place, number in enumerate(prediction.tags):
        probability = prediction.foreground
        if prediction.probabilities is not None:
            probability = prediction.probabilities[place]
        assert probability is not None
        pixels, total = 0, 0.0
        for rows in strips(*mask.shape):
            region = mask[rows] == number
            pixels += int(np.count_nonzero(region))
            total += float(probability[rows][region].sum(dtype=np.float64))
        if pixels:
            score = total / pixels
            if prediction.by_tagger:
                score *= float(prediction.tag_scores[number - 1])
            scores[number] = round(min(max(score, 0.0), 1.0), 5)
    return scores
