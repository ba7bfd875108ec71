"""The steps from a picture to a mask, as TensorFlow functions.

`Predictor` runs them one after the other from Python; `serving` puts them
into one graph. Both therefore compute the same.
"""

import abc
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_wsss.categories import Split
from keras_wsss.data import preprocess
from keras_wsss.data.encodings import Encoding
from keras_wsss.encoders.graphs import with_constant_weights
from keras_wsss.errors import ConfigError
from keras_wsss.layers.refinement import ImageGuidedRefinement
from keras_wsss.systems.merge import merge_labels
from keras_wsss.systems.network import Network, named_variables
from keras_wsss.systems.quality import Quality
from keras_wsss.tagging import TagRule, rule_of


class Steps(abc.ABC):
    """What turns pictures into masks with a trained network.

    All methods but `network` are plain TensorFlow ops on tensors of unknown
    sizes; they work eagerly and in graphs. A system says what its network
    does; what is the same for every network has a body here.

    Args:
        net: a trained network.
        split: its categories.
        config: the run's config; `inference` gives the thresholds.
        rule: the thresholds of tags that the run chose for itself, used
            where the config names none.

    Attributes:
        rule: which probabilities make a tag.
        method: name of the system in tables.
        has_crf: whether the network has a CRF of its own for the test, which
            `crf_foreground` runs.
        takes_batches: whether `encode_batch` runs many views together.
    """

    method: str
    has_crf = False
    takes_batches = False

    def __init__(
        self,
        net: Any,
        split: Split,
        config: Any,
        rule: TagRule | None = None,
    ):
        self.split = split
        self.config = config
        self.rule = rule_of(config.inference, rule)
        self._networks: dict[float, Any] = {1.0: net}
        self._encoders: dict[tuple[float, int | None], Callable] = {}
        self._refine = ImageGuidedRefinement()

    @property
    def variables(self) -> list[keras.Variable]:
        """All variables that the steps have used so far, but frozen ones.

        Those are constants of every graph.
        """
        return [
            variable
            for net in self._networks.values()
            for variable in named_variables(net, net.trained_parts).values()
        ]

    @property
    def scales(self) -> tuple[float, ...]:
        """Scales of test-time augmentation that the network can take."""
        return tuple(self.config.inference.scales)

    def check_crf(self) -> None:
        """Raises `ConfigError` unless the network has a CRF of its own."""
        if not self.has_crf:
            raise ConfigError(
                f"{self.method} has no CRF of its own; leave --crf out "
                "(evaluate.py scores the published dense one by --dense_crf)."
            )

    def network(self, scale: float) -> Network:
        """The network for another input size, with the same weights.

        Raises:
            ConfigError: the network has a fixed input size.
        """
        return self._networks[1.0]

    @abc.abstractmethod
    def encode(
        self, image: tf.Tensor, scale: float, mirror: bool | tf.Tensor
    ) -> tuple[Any, Any]:
        """Runs what does not depend on labels on one view of a picture.

        Args:
            image: uint8 [H, W, 3], RGB.
            scale: factor of the network's input size.
            mirror: whether the picture is mirrored.

        Returns:
            Features: what tags are read from, a float32 tensor [1, g, g, D]
            or a dict of tensors; and what else masks are made of, a list of
            tensors.
        """

    def encoder_outputs(
        self, image: tf.Tensor, scale: float, mirror: bool | tf.Tensor
    ) -> list[tf.Tensor]:
        """Runs the frozen encoder on one view; arguments as for `encode`.

        Its weights become constants of the graph.

        Returns:
            What `Encoder.build` says, of one picture.
        """
        inputs, valid = self.view_input(image, scale, mirror)
        return self.encoder_batch(inputs[None], valid[None], scale, 1)

    def view_input(
        self, image: tf.Tensor, scale: float, mirror: bool | tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """What the frozen encoder takes of a view; arguments as for `encode`.

        Returns:
            Its input, float32 [S, S, 3], and which cells of its features show
            picture, float32 [g, g].
        """
        net: Any = self.network(scale)
        size = net.views.image_size
        square = preprocess.square_image(image, size)
        square = preprocess.mirror(square, mirror)
        inputs = preprocess.to_encoder_input(square, net.views.pixels)
        shape = tf.shape(image)
        valid = preprocess.whole_valid(
            shape[0], shape[1], size, net.views.stride, mirror
        )
        return tf.ensure_shape(inputs, [size, size, 3]), valid

    def encoder_batch(
        self,
        inputs: tf.Tensor,
        valid: tf.Tensor,
        scale: float,
        count: int | None = None,
    ) -> list[tf.Tensor]:
        """As `encoder_outputs`, of what `view_input` gave of N views.

        Args:
            inputs: float32 [N, S, S, 3].
            valid: float32 [N, g, g].
            scale: of the views.
            count: N, where it is always the same: a convolution library may
                then choose what is best for it.
        """
        net: Any = self.network(scale)
        shape = (count, *inputs.shape[1:])
        if (scale, count) not in self._encoders:
            with tf.init_scope():
                self._encoders[scale, count] = with_constant_weights(
                    net.encoder, shape
                )
        inputs = tf.ensure_shape(inputs, shape)
        features, *levels = self._encoders[scale, count](inputs)
        return [preprocess.shown_only(net.views, features, valid), *levels]

    def encode_batch(
        self, inputs: tf.Tensor, valid: tf.Tensor, scale: float
    ) -> tuple[Any, Any]:
        """As `encode`, of many views together, where `takes_batches`.

        Args:
            inputs: float32 [N, S, S, 3], of `view_input`.
            valid: float32 [N, g, g], of `view_input`.
            scale: of the views.

        Returns:
            Features and mask inputs with N rows.
        """
        raise NotImplementedError

    def from_cache(self, encoding: Encoding) -> tuple[Any, Any]:
        """What `encode` gives, of an entry of the feature cache.

        Raises:
            ConfigError: the network is none whose outputs are cached.
        """
        raise ConfigError(
            f"{self.method} has no frozen encoder, so nothing of it is cached; "
            "give --feature_cache=''."
        )

    @abc.abstractmethod
    def tag_scores(self, features: Any, scale: float) -> tf.Tensor:
        """The tagger's probability of every category, float32 [C].

        Args:
            features: from `encode`.
            scale: the view's.
        """

    def choose_tags(self, scores: tf.Tensor) -> tf.Tensor:
        """Scored categories that the tagger names; see `TagRule`.

        Args:
            scores: float [C].

        Returns:
            int32 [K], ids in ascending order. Everything that takes them
            works for K = 0 too: nothing of interest is in the picture.
        """
        ids = tf.constant(self.split.scored_ids, tf.int32)
        own = tf.gather(scores, ids - 1)
        # Not by a cast: 0.6 in float32 is more than 0.6 in float64.
        sure = own >= tf.constant(self.rule.tag_threshold, own.dtype)
        best = tf.range(tf.size(ids)) == tf.argmax(own, output_type=tf.int32)
        chosen = tf.where(tf.reduce_any(sure), sure, best)
        some = tf.reduce_max(own) >= tf.constant(
            self.rule.none_threshold, own.dtype
        )
        return tf.boolean_mask(ids, chosen & some)

    @abc.abstractmethod
    def foreground(
        self,
        features: Any,
        mask_inputs: Sequence[tf.Tensor],
        ids: tf.Tensor,
        scale: float,
    ) -> tf.Tensor:
        """Foreground probabilities of labels on the padded square.

        Args:
            features: from `encode`.
            mask_inputs: what else `encode` gave.
            ids: int32 [K], K at least 1.
            scale: the view's.

        Returns:
            float32 [K, m, m].
        """

    def crf_foreground(
        self, mask_inputs: Sequence[tf.Tensor], ids: tf.Tensor
    ) -> tf.Tensor:
        """As `foreground`, after the network's own CRF.

        Raises:
            ConfigError: the network has none.
        """
        self.check_crf()
        raise NotImplementedError

    @abc.abstractmethod
    def maps(self, features: Any, ids: tf.Tensor) -> dict[str, tf.Tensor]:
        """What the network looks at, for pictures and baselines.

        Args:
            features: from `encode`.
            ids: int32 [K], K at least 1.

        Returns:
            Name -> float32 [K, g, g] on the padded square; "class_maps", of
            the tagger, among them.
        """

    def training_masks(
        self, image: tf.Tensor, ids: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Masks that training makes of a picture's tags, to score them.

        Returns:
            Name -> uint8 [H, W]; none unless the system makes some.
        """
        return {}

    def to_picture(
        self,
        maps: tf.Tensor,
        height: tf.Tensor,
        width: tf.Tensor,
        mirror: bool | tf.Tensor,
    ) -> tf.Tensor:
        """[K, m, m] maps of a padded square to [K, H, W] of the picture."""
        last = tf.transpose(maps, [1, 2, 0])
        last = preprocess.mirror(last, mirror)
        last = preprocess.restore(last, height, width)
        return tf.transpose(last, [2, 0, 1])

    def refine(self, image: tf.Tensor, probabilities: tf.Tensor) -> tf.Tensor:
        """`ImageGuidedRefinement` of float32 [K, H, W]; K at least 1."""
        last = tf.transpose(probabilities, [1, 2, 0])[None]  # (1, H, W, K)
        refined = self._refine(tf.cast(image, tf.float32)[None], last)
        return tf.transpose(refined[0], [2, 0, 1])

    def merge(
        self,
        probabilities: tf.Tensor,
        ids: tf.Tensor,
        confidence: tf.Tensor | None = None,
        refined: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """The index mask, uint8 [H, W]; see `merge_labels`.

        Args:
            probabilities: float32 [K, H, W], before refinement.
            ids: int32 [K].
            confidence: float32 [K], how sure it is that a label is in the
                picture at all. Where two labels claim a pixel, the product
                with it decides; a claim against background does not need it.
            refined: float32 [K, H, W], what `refine` made of them: decides
                for each label where it is, not between labels.
        """
        decisive = probabilities if refined is None else refined
        fires = decisive > self.config.inference.mask_threshold
        if confidence is not None:
            probabilities *= confidence[:, None, None]
        return merge_labels(
            probabilities, ids, tf.ones_like(ids, tf.bool), fires
        )

    def confidence(self, scores: tf.Tensor, ids: tf.Tensor) -> tf.Tensor:
        """What `merge` takes for tags that the tagger chose, float32 [K].

        Args:
            scores: float32 [C], the tagger's.
            ids: int32 [K].
        """
        own = tf.gather(scores, ids - 1)
        if self.config.inference.rank_by_tag:
            return own
        return tf.ones_like(own)

    def segment(
        self,
        image: tf.Tensor,
        asked: tf.Tensor,
        quality: Quality,
        max_tags: int | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """All steps on one picture.

        Args:
            image: uint8 [H, W, 3], RGB.
            asked: int32 [K], ids in ascending order; empty asks the tagger.
            quality: what is done for it.
            max_tags: of more tags that the tagger finds, the most probable
                ones count; memory grows with them.

        Returns:
            Mask uint8 [H, W], its ids int32 [K], the tagger's scores
            float32 [C]. K is 0, and all of the mask background, where the
            tagger finds nothing.
        """
        views = quality.views
        encoded = [self.encode(image, v.scale, v.mirror) for v in views]
        scores = [
            self.tag_scores(features, view.scale)
            for view, (features, _) in zip(views, encoded, strict=True)
        ]
        scores = tf.add_n(scores) / float(len(views))
        by_tagger = tf.equal(tf.size(asked), 0)
        ids = tf.cond(
            by_tagger,
            lambda: _most_probable(self.choose_tags(scores), scores, max_tags),
            lambda: asked,
        )
        confidence = tf.cond(
            by_tagger,
            lambda: self.confidence(scores, ids),
            lambda: tf.ones([tf.size(ids)]),
        )
        # No label costs no decoder.
        mask = tf.cond(
            tf.size(ids) > 0,
            lambda: self._mask(image, encoded, ids, confidence, quality),
            lambda: tf.zeros(tf.shape(image)[:2], tf.uint8),
        )
        return mask, ids, scores

    def _mask(self, image, encoded, ids, confidence, quality: Quality):
        """The mask of at least one label, from the encoded views."""
        height, width = tf.shape(image)[0], tf.shape(image)[1]
        total = []
        for view, (features, mask_inputs) in zip(
            quality.views, encoded, strict=True
        ):
            if quality.own_crf:
                square = self.crf_foreground(mask_inputs, ids)
            else:
                square = self.foreground(features, mask_inputs, ids, view.scale)
            total.append(self.to_picture(square, height, width, view.mirror))
        probabilities = tf.add_n(total) / float(len(total))  # (K, H, W)
        refined = None
        if quality.refine:
            refined = self.refine(image, probabilities)
        return self.merge(probabilities, ids, confidence, refined)


def _most_probable(
    ids: tf.Tensor, scores: tf.Tensor, count: int | None
) -> tf.Tensor:
    """At most `count` of the ids, ascending."""
    if count is None:
        return ids
    best = tf.math.top_k(
        tf.gather(scores, ids - 1), tf.minimum(tf.size(ids), count)
    )
    return tf.sort(tf.gather(ids, best.indices))
