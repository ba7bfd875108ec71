"""Between pictures with several labels and a flat batch of pairs."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("keras_wsss")
class RepeatForLabels(keras.layers.Layer):
    """Repeats what belongs to a picture for each of its labels.

    By adding zeros, which repeats by broadcasting: `ops.repeat` is a `Tile`
    in TensorFlow, and that has no GPU kernel for switches, which are uint8.

    Call arguments:
        values: any number type [batch, ...].
        labels: int [batch, labels]; only its second size counts.

    Returns:
        [batch * labels, ...], the labels of a picture side by side.
    """

    def call(self, values, labels):
        """Repeats; see the class."""
        if labels.shape[1] == 1:
            return values
        shape = ops.shape(values)
        ones = (1,) * (len(shape) - 1)
        zeros = ops.zeros((1, ops.shape(labels)[1], *ones), values.dtype)
        repeated = ops.expand_dims(values, 1) + zeros  # (B, K, ...)
        return ops.reshape(repeated, (-1, *shape[1:]))

    def compute_output_spec(self, values, labels):
        """Shape and dtype of what `call` returns."""
        return keras.KerasTensor((None, *values.shape[1:]), values.dtype)


@keras.saving.register_keras_serializable("keras_wsss")
class MergePairs(keras.layers.Layer):
    """[batch, labels, height, width, channels] to [batch * labels, ...]."""

    def call(self, maps):
        """Reshapes; see the class."""
        shape = ops.shape(maps)
        return ops.reshape(maps, (-1, *shape[2:]))

    def compute_output_spec(self, maps):
        """Shape and dtype of what `call` returns."""
        return keras.KerasTensor((None, *maps.shape[2:]), maps.dtype)


@keras.saving.register_keras_serializable("keras_wsss")
class SplitPairs(keras.layers.Layer):
    """The reverse: [batch * labels, ...] to [batch, labels, ...].

    Call arguments:
        values: float [batch * labels, height, width, channels].
        labels: int [batch, labels], gives the sizes.
    """

    def call(self, values, labels):
        """Reshapes; see the class."""
        shape = ops.shape(values)
        count = ops.shape(labels)[1]
        return ops.reshape(values, (-1, count, *shape[1:]))

    def compute_output_spec(self, values, labels):
        """Shape and dtype of what `call` returns."""
        return keras.KerasTensor(
            (None, labels.shape[1], *values.shape[1:]), values.dtype
        )
