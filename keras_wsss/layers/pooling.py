"""Max pooling that remembers where each maximum was, and its reversal."""

import keras
import tensorflow as tf


def _check_rank_and_size(shape: tf.TensorShape, name: str) -> None:
    """Refuses what cannot be cut into 2 x 2 windows, when it is known."""
    if shape.rank != 4:
        raise ValueError(
            f"Layer '{name}' takes [batch, height, width, channels]; got an "
            f"input of shape {shape}."
        )
    for axis, size in (("height", shape[1]), ("width", shape[2])):
        if size is not None and size % 2:
            raise ValueError(
                f"Layer '{name}' pools 2 x 2 windows, so height and width "
                f"must be even; got {axis} {size} in shape {shape}. Resize "
                "or pad the input."
            )


def _windows(values: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """The four corners of every 2 x 2 window, in window order.

    Reshaping first and slicing after is several times faster on a CPU than
    slicing with a stride of 2. No tensor has more than four dimensions: LiteRT
    slices five at most.

    Args:
        values: [B, 2H, 2W, C].

    Returns:
        Four tensors [B, H, W, C]: (0, 0), (0, 1), (1, 0), (1, 1).
    """
    size = tf.shape(values)
    channels = values.shape[-1] or size[3]
    rows, columns = size[1] // 2, size[2] // 2
    windows = tf.reshape(
        values, [size[0] * rows, 2, columns, 2 * channels]
    )  # (B H, 2, W, 2 C)
    return tuple(
        tf.reshape(
            windows[:, row, :, col * channels : (col + 1) * channels],
            [size[0], rows, columns, channels],
        )
        for row in (0, 1)
        for col in (0, 1)
    )


@keras.saving.register_keras_serializable("keras_wsss")
class MaxPoolingWithSwitches(keras.layers.Layer):
    """2 x 2 max pooling with stride 2 that also returns its switches.

    The switch of an output cell is the place of the maximum within its
    window: 0 to 3 for (row, column) (0, 0), (0, 1), (1, 0), (1, 1). The first
    maximum wins, as in Caffe's pooling and in `tf.nn.max_pool_with_argmax`;
    after a ReLU whole windows of zeros are frequent, so this matters.
    Neither argmax nor scatter is used: comparisons alone are quick on every
    device and compile with XLA. No gradient flows through the switches.

    Input shape:
        float [B, H, W, C]; H and W even.

    Output shape:
        Two tensors: values, float [B, H / 2, W / 2, C], and switches, uint8
        [B, H / 2, W / 2, C] in 0 to 3.

    Example:
        >>> values, switches = MaxPoolingWithSwitches()(features)
        >>> same_size = UnpoolingWithSwitches()([values, switches])

    Raises:
        ValueError: H or W is odd (`tf.errors.InvalidArgumentError` when it
            is known only while running).

    Reference:
        Hong et al., CVPR 2016, section 4 (the decoder's switches); Noh et
        al., ICCV 2015, section 3.2.1.
    """

    def call(self, inputs):
        """Pools; see the class."""
        _check_rank_and_size(inputs.shape, self.name)
        if inputs.shape[1] is None or inputs.shape[2] is None:
            size = tf.shape(inputs)[1:3]
            even = tf.debugging.assert_equal(
                size % 2,
                tf.zeros_like(size),
                message=f"Layer '{self.name}' needs an even height and width.",
            )
            # First, or a reshape further down fails with less to say. There
            # is no operation to wait for when run eagerly.
            with tf.control_dependencies([] if even is None else [even]):
                inputs = tf.identity(inputs)
        values = tf.nn.max_pool2d(inputs, 2, 2, "VALID")
        # The switch counts how many leading corners lie below the maximum.
        first, second, third, _ = _windows(inputs)
        past_first = first < values
        past_second = past_first & (second < values)
        past_third = past_second & (third < values)
        # LiteRT adds no 8-bit integers; 16 bits take no longer.
        switches = (
            tf.cast(past_first, tf.int16)
            + tf.cast(past_second, tf.int16)
            + tf.cast(past_third, tf.int16)
        )
        return values, tf.cast(switches, tf.uint8)


@keras.saving.register_keras_serializable("keras_wsss")
class UnpoolingWithSwitches(keras.layers.Layer):
    """Puts pooled values back to where their switches say, zeros elsewhere.

    The reversal of `MaxPoolingWithSwitches`, equal to the unpooling of
    tensorflow-addons (`MaxUnpooling2D`) for 2 x 2 windows.

    Input shape:
        A list of values, float [B, H, W, C], and switches, uint8
        [B, H, W, C] in 0 to 3.

    Output shape:
        float [B, 2H, 2W, C].

    Reference:
        Hong et al., CVPR 2016, section 4; Noh et al., ICCV 2015, section
        3.2.1.
    """

    def call(self, inputs, training=None):
        """Unpools; see the class."""
        values, switches = inputs
        if training is False:
            # An exported graph would carry the gradient of its own along,
            # and TensorFlow warn of it wherever it is loaded.
            return _unpool(values, switches)
        return _unpool_with_gradient(values, switches)


def _unpool(values: tf.Tensor, switches: tf.Tensor) -> tf.Tensor:
    """Unpools [B, H, W, C] to [B, 2H, 2W, C]; see `UnpoolingWithSwitches`."""
    size = tf.shape(values)
    channels = values.shape[-1] or size[3]
    rows = size[0] * size[1]
    corners = tf.reshape(tf.constant([0, 1, 2, 3], tf.int16), [1, 2, 1, 2, 1])
    # LiteRT takes 8-bit integers that are compared for quantized numbers.
    places = tf.cast(switches, tf.int16)
    unpooled = tf.where(
        tf.reshape(places, [rows, 1, size[2], 1, channels]) == corners,
        tf.reshape(values, [rows, 1, size[2], 1, channels]),
        tf.zeros([], values.dtype),
    )  # (B H, 2, W, 2, C)
    unpooled = tf.reshape(
        unpooled, [size[0], 2 * size[1], 2 * size[2], channels]
    )
    _, height, width, _ = values.shape
    unpooled.set_shape(
        [
            values.shape[0],
            height and 2 * height,
            width and 2 * width,
            values.shape[-1],
        ]
    )
    return unpooled


@tf.custom_gradient
def _unpool_with_gradient(values: tf.Tensor, switches: tf.Tensor):
    """`_unpool` with a gradient that only picks one of four corners.

    The automatic one sums over broadcast windows and is several times slower
    on a CPU.
    """

    def gradient(upstream: tf.Tensor):
        first, second, third, fourth = _windows(upstream)
        one, two = tf.constant(1, tf.uint8), tf.constant(2, tf.uint8)
        picked = tf.where(
            switches < one,
            first,
            tf.where(
                switches < two,
                second,
                tf.where(switches < two + one, third, fourth),
            ),
        )
        return picked, None

    return _unpool(values, switches), gradient
