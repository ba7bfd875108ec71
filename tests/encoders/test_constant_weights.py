"""A model with constant weights computes what the model does."""

import numpy as np
import tensorflow as tf

from keras_wsss.encoders import get_encoder
from keras_wsss.encoders.graphs import with_constant_weights


def test_same_outputs_and_no_variable():
    rng = np.random.default_rng(0)
    encoder = get_encoder("vgg_small").build(32)
    run = with_constant_weights(encoder, (1, 32, 32, 3))
    image = tf.constant(rng.normal(0, 50, (1, 32, 32, 3)), tf.float32)
    expected = [array.numpy() for array in encoder(image, training=False)]
    outer = tf.function(lambda x: run(x), autograph=False)
    for found in (run(image), outer(image)):
        for ours, theirs in zip(found, expected, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    assert not run.get_concrete_function().variables
    assert not outer.get_concrete_function(image).variables
