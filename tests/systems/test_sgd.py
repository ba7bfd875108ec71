"""SGD with momentum, rates per layer and weight decay, as Caffe does it."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_wsss.systems.optimizer import MultiplierSgd


def variables_named(*names):
    return [keras.Variable(np.ones(3, np.float32), name=name) for name in names]


def caffe(gradients, rates, factor, decay, momentum=0.9):
    """Weight and velocity by hand; the decay enters before the momentum."""
    weight, velocity = np.ones(3), np.zeros(3)
    for gradient, rate in zip(gradients, rates, strict=True):
        step = rate * factor * (gradient + decay * weight)
        velocity = momentum * velocity + step
        weight = weight - velocity
    return weight


def test_equals_the_rule_of_caffe_under_a_decaying_rate():
    rng = np.random.default_rng(0)
    gradients = rng.normal(size=(6, 3)).astype(np.float32)
    rates = np.linspace(0.1, 0.02, 6)
    kernel, bias, last = variables = variables_named(
        "a_kernel", "a_bias", "scores_kernel"
    )
    optimizer = MultiplierSgd(
        multipliers=[("bias$", 2), ("scores", 10)], kernel_decay=0.05
    )
    optimizer.build(variables)
    for gradient, rate in zip(gradients, rates, strict=True):
        optimizer.learning_rate.assign(rate)
        optimizer.apply([tf.constant(gradient)] * 3, variables)
    for variable, factor, decay in (
        (kernel, 1, 0.05),
        (bias, 2, 0.0),
        (last, 10, 0.05),
    ):
        expected = caffe(gradients, rates, factor, decay)
        np.testing.assert_allclose(variable.numpy(), expected, rtol=1e-4)


def test_config_round_trip():
    optimizer = MultiplierSgd(
        0.3, multipliers=[("bias$", 2)], momentum=0.8, kernel_decay=0.01
    )
    serialized = keras.saving.serialize_keras_object(optimizer)
    assert serialized["registered_name"] == "keras_wsss>MultiplierSgd"
    copy = keras.saving.deserialize_keras_object(serialized)
    assert copy.get_config() == optimizer.get_config()
    assert copy.multiplier("x/bias") == pytest.approx(2)
