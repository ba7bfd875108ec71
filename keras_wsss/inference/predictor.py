"""From a picture (and perhaps its tags) to a mask: one way for everyone."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_wsss.categories import Split
from keras_wsss.config import split_of
from keras_wsss.config_fields import range_problems
from keras_wsss.config_files import load_run_config
from keras_wsss.data.images import largest_side, read_image
from keras_wsss.errors import ConfigError, DataError
from keras_wsss.inference.one_picture import Encoded, OnePicture, Prediction
from keras_wsss.mask_updates import count_mask_updates, untrained_sentence
from keras_wsss.run_folder import (
    CHECKPOINT_FOLDERS,
    load_run_encoder,
    load_trained_parts,
    read_tag_rule,
)
from keras_wsss.systems import get_system
from keras_wsss.systems.network import Network
from keras_wsss.systems.problems import raise_problems
from keras_wsss.systems.quality import (
    RAW,
    Quality,
    View,
    augmented_views,
    choose_quality,
)
from keras_wsss.tagging import TagRule

__all__ = [
    "RAW",
    "Encoded",
    "Prediction",
    "Predictor",
    "Quality",
    "View",
    "augmented_views",
    "choose_quality",
]


class Predictor:
    """Segments pictures with a trained network of any system.

    Example:
        predictor = Predictor.from_workdir("runs/transfer")
        prediction = predictor("cat.jpg")
        prediction.mask  # uint8 [H, W]

    Args:
        net: a trained network.
        split: its categories.
        config: the run's config; `inference` gives the thresholds.
        mask_updates: how many updates have taught its masks, see
            `keras_wsss.mask_updates`; None if nobody counted.
        warning: a sentence about masks that are noise; "" if they are not.
        rule: thresholds of tags that the run chose for itself, used where
            the config names none.

    Attributes:
        steps: the functions that it runs.
    """

    def __init__(
        self,
        net: Network,
        split: Split,
        config,
        mask_updates: int | None = None,
        warning: str = "",
        rule: TagRule | None = None,
    ):
        self.net = net
        self.split = split
        self.config = config
        self.mask_updates = mask_updates
        self.warning = warning
        system = get_system(config.system)
        self.steps = system.make_steps(net, split, config, rule)
        self._encode_functions: dict[float, Callable] = {}
        self._foreground_functions: dict[float, Callable] = {}
        self._crf_functions: dict[float, Callable] = {}
        self._tag_functions: dict[float, Callable] = {}
        self._training_masks = tf.function(
            self.steps.training_masks,
            autograph=False,
            input_signature=[
                tf.TensorSpec([None, None, 3], tf.uint8),
                tf.TensorSpec([None], tf.int32),
            ],
        )
        self._maps = tf.function(
            self.steps.maps, autograph=False, reduce_retracing=True
        )
        scores = tf.TensorSpec([None], tf.float32)
        ids = tf.TensorSpec([None], tf.int32)
        probabilities = tf.TensorSpec([None, None, None], tf.float32)
        self._choose_tags = tf.function(
            self.steps.choose_tags, autograph=False, input_signature=[scores]
        )
        self._merge_known = tf.function(
            lambda probabilities, refined, ids: self.steps.merge(
                probabilities, ids, refined=refined
            ),
            autograph=False,
            input_signature=[probabilities, probabilities, ids],
        )
        self._merge_found = tf.function(
            lambda probabilities, refined, ids, scores: self.steps.merge(
                probabilities, ids, self.steps.confidence(scores, ids), refined
            ),
            autograph=False,
            input_signature=[probabilities, probabilities, ids, scores],
        )
        self._resize = tf.function(
            self.steps.to_picture,
            autograph=False,
            input_signature=[
                tf.TensorSpec([None, None, None], tf.float32),
                tf.TensorSpec([], tf.int32),
                tf.TensorSpec([], tf.int32),
                tf.TensorSpec([], tf.bool),
            ],
        )
        self._refined = tf.function(
            self.steps.refine,
            autograph=False,
            input_signature=[
                tf.TensorSpec([None, None, 3], tf.uint8),
                tf.TensorSpec([None, None, None], tf.float32),
            ],
        )

    @classmethod
    def from_workdir(
        cls,
        workdir: str | Path,
        settings=None,
        max_pixels: int | None = None,
        allow_untrained_decoder: bool = False,
        checkpoint: str = "last",
    ) -> "Predictor":
        """Loads a run of `train.py`.

        Args:
            workdir: the run folder.
            settings: a config whose group `inference` (thresholds, scales)
                replaces the run's; None keeps the run's.
            max_pixels: largest width times height of a picture; None keeps
                the run's.
            allow_untrained_decoder: also load a run that no mask has taught
                yet, for its attention and tags; its masks are noise.
            checkpoint: "last", or "best" on held-out source masks, which a
                run with `train.keep_best` keeps.

        Raises:
            ConfigError: not a run folder, nothing saved in it yet, or no mask
                has taught it.
            DataError: damaged weights.
        """
        workdir = Path(workdir)
        config = load_run_config(workdir)
        if settings is not None:
            config = config.replace({"inference": settings.inference})
            raise_problems(
                range_problems(config.inference, "config.inference.")
            )
        if max_pixels is not None:
            config = config.replace({"data.max_pixels": max_pixels})
        split = split_of(config)
        net = get_system(config.system).build(config, split)
        load_run_encoder(net, workdir)
        folder = CHECKPOINT_FOLDERS[checkpoint]
        step = load_trained_parts(net, workdir, folder)
        warning = untrained_sentence(workdir, step, folder)
        if warning and not allow_untrained_decoder:
            raise ConfigError(warning)
        updates = count_mask_updates(workdir, step, folder)
        rule = read_tag_rule(workdir, folder)
        return cls(net, split, config, updates, warning, rule)

    def __call__(
        self,
        image: np.ndarray | str | Path,
        tags: Sequence[int | str] | None = None,
        views: Sequence[View] | None = None,
        refine: bool | None = None,
        own_crf: bool | None = None,
    ) -> Prediction:
        """Segments one picture, as well as its system can if not told less.

        What is left at None is as `choose_quality` says: TransferNet's
        masks are augmented and refined, those of a network with a CRF of its
        own augmented and smoothed by it. `views=RAW, refine=False` is the
        network alone, in less than half of the time.

        Args:
            image: uint8 [H, W, 3], RGB, or a JPEG or PNG file.
            tags: what is in the picture: names or ids. None asks the tagger
                for the categories that the split scores.
            views: test-time augmentation; tag scores and probabilities are
                averaged.
            refine: let masks follow the picture's colours and edges.
            own_crf: let the network's own CRF smooth its logits first, as
                the published inference of the prior system does.

        Raises:
            DataError: a picture that cannot be read.
            ConfigError: an unknown tag, or the network has no CRF.
        """
        quality = choose_quality(self.steps, None, refine, own_crf)
        if views is not None:
            quality = dataclasses.replace(quality, views=tuple(views))
        return self.predict(image, tags, quality)

    def predict(
        self,
        image: np.ndarray | str | Path,
        tags: Sequence[int | str] | None = None,
        quality: Quality | None = None,
    ) -> Prediction:
        """As a call, in a quality made by `choose_quality`; None: its default.

        Raises:
            DataError: a picture that cannot be read.
            ConfigError: an unknown tag, or the network has no CRF.
        """
        if not isinstance(image, np.ndarray):
            image = read_image(Path(image), self.config.data.max_pixels)
        if quality is None:
            quality = choose_quality(self.steps)
        return OnePicture(self, image).predict(tags, quality)

    def encode(self, image: np.ndarray, views: Sequence[View] = RAW) -> Encoded:
        """Runs the encoder, once per view.

        Raises:
            DataError: the picture is empty or far too long for its height.
        """
        height, width = image.shape[:2]
        limit = largest_side(self.config.data.max_pixels)
        if not height or not width or max(height, width) > limit:
            raise DataError(
                f"A picture of {width} x {height} pixels cannot be used: "
                f"sides must lie between 1 and {limit}, because it is padded "
                "to a square; cut it into parts."
            )
        outputs = [
            self._encode_function(view.scale)(image, view.mirror)
            for view in views
        ]
        return Encoded(
            image,
            tuple(views),
            tuple(features for features, _ in outputs),
            tuple(switches for _, switches in outputs),
        )

    def tag_scores(self, encoded: Encoded) -> np.ndarray:
        """The tagger's probabilities, float32 [C], mean over the views."""
        scores = [
            self._tag_function(view.scale)(features).numpy()
            for view, features in zip(
                encoded.views, encoded.features, strict=True
            )
        ]
        return np.mean(scores, axis=0)

    def choose_tags(self, scores: np.ndarray) -> tuple[int, ...]:
        """Scored categories that the tagger names, perhaps none."""
        chosen = self._choose_tags(scores)
        return tuple(int(i) for i in chosen.numpy())

    def probabilities(self, encoded: Encoded, ids: Sequence[int]) -> np.ndarray:
        """Foreground probability of each label at the picture's own size.

        Returns:
            float32 [K, H, W], mean over the views.
        """
        squares = self.squares(encoded, ids)
        return self.mean_at_size(encoded.image, ids, encoded.views, squares)

    def crf_probabilities(
        self, encoded: Encoded, ids: Sequence[int]
    ) -> np.ndarray:
        """As `probabilities`, after the network's own CRF.

        Returns:
            float32 [K, H, W], mean over the views.

        Raises:
            ConfigError: the network has none.
        """
        squares = self.squares(encoded, ids, own_crf=True)
        return self.mean_at_size(encoded.image, ids, encoded.views, squares)

    def squares(
        self, encoded: Encoded, ids: Sequence[int], own_crf: bool = False
    ) -> list[tf.Tensor]:
        """Foreground probabilities on the padded square, as the network's.

        Returns:
            float32 [K, m, m] for each view; nothing without labels.

        Raises:
            ConfigError: the network has no CRF.
        """
        if own_crf:
            self.steps.check_crf()
        if not ids:
            return []
        labels = tf.constant(list(ids), tf.int32)
        if own_crf:
            return [
                self._crf_function(view.scale)(switches, labels)
                for view, switches in zip(
                    encoded.views, encoded.switches, strict=True
                )
            ]
        return [
            self._foreground_function(view.scale)(features, switches, labels)
            for view, features, switches in zip(
                encoded.views, encoded.features, encoded.switches, strict=True
            )
        ]

    def mean_at_size(
        self,
        image: np.ndarray,
        ids: Sequence[int],
        views: Sequence[View],
        squares: Sequence[tf.Tensor],
    ) -> np.ndarray:
        """The mean of what `squares` gave, at the picture's own size.

        Args:
            image: uint8 [H, W, 3].
            ids: K ids.
            views: one for each of the squares.
            squares: float32 [K, m, m]; nothing without labels.

        Returns:
            float32 [K, H, W].
        """
        height, width = image.shape[:2]
        total = np.zeros((len(ids), height, width), np.float32)
        if not ids:
            return total
        for view, square in zip(views, squares, strict=True):
            total += self._resize(square, height, width, view.mirror).numpy()
        return total / len(views)

    def densified(self, encoded: Encoded, ids: Sequence[int]) -> dict:
        """Maps of the first view, for pictures and baselines.

        Returns:
            Name -> float32 [K, g, g], see the `maps` of the steps.
        """
        labels = tf.constant(list(ids), tf.int32)
        maps = self._maps(encoded.features[0], labels)
        return {name: values.numpy() for name, values in maps.items()}

    def training_masks(
        self, image: np.ndarray, ids: Sequence[int]
    ) -> dict[str, np.ndarray]:
        """Masks that training makes of tags; name -> uint8 [H, W]."""
        labels = tf.constant(list(ids), tf.int32)
        masks = self._training_masks(image, labels)
        return {name: mask.numpy() for name, mask in masks.items()}

    def refine(
        self, image: np.ndarray, probabilities: np.ndarray
    ) -> np.ndarray:
        """Refined probabilities, same shape; see `ImageGuidedRefinement`."""
        if not len(probabilities):
            return probabilities
        return self._refined(image, probabilities).numpy()

    def merge(
        self,
        probabilities: np.ndarray,
        ids: Sequence[int],
        scores: np.ndarray | None = None,
        refined: np.ndarray | None = None,
    ) -> np.ndarray:
        """The index mask, uint8 [H, W]; see `merge_labels`.

        Args:
            probabilities: float32 [K, H, W], before refinement.
            ids: K ids.
            scores: float32 [C], what `tag_scores` gave, if the ids are the
                tagger's choice and not known.
            refined: float32 [K, H, W], what `refine` made of them: decides
                for each label where it is, not between labels.
        """
        if not len(ids):
            return np.zeros(probabilities.shape[1:], np.uint8)
        labels = tf.constant(list(ids), tf.int32)
        if refined is None:
            refined = probabilities
        if scores is None:
            return self._merge_known(probabilities, refined, labels).numpy()
        return self._merge_found(probabilities, refined, labels, scores).numpy()

    def square_to_picture(
        self, maps: np.ndarray, height: int, width: int
    ) -> np.ndarray:
        """Maps of the padded square, [K, g, g], at the picture's own size."""
        maps = tf.constant(maps, tf.float32)
        return self._resize(maps, height, width, False).numpy()

    def tag_ids(self, tags: Sequence[int | str]) -> tuple[int, ...]:
        """Ids of names or ids, ascending, each once.

        Raises:
            ConfigError: an unknown tag.
        """
        ids = set()
        for tag in tags:
            found = self.split.find(tag) if isinstance(tag, str) else int(tag)
            if found is None or not 1 <= found <= self.split.num_categories:
                raise ConfigError(
                    f"Unknown tag '{tag}'; this model knows "
                    f"{', '.join(self.split.categories)}."
                )
            ids.add(found)
        return tuple(sorted(ids))

    def _encode_function(self, scale: float) -> Callable:
        if scale not in self._encode_functions:
            # Outside the graph, or its variables would belong to it.
            self.steps.network(scale)
            self._encode_functions[scale] = tf.function(
                lambda image, mirror: self.steps.encode(image, scale, mirror),
                autograph=False,
                input_signature=[
                    tf.TensorSpec([None, None, 3], tf.uint8),
                    tf.TensorSpec([], tf.bool),
                ],
            )
        return self._encode_functions[scale]

    def _tag_function(self, scale: float) -> Callable:
        if scale not in self._tag_functions:
            self._tag_functions[scale] = tf.function(
                lambda features: self.steps.tag_scores(features, scale),
                autograph=False,
            )
        return self._tag_functions[scale]

    def _foreground_function(self, scale: float) -> Callable:
        if scale not in self._foreground_functions:
            self._foreground_functions[scale] = tf.function(
                lambda features, switches, ids: self.steps.foreground(
                    features, switches, ids, scale
                ),
                autograph=False,
                reduce_retracing=True,
            )
        return self._foreground_functions[scale]

    def _crf_function(self, scale: float) -> Callable:
        # One a scale: the CRF must know the size of its grid.
        if scale not in self._crf_functions:
            self._crf_functions[scale] = tf.function(
                self.steps.crf_foreground,
                autograph=False,
                reduce_retracing=True,
            )
        return self._crf_functions[scale]
