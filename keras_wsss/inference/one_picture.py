"""One picture before a network: its prediction in any quality."""

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import tensorflow as tf

from keras_wsss.data.images import largest_side
from keras_wsss.errors import DataError
from keras_wsss.inference.prediction import Prediction, Tags
from keras_wsss.inference.tiles import TiledPicture
from keras_wsss.systems.quality import RAW, Quality, Tiling, View

if TYPE_CHECKING:
    from keras_wsss.inference.predictor import Predictor


_Key = tuple[Any, ...]  # a stage (text), and what else a part depends on
_LARGE = (
    "enlarge",
    "refine",
    "merge",
    "tiles",
)  # stages whose parts have H x W


class Encoded(NamedTuple):
    """What the network says of one view, whatever the labels.

    Attributes:
        features: what tags are read from, float32 [1, g, g, D] or, in the
            prior system, a dict.
        mask_inputs: what else masks are made of: TransferNet's levels, the
            prior system's logits.
    """

    features: Any
    mask_inputs: Any


class OnePicture:
    """Predictions of one picture; what they have in common is computed once.

    Everything that makes masks goes through `predict`: `Predictor`, the
    commands, and `evaluate`, which asks for many qualities of a picture.
    Labels are decoded together with those that they were asked with and no
    others, because they compete (the class gate of the prior system).

    Args:
        predictor: a trained network.
        image: uint8 [H, W, 3], RGB.
        encoded: what is known already of some views.

    Raises:
        DataError: the picture is empty or far too long for its height.
    """

    def __init__(
        self,
        predictor: "Predictor",
        image: np.ndarray,
        encoded: Mapping[View, Encoded] | None = None,
    ):
        height, width = image.shape[:2]
        limit = largest_side(predictor.config.data.max_pixels)
        if not height or not width or max(height, width) > limit:
            raise DataError(
                f"A picture of {width} x {height} pixels cannot be used: "
                f"sides must lie between 1 and {limit}, because it is padded "
                "to a square; cut it into parts."
            )
        self._predictor = predictor
        self._steps = predictor.compiled
        self.image = image
        self._tiled: dict[Tiling, TiledPicture] = {}
        self._parts: dict[_Key, Any] = {}
        self._seconds: dict[_Key, float] = {}
        self._used: set[_Key] = set()
        for view, outputs in (encoded or {}).items():
            self._parts["encode", view] = outputs
            self._seconds["encode", view] = 0.0

    @functools.cached_property
    def _pixels(self) -> tf.Tensor:
        """The picture; what is H x W stays where TensorFlow computes."""
        return tf.constant(self.image)

    @property
    def seconds(self) -> dict[str, float]:
        """Stage -> seconds that it took for all predictions together."""
        sums: dict[str, float] = {}
        for key, spent in self._seconds.items():
            sums[key[0]] = sums.get(key[0], 0.0) + spent
        return sums

    @property
    def last_seconds(self) -> float:
        """What the last prediction would have taken without the others."""
        return sum(self._seconds[key] for key in self._used)

    def release(self) -> None:
        """Forgets what is of the picture's own size, and so may be large."""
        for key in [key for key in self._parts if key[0] in _LARGE]:
            del self._parts[key]

    def predict(self, tags: Tags | None, quality: Quality) -> Prediction:
        """The prediction in one quality.

        Args:
            tags: what is in the picture: names or ids. None asks the tagger
                for the categories that the split scores, by the mean of its
                scores over the quality's views.
            quality: what is done for it.

        Raises:
            ConfigError: an unknown tag, or the network has no CRF.
        """
        self._used = set()
        predictor = self._predictor
        tiled = self._in_tiles(quality.tiling)
        if tiled is not None:
            asked = None if tags is None else predictor.tag_ids(tags)
            return self._once(
                ("tiles", asked, quality),
                lambda: tiled.predict(asked, quality),
            )
        scores = self.tag_scores(quality.views)
        ids = (
            predictor.choose_tags(scores)
            if tags is None
            else predictor.tag_ids(tags)
        )
        ranks, decisive = self.planes(ids, quality)
        chosen = scores if tags is None else None
        mask = self._once(
            ("merge", ids, quality, tags is None),
            lambda: self._merge(ranks, decisive, ids, chosen),
        )
        return Prediction(
            mask,
            ids,
            scores,
            decisive.numpy(),
            names=predictor.split.categories,
            image=self.image,
            by_tagger=tags is None,
        )

    def planes(
        self, ids: tuple[int, ...], quality: Quality
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """What a mask is merged of, the tiling left aside.

        Args:
            ids: K ids, ascending, looked for together.
            quality: what is done for it.

        Returns:
            float32 [K, H, W] each: probabilities, which decide between
            labels, and those that decide where each label is.
        """
        ranks = self._planes(ids, quality.views, quality.own_crf)
        if not quality.refine or not ids:
            return ranks, ranks
        return ranks, self._once(
            ("refine", ids, quality.views, quality.own_crf),
            lambda: self._steps.refine(self._pixels, ranks),
        )

    def _in_tiles(self, tiling: Tiling | None) -> TiledPicture | None:
        """The picture in tiles, if it is larger than one."""
        if tiling is None or not tiling.cuts(*self.image.shape[:2]):
            return None
        if tiling not in self._tiled:
            self._tiled[tiling] = TiledPicture(
                self._predictor,
                self.image,
                tiling,
                lambda part: OnePicture(self._predictor, part),
            )
        return self._tiled[tiling]

    def encode(self, view: View) -> Encoded:
        """What the network says of one view, whatever the labels."""
        steps = self._steps.of_scale(view.scale)
        return self._once(
            ("encode", view),
            lambda: Encoded(*steps.encode(self._pixels, view.mirror)),
        )

    def tag_scores(
        self, views: Sequence[View], tiling: Tiling | None = None
    ) -> np.ndarray:
        """The tagger's probabilities, float32 [C], mean over the views.

        In tiles, the highest of any, see `TiledPicture.tag_scores`.
        """
        tiled = self._in_tiles(tiling)
        if tiled is not None:
            return tiled.tag_scores(tuple(views))
        scores = []
        for view in views:
            features = self.encode(view).features
            steps = self._steps.of_scale(view.scale)
            scores.append(
                self._once(
                    ("tag", view),
                    functools.partial(_tag_scores, steps, features),
                )
            )
        return np.mean(scores, axis=0)

    def probabilities(
        self,
        ids: Sequence[int],
        views: Sequence[View] = RAW,
        own_crf: bool = False,
    ) -> np.ndarray:
        """Foreground probability of each label at the picture's own size.

        Args:
            ids: K ids, looked for together.
            views: looks at the picture.
            own_crf: after the network's own CRF.

        Returns:
            float32 [K, H, W], mean over the views.

        Raises:
            ConfigError: the network has no CRF.
        """
        return self._planes(tuple(ids), tuple(views), own_crf).numpy()

    def _planes(
        self, ids: tuple[int, ...], views: tuple[View, ...], own_crf: bool
    ) -> tf.Tensor:
        """As `probabilities`, where TensorFlow computes."""
        if own_crf:
            self._predictor.steps.check_crf()
        stage = "own CRF" if own_crf else "decode"
        squares = []
        for view in views:
            encoded = self.encode(view)
            if ids:
                square = self._once(
                    (stage, ids, view),
                    functools.partial(
                        self._square, view, encoded, ids, own_crf
                    ),
                )
                squares.append(square)
        return self._once(
            ("enlarge", ids, views, own_crf),
            lambda: self._mean(ids, views, squares),
        )

    def maps(self, ids: Sequence[int]) -> dict[str, np.ndarray]:
        """What the network looks at, for pictures and baselines.

        Returns:
            Name -> float32 [K, g, g] on the padded square, see `Steps.maps`.
        """
        features = self.encode(View()).features
        maps = self._steps.maps(features, tf.constant(list(ids), tf.int32))
        return {name: values.numpy() for name, values in maps.items()}

    def enlarge(
        self,
        maps: np.ndarray,
        height: int | None = None,
        width: int | None = None,
    ) -> np.ndarray:
        """Maps of the padded square at the picture's size, or another one.

        Args:
            maps: float32 [K, g, g].
            height: of the result, in the picture's shape; its own if None.
            width: likewise.

        Returns:
            float32 [K, height, width].
        """
        height, width = height or len(self.image), width or len(self.image[0])
        maps = tf.constant(maps, tf.float32)
        return self._steps.to_picture(maps, height, width, False).numpy()

    def training_masks(self, ids: Sequence[int]) -> dict[str, np.ndarray]:
        """Masks that training makes of tags; name -> uint8 [H, W]."""
        labels = tf.constant(list(ids), tf.int32)
        masks = self._steps.training_masks(self._pixels, labels)
        return {name: mask.numpy() for name, mask in masks.items()}

    def _square(
        self, view: View, encoded: Encoded, ids: tuple[int, ...], own_crf: bool
    ) -> tf.Tensor:
        """Foreground on the padded square, float32 [K, m, m]; K at least 1."""
        labels = tf.constant(ids, tf.int32)
        steps = self._steps.of_scale(view.scale)
        if own_crf:
            return steps.crf_foreground(encoded.mask_inputs, labels)
        return steps.foreground(*encoded, labels)

    def _mean(
        self,
        ids: tuple[int, ...],
        views: tuple[View, ...],
        squares: Sequence[tf.Tensor],
    ) -> tf.Tensor:
        """The mean of squares at the picture's own size, float32 [K, H, W]."""
        height, width = self.image.shape[:2]
        total = tf.zeros((len(ids), height, width))
        for view, square in zip(views, squares, strict=bool(ids)):
            total += self._steps.to_picture(square, height, width, view.mirror)
        return total / len(views)

    def _merge(
        self,
        ranks: tf.Tensor,
        decisive: tf.Tensor,
        ids: tuple[int, ...],
        scores: np.ndarray | None,
    ) -> np.ndarray:
        """The index mask, uint8 [H, W]; see `Steps.merge`."""
        if not ids:
            return np.zeros(self.image.shape[:2], np.uint8)
        labels = tf.constant(ids, tf.int32)
        if scores is None:
            return self._steps.merge_known(ranks, decisive, labels).numpy()
        return self._steps.merge_chosen(ranks, decisive, labels, scores).numpy()

    def _once(self, key: _Key, work: Callable[[], Any]) -> Any:
        """A part, which is computed the first time; and notes its use.

        `work` must not ask for other parts: they would be timed twice.
        """
        if key not in self._parts:
            start = time.perf_counter()
            self._parts[key] = work()
            self._seconds[key] = time.perf_counter() - start
        self._used.add(key)
        return self._parts[key]


def _tag_scores(steps: Any, features: tf.Tensor) -> np.ndarray:
    return steps.tag_scores(features).numpy()


def encode_together(
    pictures: Sequence[OnePicture], views: Sequence[View]
) -> None:
    """Runs the encoder once for all pictures and the views of each scale.

    Args:
        pictures: before the same network, one that takes batches.
        views: what `OnePicture.predict` will ask for.
    """
    if not pictures:
        return
    compiled = pictures[0]._predictor.compiled
    for scale in dict.fromkeys(view.scale for view in views):
        steps = compiled.of_scale(scale)
        looks = [
            (picture, view)
            for picture in pictures
            for view in views
            if view.scale == scale
        ]
        start = time.perf_counter()
        inputs = [
            steps.view_input(picture._pixels, view.mirror)
            for picture, view in looks
        ]
        images, valid = (tf.stack(parts) for parts in zip(*inputs, strict=True))
        outputs = Encoded(*steps.encode_batch(images, valid))
        each = (time.perf_counter() - start) / len(looks)
        for number, (picture, view) in enumerate(looks):
            row = slice(number, number + 1)
            picture._parts["encode", view] = tf.nest.map_structure(
                lambda part, row=row: part[row], outputs
            )
            picture._seconds["encode", view] = each
