"""A model as a graph whose weights are constants.

A convolution library can then bring the weights into its own order once, not
at every call. `python -m benchmarks.inference` measures what that saves for
one picture at a time; a batch of 8 gains nothing.
"""

from collections.abc import Callable

import keras
import tensorflow as tf


def with_constant_weights(
    model: keras.Model, input_shape: tuple[int | None, ...]
) -> Callable[[tf.Tensor], list[tf.Tensor]]:
    """The model at inference, with its weights as they are now.

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
