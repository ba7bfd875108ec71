"""The part of an encoder that a cache keeps, as one graph."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from keras_wsss.systems.transfernet.network import TransferNet
from keras_wsss.training.cache_entry import Layout

ConcreteFunction = tf.types.experimental.ConcreteFunction


def encoding_function(
    encoder: keras.Model, image_size: int, switches: Sequence[int]
) -> ConcreteFunction:
    """A graph that computes what is kept and nothing else.

    Args:
        encoder: from float32 [B, S, S, 3] to features and four switch maps.
        image_size: S.
        switches: pools, 1 to 4, whose switches are wanted.

    Returns:
        Function from float32 [B, S, S, 3] to a list: features as float16
        [B, S/16, S/16, D], then switches as uint8 [B, side, side, channels].
    """

    @tf.function(
        autograph=False,
        input_signature=[
            tf.TensorSpec([None, image_size, image_size, 3], tf.float32)
        ],
    )
    def encode(images: tf.Tensor) -> list[tf.Tensor]:
        features, *maps = encoder(images, training=False)
        kept = [tf.cast(maps[pool - 1], tf.uint8) for pool in switches]
        return [tf.cast(features, tf.float16), *kept]

    return encode.get_concrete_function()


def encoding_of(net: TransferNet) -> ConcreteFunction:
    """`encoding_function` with the switches that the network's masks take."""
    size = net.config.image_size
    return encoding_function(net.encoder, size, net.used_switches)


def layout_of(function: ConcreteFunction) -> Layout:
    """The shapes, without the batch, of what an `encoding_function` gives."""
    features, *switches = (
        tuple(output.shape[1:]) for output in function.outputs
    )
    return Layout(features, tuple(switches))
