"""One picture before a network: its prediction in any quality."""

import dataclasses
import time
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from keras_wsss.systems.quality import Quality, View

if TYPE_CHECKING:
    from keras_wsss.inference.predictor import Predictor


_LARGE = ("enlarge", "refine", "merge")  # stages whose parts have H x W


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What the network says of one picture of H x W pixels.

    Attributes:
        mask: uint8 [H, W], 0 background or category ids.
        tags: ids of the categories looked for, ascending; none where the
            tagger found nothing.
        tag_scores: float32 [C], the tagger's probability of every category.
        probabilities: float32 [K, H, W], foreground probability of each tag,
            refined where the mask is. They say where each is; between tags
            at one pixel the mask goes by those before refinement.
    """

    mask: np.ndarray
    tags: tuple[int, ...]
    tag_scores: np.ndarray
    probabilities: np.ndarray


@dataclasses.dataclass(frozen=True)
class Encoded:
    """A picture seen in several views, encoder outputs and more.

    Attributes:
        image: uint8 [H, W, 3], RGB.
        views: the views.
        features: per view what the tags are read from, float32
            [1, g, g, D] or, in the prior system, a dict.
        switches: per view what else masks are made of: TransferNet's
            switches, the prior system's logits.
    """

    image: np.ndarray
    views: tuple[View, ...]
    features: tuple[tf.Tensor, ...]
    switches: tuple[list[tf.Tensor], ...]

    def of_view(self, index: int) -> "Encoded":
        """One of the views."""
        return Encoded(
            self.image,
            (self.views[index],),
            (self.features[index],),
            (self.switches[index],),
        )


class OnePicture:
    """Predictions of one picture; what they have in common is computed once.

    Everything that makes masks goes through `predict`: `Predictor`, the
    commands, and `evaluate`, which asks for many qualities of a picture.
    Labels are decoded together with those that they were asked with and no
    others, because they compete (the class gate of the prior system).

    Args:
        predictor: a trained network.
        image: uint8 [H, W, 3], RGB.
        encoded: the picture's encoder outputs, where they are known already.
    """

    def __init__(
        self,
        predictor: "Predictor",
        image: np.ndarray,
        encoded: Encoded | None = None,
    ):
        self._predictor = predictor
        self.image = image
        # The first entry of a key is the stage that the part belongs to.
        self._parts: dict[tuple, Any] = {}
        self._seconds: dict[tuple, float] = {}
        self._used: set[tuple] = set()
        for index, view in enumerate(encoded.views if encoded else ()):
            self._parts["encode", view] = encoded.of_view(index)
            self._seconds["encode", view] = 0.0

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

    def predict(
        self, tags: Sequence[int | str] | None, quality: Quality
    ) -> Prediction:
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
        scores = self.tag_scores(quality.views)
        ids = (
            predictor.choose_tags(scores)
            if tags is None
            else predictor.tag_ids(tags)
        )
        ranks = self.probabilities(ids, quality.views, quality.own_crf)
        decisive = ranks
        if quality.refine:
            key = "refine", ids, quality.views, quality.own_crf
            decisive = self._once(
                key, lambda: predictor.refine(self.image, ranks)
            )
        found = scores if tags is None else None
        mask = self._once(
            ("merge", ids, quality, found is None),
            lambda: predictor.merge(ranks, ids, found, decisive),
        )
        return Prediction(mask, ids, scores, decisive)

    def encode(self, view: View) -> Encoded:
        """The encoder's outputs of one view."""
        return self._once(
            ("encode", view),
            lambda: self._predictor.encode(self.image, (view,)),
        )

    def tag_scores(self, views: Sequence[View]) -> np.ndarray:
        """The tagger's probabilities, float32 [C], mean over the views."""
        scores = []
        for view in views:
            encoded = self.encode(view)
            scores.append(
                self._once(
                    ("tag", view),
                    lambda encoded=encoded: self._predictor.tag_scores(encoded),
                )
            )
        return np.mean(scores, axis=0)

    def probabilities(
        self, ids: tuple[int, ...], views: tuple[View, ...], own_crf: bool
    ) -> np.ndarray:
        """Foreground probability of each label at the picture's own size.

        Returns:
            float32 [K, H, W], mean over the views.

        Raises:
            ConfigError: the network has no CRF.
        """
        predictor = self._predictor
        stage = "own CRF" if own_crf else "decode"
        squares = []
        for view in views:
            encoded = self.encode(view)
            if ids:
                squares += self._once(
                    (stage, ids, view),
                    lambda encoded=encoded: predictor.squares(
                        encoded, ids, own_crf
                    ),
                )
        return self._once(
            ("enlarge", ids, views, own_crf),
            lambda: predictor.mean_at_size(self.image, ids, views, squares),
        )

    def _once(self, key: tuple[Hashable, ...], work: Callable[[], Any]) -> Any:
        """A part, which is computed the first time; and notes its use.

        `work` must not ask for other parts: they would be timed twice.
        """
        if key not in self._parts:
            start = time.perf_counter()
            self._parts[key] = work()
            self._seconds[key] = time.perf_counter() - start
        self._used.add(key)
        return self._parts[key]
