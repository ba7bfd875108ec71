"""Large pictures: overlapping tiles before the network, blended to one mask.

A network sees any picture at its own input size, so what is small in a large
picture vanishes. Here each tile is a picture of its own, asked for what its
own tagger score names, and masks come of the tiles' probabilities, blended
where tiles overlap. What is kept of a tile is gone once its neighbours below
are done, so memory grows with a row of tiles and not with the picture.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np

from keras_wsss.inference.prediction import Prediction, Tags
from keras_wsss.inference.tile_layout import lay_tiles
from keras_wsss.side_by_side import default_threads, side_by_side
from keras_wsss.systems.quality import Quality, Tiling, View

if TYPE_CHECKING:
    from keras_wsss.inference.one_picture import OnePicture
    from keras_wsss.inference.predictor import Predictor

# Weight of the whole picture beside the tiles, of categories that it shows,
# and of those that it shows better than any tile: they are larger than one.
# Chosen on held-out source pictures, see docs/predict.md.
CONTEXT, DECIDING = 0.2, 0.9
# Tiles that are larger than this together take turns, see `ManyPictures`.
_PIXELS_AT_ONCE = 4_000_000


@dataclasses.dataclass
class _Shown:
    """What a tile says of its rectangle of the picture.

    Attributes:
        rows: of the picture.
        columns: likewise.
        ids: K labels that it was asked for.
        planes: float16 [2, K, h, w]: the probability times the confidence,
            which decides between labels, and the one that decides where a
            label is.
        weights: float32 [h] and [w].
    """

    rows: slice
    columns: slice
    ids: tuple[int, ...]
    planes: np.ndarray
    weights: tuple[np.ndarray, np.ndarray]

    def add_to(
        self,
        planes: np.ndarray,
        asked: np.ndarray,
        places: Sequence[int],
        block: tuple[slice, slice],
    ) -> None:
        """Adds its share to the planes of a block.

        Args:
            planes: float32 [2, labels, h, w], added to.
            asked: float32 [labels, h, w], the weight of tiles that were
                asked for a label; added to.
            places: of its labels there.
            block: rows and columns of the picture.
        """
        own, there = [], []
        for mine, other in zip((self.rows, self.columns), block, strict=True):
            start = max(mine.start, other.start)
            stop = max(start, min(mine.stop, other.stop))
            own.append(slice(start - mine.start, stop - mine.start))
            there.append(slice(start - other.start, stop - other.start))
        weights = np.outer(self.weights[0][own[0]], self.weights[1][own[1]])
        for plane, place in enumerate(places):
            part = planes[:, place, there[0], there[1]]
            part += weights * self.planes[:, plane, own[0], own[1]]
            asked[place, there[0], there[1]] += weights

    def below(self, row: int) -> "_Shown | None":
        """What is left of it from a row on; None if nothing is."""
        first = max(row, self.rows.start)
        if first >= self.rows.stop or not self.ids:
            return None
        skip = first - self.rows.start
        return _Shown(
            slice(first, self.rows.stop),
            self.columns,
            self.ids,
            # A copy, or the whole of it would stay.
            self.planes[:, :, skip:].copy(),
            (self.weights[0][skip:], self.weights[1]),
        )


class TiledPicture:
    """Predictions of a picture that is larger than a tile.

    Args:
        predictor: a trained network.
        image: uint8 [H, W, 3], RGB.
        tiling: how it is cut.
        look: puts a part of it, or a small copy, before the network.
    """

    def __init__(
        self,
        predictor: "Predictor",
        image: np.ndarray,
        tiling: Tiling,
        look: "Callable[[np.ndarray], OnePicture]",
    ):
        self._predictor, self._image, self._look = predictor, image, look
        height, width = image.shape[:2]
        self._rows = lay_tiles(height, tiling)
        self._columns = lay_tiles(width, tiling)
        self._shape = len(self._rows.starts), len(self._columns.starts)
        pixels = self._rows.size * self._columns.size
        self._threads = max(
            1, min(default_threads(), _PIXELS_AT_ONCE // pixels)
        )
        # The whole picture, as small as a tile.
        scale = tiling.side / max(height, width)
        size = [max(1, round(scale * side)) for side in (width, height)]
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        self._whole = look(small)
        self._scores: dict[tuple[View, ...], np.ndarray] = {}

    def tag_scores(self, views: Sequence[View]) -> np.ndarray:
        """The tagger's highest probabilities, float32 [C].

        Over tiles and the whole picture; each the mean over the views.
        """
        whole = self._whole.tag_scores(views)
        return np.maximum(self._tile_scores(views).max(axis=(0, 1)), whole)

    def predict(self, tags: Tags | None, quality: Quality) -> Prediction:
        """See `OnePicture.predict`.

        The tags are those that the run's rule names in any tile or in the
        whole picture, and each is asked for those that it names itself. Of
        given tags the rule chooses for each tile likewise, and whoever scores
        highest, a tile or the whole, is asked for a tag in any case.
        """
        predictor = self._predictor
        tile_scores = self._tile_scores(quality.views)
        whole_scores = self._whole.tag_scores(quality.views)
        if tags is None:
            asked = self._named(tile_scores)
            in_whole = predictor.choose_tags(whole_scores)
        else:
            in_whole = predictor.tag_ids(tags)
            asked = self._given(tile_scores, whole_scores, in_whole)
        found = np.flatnonzero(asked.any(axis=(0, 1))) + 1
        ids = tuple(sorted({*map(int, found), *in_whole}))
        height, width = self._image.shape[:2]
        mask = np.zeros((height, width), np.uint8)
        foreground = np.zeros((height, width), np.float16)
        if ids:
            columns = [i - 1 for i in in_whole]
            own = whole_scores[columns]
            context = _Context(
                in_whole,
                self._planes(self._whole, in_whole, whole_scores, quality),
                own,
                (own >= tile_scores[..., columns].max(axis=(0, 1)))
                | ~asked[..., columns].any(axis=(0, 1)),
                (height, width),
            )
            shown = self._look_at_tiles(asked, tile_scores, quality)
            for block, contributors in self._blocks(shown):
                merged = self._merge(block, contributors, context)
                if merged is not None:
                    mask[block], foreground[block] = merged
        return Prediction(
            mask,
            ids,
            self.tag_scores(quality.views),
            None,
            names=predictor.split.categories,
            image=self._image,
            by_tagger=tags is None,
            foreground=foreground,
        )

    def _tile(self, place: tuple[int, int]) -> "OnePicture":
        rows = self._rows.span(place[0])
        columns = self._columns.span(place[1])
        return self._look(np.ascontiguousarray(self._image[rows, columns]))

    def _tile_scores(self, views: Sequence[View]) -> np.ndarray:
        """The tagger's probabilities, float32 [rows, columns, C]."""
        key = tuple(views)
        if key not in self._scores:
            scores = side_by_side(
                lambda place: self._tile(place).tag_scores(views),
                np.ndindex(*self._shape),
                self._threads,
            )
            self._scores[key] = np.stack(list(scores)).reshape(*self._shape, -1)
        return self._scores[key]

    def _named(self, scores: np.ndarray) -> np.ndarray:
        """What the run's rule names in each tile, bool [rows, columns, C]."""
        named = np.zeros(scores.shape, bool)
        for place in np.ndindex(*self._shape):
            chosen = self._predictor.choose_tags(scores[place])
            named[place][[i - 1 for i in chosen]] = True
        return named

    def _given(
        self, scores: np.ndarray, whole: np.ndarray, ids: Sequence[int]
    ) -> np.ndarray:
        """As `_named`, of tags that are known to be in the picture."""
        named = np.zeros(scores.shape, bool)
        if not ids:
            return named
        columns = np.array(ids) - 1
        own = scores.reshape(-1, scores.shape[-1])[:, columns]
        chosen = self._predictor.steps.rule.choose(own)
        # Each of them is somewhere.
        chosen |= (own == own.max(axis=0)) & (own > whole[columns])
        named[..., columns] = chosen.reshape(*self._shape, -1)
        return named

    def _planes(
        self,
        picture: "OnePicture",
        ids: tuple[int, ...],
        scores: np.ndarray,
        quality: Quality,
    ) -> np.ndarray:
        """Probabilities of a tile or the whole, see `_Shown`."""
        if not ids:
            height, width = picture.image.shape[:2]
            return np.zeros((2, 0, height, width), np.float16)
        ranks, decisive = (p.numpy() for p in picture.planes(ids, quality))
        # Of tags that are given too: nobody said in which tile they are.
        steps = self._predictor.steps
        confidence = steps.confidence(scores, np.array(ids)).numpy()
        ranks = ranks * confidence[:, None, None]
        return np.stack([ranks, decisive]).astype(np.float16)

    def _look_at_tiles(
        self,
        asked: np.ndarray,
        scores: np.ndarray,
        quality: Quality,
    ) -> Iterator[_Shown]:
        """Every tile, row by row."""

        def show(place: tuple[int, int]) -> _Shown:
            row, column = place
            ids = tuple(int(i) + 1 for i in np.flatnonzero(asked[place]))
            picture = self._tile(place)
            planes = self._planes(picture, ids, scores[place], quality)
            return _Shown(
                self._rows.span(row),
                self._columns.span(column),
                ids,
                planes,
                (self._rows.weights[row], self._columns.weights[column]),
            )

        return side_by_side(show, np.ndindex(*self._shape), self._threads)

    def _blocks(
        self, shown: Iterator[_Shown]
    ) -> Iterator[tuple[tuple[slice, slice], list[_Shown]]]:
        """Rectangles that make up the picture, with what is said of each."""
        above: list[_Shown | None] = [None] * self._shape[1]
        for row in range(self._shape[0]):
            rows = self._rows.block(row)
            left: _Shown | None = None
            above_left: _Shown | None = None
            for column in range(self._shape[1]):
                tile = next(shown)
                near = (above_left, above[column], left, tile)
                yield (
                    (rows, self._columns.block(column)),
                    [s for s in near if s is not None and s.ids],
                )
                above_left, left = above[column], tile
                above[column] = tile.below(rows.stop)

    def _merge(
        self,
        block: tuple[slice, slice],
        shown: Sequence[_Shown],
        context: "_Context",
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """Mask and foreground of a block; None where nothing was looked for."""
        ids = sorted({*context.ids, *(i for each in shown for i in each.ids)})
        if not ids:
            return None
        size = [part.stop - part.start for part in block]
        planes = np.zeros((2, len(ids), *size), np.float32)
        asked = np.zeros((len(ids), *size), np.float32)
        for each in shown:
            places = [ids.index(number) for number in each.ids]
            each.add_to(planes, asked, places, block)
        context.join(planes, asked, ids, block)
        mask = self._predictor.compiled.merge_known(
            planes[0], planes[1], np.array(ids, np.int32)
        ).numpy()
        foreground = planes[1].max(axis=0)
        for number, plane in zip(ids, planes[1], strict=True):
            np.copyto(foreground, plane, where=mask == number)
        return mask, foreground


class _Context:
    """What the whole picture says, small, of each part of it.

    Args:
        ids: K labels.
        planes: [2, K, h, w], see `_Shown`.
        scores: [K], the tagger's, of the whole picture.
        decides: bool [K]: whether it goes before the tiles, and says alone
            where a label is in those that were not asked for it.
        shape: height and width of the picture.
    """

    def __init__(
        self,
        ids: tuple[int, ...],
        planes: np.ndarray,
        scores: np.ndarray,
        decides: np.ndarray,
        shape: tuple[int, int],
    ):
        self.ids = ids
        self._decides = decides.tolist()
        weights = np.where(decides, DECIDING, CONTEXT) * scores
        self._weights = weights.tolist()
        self._planes = planes.astype(np.float32)
        self._scale = [
            small / large
            for small, large in zip(planes.shape[2:], shape, strict=True)
        ]

    def join(
        self,
        planes: np.ndarray,
        asked: np.ndarray,
        ids: Sequence[int],
        block: tuple[slice, slice],
    ) -> None:
        """Joins what it says into what the tiles say of a block.

        Args:
            planes: float32 [2, labels, h, w], changed.
            asked: float32 [labels, h, w], see `_Shown.add_to`.
            ids: the labels, its own among them.
            block: rows and columns of the picture.
        """
        for number, weight, decides, whole in zip(
            self.ids, self._weights, self._decides, self._of(block), strict=True
        ):
            place = ids.index(number)
            share = weight + decides * (1 - weight) * (1 - asked[place])
            planes[:, place] *= 1 - weight
            planes[:, place] += share * whole

    def _of(self, block: tuple[slice, slice]) -> np.ndarray:
        """The planes at a block's own size, float32 [K, 2, h, w]."""
        rows, columns = (part.stop - part.start for part in block)
        # From pixel centres of the block to those of the small picture.
        (a, b), (y, x) = self._scale, (part.start + 0.5 for part in block)
        matrix = np.array([[b, 0, b * x - 0.5], [0, a, a * y - 0.5]])
        planes = [
            [
                cv2.warpAffine(
                    plane,
                    matrix,
                    (columns, rows),
                    flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                    borderMode=cv2.BORDER_REPLICATE,
                )
                for plane in self._planes[:, number]
            ]
            for number in range(len(self.ids))
        ]
        return np.array(planes, np.float32).reshape(-1, 2, rows, columns)
