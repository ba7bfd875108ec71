"""A frozen encoder as one graph: what a cache keeps, and constant weights."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import keras
import tensorflow as tf

ConcreteFunction: TypeAlias = tf.types.experimental.ConcreteFunction


class CastWeights(keras.StatelessScope):
    """Within it, models read weights that were cast already.

    A layer of bfloat16 casts its float32 weights at every call. Of a matrix
    of hundreds of megabytes, that takes longer than the product. What is
    assigned to the variables afterwards changes nothing.

    Args:
        variables: of layers that compute in `dtype`.
        dtype: "bfloat16" or "float16"; with "float32" nothing is kept.

    """

    def __init__(self, variables: Sequence[keras.Variable], dtype: str):
        super().__init__()
        self._cast: dict[int, tf.Variable] = {}
        for one in [] if dtype == "float32" else variables:
            value = tf.cast(one.value, dtype)
            self._cast[id(one)] = tf.Variable(value, trainable=False)

    def weight_of(self, variable: keras.Variable) -> tf.Variable:
        """What stands for a variable, perhaps itself."""
        return self._cast.get(id(variable), variable.value)

    def get_current_value(self, variable: keras.Variable) -> tf.Tensor | None:
        """What is read of a variable, if it is not the variable itself."""
        if id(variable) in self._cast:
            return tf.convert_to_tensor(self._cast[id(variable)])
        return super().get_current_value(variable)


class ConstantWeights(CastWeights):
    """Within it, models compute with their weights as constants of the graph.

    For a graph that is traced once and stored: what is assigned to the
    variables afterwards does not change it.

    Args:
        variables: that become constants, with the values that they have now.
        large: that do not, see `CastWeights`.
        dtype: that those are read in.
    """

    def __init__(
        self,
        variables: Sequence[keras.Variable],
        large: Sequence[keras.Variable] = (),
        dtype: str = "float32",
    ):
        super().__init__(large, dtype)
        self._arrays = {id(one): one.numpy() for one in variables}
        self._constants: dict[tuple[tf.Graph, int], tf.Tensor] = {}

    def get_current_value(self, variable: keras.Variable) -> tf.Tensor | None:
        """The constant, in the graph at hand: a branch of it has its own."""
        if id(variable) not in self._arrays:
            return super().get_current_value(variable)
        key = tf.compat.v1.get_default_graph(), id(variable)
        if key not in self._constants:
            self._constants[key] = tf.constant(self._arrays[id(variable)])
        return self._constants[key]


def encoding_function(
    encoder: keras.Model, image_size: int, levels: Sequence[int]
) -> ConcreteFunction:
    """A graph that computes what is kept and nothing else.

    Args:
        encoder: see `Encoder.build`.
        image_size: S.
        levels: of the encoder, from 1, that are wanted.

    Returns:
        Function from float32 [B, S, S, 3] to a list: features as float16
        [B, S/stride, S/stride, D], then the levels [B, side, side, channels],
        switches as uint8 and finer maps as float16.
    """

    @tf.function(
        autograph=False,
        input_signature=[
            tf.TensorSpec([None, image_size, image_size, 3], tf.float32)
        ],
    )
    def encode(images: tf.Tensor) -> list[tf.Tensor]:
        features, *maps = encoder(images, training=False)
        kept = [_as_kept(maps[level - 1]) for level in levels]
        return [tf.cast(features, tf.float16), *kept]

    return encode.get_concrete_function()


def _as_kept(maps: tf.Tensor) -> tf.Tensor:
    return tf.cast(maps, tf.float16) if maps.dtype.is_floating else maps


def with_constant_weights(
    model: keras.Model, input_shape: tuple[int | None, ...]
) -> Callable[[tf.Tensor], list[tf.Tensor]]:
    """The model at inference, with its weights as they are now.

    A convolution library can then bring the weights into its own order once,
    not at every call. `python -m benchmarks.inference` measures what that
    saves for one picture at a time; a batch of 8 gains nothing.

    Args:
        model: of one float32 input and a list of outputs. What is assigned
            to its variables afterwards does not change the function.
        input_shape: with the batch.

    Returns:
        Function from float32 `input_shape` to the list of outputs; for use
        by itself or in other graphs, where it holds no variable.
    """
    trainable = [variable.numpy() for variable in model.trainable_variables]
    others = [variable.numpy() for variable in model.non_trainable_variables]

    @tf.function(
        autograph=False,
        input_signature=[tf.TensorSpec(input_shape, tf.float32)],
    )
    def run(inputs: tf.Tensor) -> list[tf.Tensor]:
        outputs, _ = model.stateless_call(
            [tf.constant(array) for array in trainable],
            [tf.constant(array) for array in others],
            inputs,
            training=False,
        )
        return outputs

    return run
