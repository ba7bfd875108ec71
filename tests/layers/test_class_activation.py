"""The head of the classifying stream: scores and class activation maps."""

import numpy as np
import pytest
import tensorflow as tf
from layer_checks import check_layer

from keras_wsss.layers.class_activation import ClassActivationHead


def activations():
    return np.random.default_rng(0).uniform(0, 1, (2, 3, 4, 5)).astype("f4")


def test_logits_are_the_mean_of_the_maps_and_a_bias():
    head = ClassActivationHead(3, name="head")
    head(activations())
    head.bias.assign([1.0, 2.0, 3.0])
    logits, maps = head(activations(), training=False)
    expected = np.einsum("bhwd,dk->bhwk", activations(), head.kernel.numpy())
    np.testing.assert_allclose(maps, expected, atol=1e-5)
    mean = expected.mean((1, 2)) + np.arange(1, 4)
    np.testing.assert_allclose(logits, mean, atol=1e-5)


@pytest.mark.parametrize("compiled", [False, True])
def test_maps_of_one_row(compiled):
    # TensorFlow 2.21's matmul on CPUs writes past its result, or a wrong one,
    # where a map of one row meets a matrix; Keras goes round it since 3.15.
    head = ClassActivationHead(16, name="head")
    activations = np.random.default_rng(0).uniform(0, 1, (13, 1, 3, 4))
    activations = activations.astype("f4")
    head.build(activations.shape)
    call = tf.function(head) if compiled else head
    _, maps = call(tf.constant(activations))
    expected = np.einsum("bhwd,dk->bhwk", activations, head.kernel.numpy())
    np.testing.assert_allclose(maps, expected, atol=1e-5)


def test_dropout_acts_on_scores_and_not_on_maps():
    head = ClassActivationHead(3, dropout=0.9, name="head")
    plain, _ = head(activations(), training=False)
    dropped, maps = head(activations(), training=True)
    assert not np.allclose(plain, dropped)
    np.testing.assert_array_equal(head(activations())[1], maps)


def test_layer_contract(tmp_path):
    check_layer(ClassActivationHead(3, name="head"), activations(), tmp_path)
