"""The prior system's streams and masks as a config wants them.

Training learns from these masks, TensorBoard and the evaluation show them.
"""

import tensorflow as tf

from keras_wsss.data.hidden import hide
from keras_wsss.layers.mean_field import MeanFieldCrf
from keras_wsss.systems.prior.masks import Masks, build_masks
from keras_wsss.systems.prior.network import Prior
from keras_wsss.systems.prior.problems import SEGMENT_STRIDE

Outputs = dict[str, dict[str, tf.Tensor]]


def training_crf(config) -> MeanFieldCrf:
    """The CRF of the masks on line, lengths in cells."""
    return _crf(config.prior, "crf", 1.0)


def inference_crf(config) -> MeanFieldCrf:
    """The CRF of the test, brought from pixels to cells of the logits."""
    return _crf(config.prior, "test", SEGMENT_STRIDE)


def _crf(prior, prefix: str, stride: float) -> MeanFieldCrf:
    return MeanFieldCrf(
        prior[f"{prefix}_smoothness_xy"] / stride,
        prior[f"{prefix}_smoothness_weight"],
        prior[f"{prefix}_appearance_xy"] / stride,
        prior[f"{prefix}_appearance_rgb"],
        prior[f"{prefix}_appearance_weight"],
        prior[f"{prefix}_iterations"],
        name=f"{prefix}_mean_field",
    )


class MaskMaker:
    """From pictures and tags to the masks on line, with the streams' outputs.

    Args:
        net: the network.
        config: the run's config.
    """

    def __init__(self, net: Prior, config):
        self.net = net
        self.class_size = config.prior.class_size
        self.hidden_stream = config.prior.hidden_stream
        self.options = config.prior
        self.crf = training_crf(config)

    def classify(
        self, image: tf.Tensor, hidden: tf.Tensor | None, training: bool
    ) -> Outputs:
        """Streams A ("clean") and H ("hidden"), in one call.

        Args:
            image: float32 [B, S, S, 3], input of S.
            hidden: float32 [B, grid, grid], or None to leave H out.
            training: whether dropout acts.
        """
        size = self.class_size
        clean = tf.image.resize(image, [size, size])
        clean = tf.ensure_shape(clean, [image.shape[0], size, size, 3])
        if hidden is None or not self.hidden_stream:
            return {"clean": self.net.classifier(clean, training=training)}
        # In turn, not one half after the other: with several replicas too,
        # a picture's rows then have their own place in the whole batch, by
        # which dropout draws.
        both = tf.stack([clean, hide(clean, hidden)], axis=1)
        both = tf.reshape(both, [-1, size, size, 3])
        outputs = self.net.classifier(both, training=training)
        return {
            name: {key: value[first::2] for key, value in outputs.items()}
            for first, name in enumerate(("clean", "hidden"))
        }

    def masks(
        self,
        outputs: Outputs,
        image: tf.Tensor,
        valid: tf.Tensor,
        tags: tf.Tensor,
    ) -> Masks:
        """Masks of a batch, see `build_masks`."""
        colours = image[:, ::SEGMENT_STRIDE, ::SEGMENT_STRIDE]
        return build_masks(
            outputs, tags, colours, valid, self.options, self.crf
        )
