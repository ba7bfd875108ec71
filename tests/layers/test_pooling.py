"""Pooling with switches against tensorflow-addons and NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from layer_checks import check_layer

from keras_wsss.layers.pooling import (
    MaxPoolingWithSwitches,
    UnpoolingWithSwitches,
)


def reference_pool(array):
    batch, height, width, channels = array.shape
    windows = array.reshape(batch, height // 2, 2, width // 2, 2, channels)
    windows = windows.transpose(0, 1, 3, 5, 2, 4).reshape(
        batch, height // 2, width // 2, channels, 4
    )
    return windows.max(-1), windows.argmax(-1).astype(np.uint8)


def reference_unpool(values, switches):
    batch, height, width, channels = values.shape
    output = np.zeros((batch, 2 * height, 2 * width, channels), values.dtype)
    for b, h, w, c in np.ndindex(values.shape):
        row, column = divmod(int(switches[b, h, w, c]), 2)
        output[b, 2 * h + row, 2 * w + column, c] = values[b, h, w, c]
    return output


@pytest.fixture
def features():
    # Rounded and cut at zero: ties everywhere, as after a ReLU.
    array = np.random.default_rng(7).normal(size=(2, 6, 10, 3))
    return np.maximum(np.round(array, 1), 0).astype(np.float32)


def flat_argmax(switches):
    """Switches as tensorflow-addons numbers them: (y W + x) C + c."""
    _, _, width, channels = switches.shape
    _, h, w, c = np.ogrid[tuple(map(slice, switches.shape))]
    row, column = np.divmod(switches.astype(np.int64), 2)
    y, x = 2 * h + row, 2 * w + column
    return (y * 2 * width + x) * channels + c


def test_reproduces_tensorflow_addons(golden_path):
    golden = np.load(golden_path)
    values, switches = MaxPoolingWithSwitches()(golden["unpool_input"])
    np.testing.assert_array_equal(values, golden["pooled"])
    np.testing.assert_array_equal(
        flat_argmax(switches.numpy()), golden["argmax_flat"]
    )
    unpooled = UnpoolingWithSwitches()([golden["unpool_value"], switches])
    np.testing.assert_array_equal(unpooled, golden["unpooled"])
    np.testing.assert_array_equal(unpooled, golden["unpooled_v2"])


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_equals_numpy(features, jit_compile, dtype):
    pool, unpool = MaxPoolingWithSwitches(), UnpoolingWithSwitches()

    @tf.function(jit_compile=jit_compile)
    def both(array):
        values, switches = pool(array)
        return values, switches, unpool([values, switches])

    # The layers cast to their own policy, so ask for the tested dtype.
    pool.dtype_policy = unpool.dtype_policy = keras.DTypePolicy(dtype)
    array = tf.cast(features, dtype)
    values, switches, unpooled = both(array)
    assert values.dtype == unpooled.dtype == array.dtype
    assert switches.dtype == tf.uint8
    expected = reference_pool(tf.cast(array, "float32").numpy())
    np.testing.assert_array_equal(tf.cast(values, "float32"), expected[0])
    np.testing.assert_array_equal(switches, expected[1])
    np.testing.assert_array_equal(
        tf.cast(unpooled, "float32"), reference_unpool(*expected)
    )


def test_first_maximum_wins():
    array = np.array(
        [[0, 0, 1, 2], [0, 0, 2, 2], [3, 3, 1, 1], [3, 3, 4, 4]], np.float32
    )[None, :, :, None]
    _, switches = MaxPoolingWithSwitches()(array)
    np.testing.assert_array_equal(switches[0, :, :, 0], [[0, 1], [0, 2]])


def test_negative_values():
    array = np.full((1, 2, 4, 1), -1e30, np.float32)
    array[0, 1, 0] = -5.0
    values, switches = MaxPoolingWithSwitches()(array)
    np.testing.assert_allclose(values[0, 0, :, 0], [-5.0, -1e30])
    np.testing.assert_array_equal(switches[0, 0, :, 0], [2, 0])


@pytest.mark.parametrize("jit_compile", [False, True])
def test_gradient_follows_the_switches(features, jit_compile):
    values, switches = reference_pool(features)
    upstream = np.random.default_rng(1).normal(size=features.shape)
    upstream = upstream.astype(np.float32)

    @tf.function(jit_compile=jit_compile)
    def gradient(values):
        with tf.GradientTape() as tape:
            tape.watch(values)
            unpooled = UnpoolingWithSwitches()([values, switches])
            loss = tf.reduce_sum(unpooled * upstream)
        return tape.gradient(loss, values)

    # Row-major positions of the switches, looked up in the upstream gradient.
    flat = flat_argmax(switches)
    expected = np.take_along_axis(
        upstream.reshape(2, -1), flat.reshape(2, -1), axis=1
    ).reshape(values.shape)
    np.testing.assert_array_equal(gradient(tf.constant(values)), expected)


def test_gradient_of_pooling_reaches_the_maximum_only():
    array = tf.random.stateless_normal((2, 4, 6, 3), (1, 2))
    with tf.GradientTape() as tape:
        tape.watch(array)
        values, switches = MaxPoolingWithSwitches()(array)
        loss = tf.reduce_sum(values * values)
    expected = reference_unpool(2 * values.numpy(), switches.numpy())
    np.testing.assert_allclose(tape.gradient(loss, array), expected)


def test_any_batch_and_any_size():
    inputs = keras.Input((None, None, 3))
    values, switches = MaxPoolingWithSwitches()(inputs)
    model = keras.Model(inputs, UnpoolingWithSwitches()([values, switches]))
    assert model.output.shape == (None, None, None, 3)
    for shape in ((1, 4, 4, 3), (3, 2, 8, 3)):
        array = np.random.default_rng(0).normal(size=shape).astype(np.float32)
        np.testing.assert_array_equal(
            model(array), reference_unpool(*reference_pool(array))
        )


def test_static_shapes_survive():
    values, switches = MaxPoolingWithSwitches()(keras.Input((8, 12, 5)))
    assert values.shape == switches.shape == (None, 4, 6, 5)
    assert switches.dtype == "uint8"
    output = UnpoolingWithSwitches()([values, switches])
    assert output.shape == (None, 8, 12, 5)


@pytest.mark.parametrize("shape", [(1, 5, 4, 1), (1, 4, 7, 1)])
def test_odd_size_is_refused(shape):
    with pytest.raises(ValueError, match="must be even"):
        MaxPoolingWithSwitches()(np.zeros(shape, np.float32))


def test_odd_size_known_only_while_running_is_refused():
    inputs = keras.Input((None, None, 1))
    model = keras.Model(inputs, MaxPoolingWithSwitches(name="pool")(inputs))
    with pytest.raises(tf.errors.InvalidArgumentError, match="even height"):
        tf.function(
            model, input_signature=[tf.TensorSpec((None, None, None, 1))]
        )(tf.zeros((1, 5, 4, 1)))


def test_pooling_passes_the_layer_checks(features, tmp_path):
    check_layer(MaxPoolingWithSwitches(name="pool1"), features, tmp_path)


def test_unpooling_passes_the_layer_checks(features, tmp_path):
    check_layer(
        UnpoolingWithSwitches(name="unpool1"),
        list(reference_pool(features)),
        tmp_path,
    )
