"""The steps from a picture to a mask as compiled functions."""

import copy
import threading
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from keras_wsss.encoders.graphs import CastWeights
from keras_wsss.systems.steps import Steps

_FLAG = tf.TensorSpec([], tf.bool)
_SIDE = tf.TensorSpec([], tf.int32)
_IDS = tf.TensorSpec([None], tf.int32)
_SCORES = tf.TensorSpec([None], tf.float32)
_PICTURE = tf.TensorSpec([None, None, 3], tf.uint8)
_PLANES = tf.TensorSpec([None, None, None], tf.float32)


def _compiled(function: Callable, *signature: tf.TensorSpec) -> Callable:
    """Traced once, or for few shapes where these are the network's matter."""
    return tf.function(
        function,
        input_signature=signature or None,
        autograph=False,
        reduce_retracing=not signature,
    )


def _within(weights: CastWeights, function: Callable) -> Callable:
    """The function, reading weights that were cast already."""

    def wrapped(*arguments: Any) -> Any:
        # Several may be traced at the same time.
        with copy.copy(weights):
            return function(*arguments)

    return wrapped


class CompiledSteps:
    """The steps of a network, each traced once for pictures of all sizes.

    They are called as those of `Steps`, with tensors or arrays, and give
    tensors.

    Args:
        steps: what they do.
    """

    def __init__(self, steps: Steps):
        self._steps = steps
        self._of_scales: dict[float, ScaledSteps] = {}
        self._making = threading.Lock()
        net = steps.network(1.0)
        self._weights = CastWeights(net.large_weights, net.compute_dtype)
        self.choose_tags = _compiled(steps.choose_tags, _SCORES)
        self.maps = _compiled(_within(self._weights, steps.maps))
        self.training_masks = _compiled(steps.training_masks, _PICTURE, _IDS)
        self.to_picture = _compiled(
            steps.to_picture, _PLANES, _SIDE, _SIDE, _FLAG
        )
        self.refine = _compiled(steps.refine, _PICTURE, _PLANES)
        # Of tags that are known, and of those that the tagger chose.
        self.merge_known = _compiled(
            lambda ranks, decisive, ids: steps.merge(
                ranks, ids, refined=decisive
            ),
            *(_PLANES, _PLANES, _IDS),
        )
        self.merge_chosen = _compiled(
            lambda ranks, decisive, ids, scores: steps.merge(
                ranks, ids, steps.confidence(scores, ids), decisive
            ),
            *(_PLANES, _PLANES, _IDS, _SCORES),
        )

    def of_scale(self, scale: float) -> "ScaledSteps":
        """Those that run the network at one of its sizes.

        Raises:
            ConfigError: the network has a fixed input size.
        """
        with self._making:
            if scale not in self._of_scales:
                self._of_scales[scale] = ScaledSteps(
                    self._steps, scale, self._weights
                )
            return self._of_scales[scale]


class ScaledSteps:
    """The steps that run the network, at one of its sizes.

    Args:
        steps: what they do.
        scale: factor of the network's input size.
        weights: those that were cast already.
    """

    def __init__(self, steps: Steps, scale: float, weights: CastWeights):
        # Outside of graphs, or its variables would belong to one.
        steps.network(scale)
        self.encode = _compiled(
            lambda image, mirror: steps.encode(image, scale, mirror),
            *(_PICTURE, _FLAG),
        )
        # The same of many views together, where the network takes batches.
        self.view_input = _compiled(
            lambda image, mirror: steps.view_input(image, scale, mirror),
            *(_PICTURE, _FLAG),
        )
        self.encode_batch = _compiled(
            lambda inputs, valid: steps.encode_batch(inputs, valid, scale)
        )
        self.tag_scores = _compiled(
            lambda features: steps.tag_scores(features, scale)
        )
        self.foreground: Callable[[Any, Any, Any], tf.Tensor] = _compiled(
            _within(
                weights,
                lambda features, mask_inputs, ids: steps.foreground(
                    features, mask_inputs, ids, scale
                ),
            )
        )
        # The CRF must know the size of its grid.
        self.crf_foreground = _compiled(steps.crf_foreground)
