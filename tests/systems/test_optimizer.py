"""Learning rates per layer: what tensorflow-addons computed, and plain Adam."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny import tiny_config

from keras_wsss.systems.network import read_arrays
from keras_wsss.systems.optimizer import MultiplierAdam, MultiplierSgd
from keras_wsss.systems.transfernet.update import make_optimizer


def golden_steps(golden, make, steps=5):
    """Trains the small net of the golden file; returns its four arrays."""
    net = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(4, activation="tanh", name="first"),
            keras.layers.Dense(3, name="second"),
        ]
    )
    net.set_weights([golden[f"multi_init_{i}"] for i in range(4)])
    optimizer = make()
    for _ in range(steps):
        with tf.GradientTape() as tape:
            error = net(golden["multi_x"]) - golden["multi_y"]
            loss = tf.reduce_mean(tf.square(error))
        variables = net.trainable_variables
        optimizer.apply(tape.gradient(loss, variables), variables)
    return net.get_weights()


def test_reproduces_multi_optimizer_of_tensorflow_addons(golden_path):
    golden = np.load(golden_path)
    final = golden_steps(
        golden,
        lambda: MultiplierAdam(
            learning_rate=1e-2, multipliers=[("second/", 10)]
        ),
    )
    for index, array in enumerate(final):
        expected = golden[f"multi_final_{index}"]
        moved = np.abs(expected - golden[f"multi_init_{index}"]).max()
        assert moved > 1e-2
        # Keras computes 1 - beta_2^t in float32: 3e-5 of a step of 0.1.
        np.testing.assert_allclose(array, expected, rtol=0, atol=5e-6)


def variables_named(*names):
    return [keras.Variable(np.ones(3, np.float32), name=name) for name in names]


def test_factor_scales_the_update_not_the_gradient():
    variables = variables_named("kernel", "bias")
    optimizer = MultiplierAdam(0.1, multipliers=[("bias$", 2)])
    optimizer.apply([tf.ones(3), tf.ones(3)], variables)
    steps = [1 - v.numpy() for v in variables]
    np.testing.assert_allclose(steps[0], 0.1, rtol=1e-5)
    np.testing.assert_allclose(steps[1], 0.2, rtol=1e-5)


def test_a_snapshot_keeps_its_values_while_training_goes_on():
    """Checkpoints are written beside the next updates."""
    variables = variables_named("kernel", "bias")
    optimizer = MultiplierAdam(0.1)
    update = tf.function(
        lambda: optimizer.apply([tf.ones(3), tf.ones(3)], variables)
    )
    update()
    named = {v.path: v for v in (*variables, *optimizer.variables)}
    arrays = read_arrays(named)
    kept = {name: array.copy() for name, array in arrays.items()}
    for _ in range(3):
        update()
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, kept[name])
    assert not np.allclose(read_arrays(named)["kernel"], kept["kernel"])


def test_factors_of_all_matching_patterns_are_multiplied():
    config = tiny_config("data")
    optimizer = make_optimizer(config)
    assert optimizer.multiplier("att/feat_embed/kernel") == 1
    assert optimizer.multiplier("att/feat_embed/bias") == 2
    assert optimizer.multiplier("classifier_logits/kernel") == 10
    assert optimizer.multiplier("classifier_logits/bias") == 20
    assert optimizer.multiplier("classifier_hidden/bias") == 2
    assert optimizer.epsilon == 1e-8
    assert (optimizer.beta_1, optimizer.beta_2) == (0.9, 0.999)


def test_names_do_not_depend_on_earlier_optimizers():
    """A run must find its moments when repeated in the same process."""
    paths = []
    for _ in range(2):
        optimizer = make_optimizer(tiny_config("data"))
        optimizer.build(variables_named("kernel"))
        paths.append([variable.path for variable in optimizer.variables])
    assert paths[0] == paths[1]


def test_variables_without_a_gradient_in_this_update_stay():
    """The warm-up updates only a part of what the optimizer was built for."""
    variables = variables_named("one", "two")
    optimizer = MultiplierAdam(0.1)
    optimizer.build(variables)
    optimizer.apply([tf.ones(3)], variables[:1])
    assert variables[0].numpy()[0] < 1
    np.testing.assert_array_equal(variables[1].numpy(), 1)


@pytest.mark.parametrize("kind", [MultiplierAdam, MultiplierSgd])
def test_rows_looked_up_twice_are_added_up_first(kind):
    """What `ops.take` gives: rows 2 and 0, and 2 once more."""
    rows = np.float32([[1, 2], [3, -4], [-2, 1]])
    sparse = tf.IndexedSlices(tf.constant(rows), [2, 0, 2], [3, 2])
    dense = tf.constant([rows[1], [0, 0], rows[0] + rows[2]])
    results = []
    for gradient in (sparse, dense):
        variable = keras.Variable(np.ones((3, 2), np.float32), name="kernel")
        optimizer = kind(0.1)
        for _ in range(3):
            optimizer.apply([gradient], [variable])
        results.append(variable.numpy())
    np.testing.assert_array_equal(*results)


def test_config_round_trip():
    optimizer = MultiplierAdam(
        0.3, multipliers=[("bias$", 2), ("^last", 10)], beta_1=0.8
    )
    serialized = keras.saving.serialize_keras_object(optimizer)
    assert serialized["registered_name"] == "keras_wsss>MultiplierAdam"
    copy = keras.saving.deserialize_keras_object(serialized)
    assert isinstance(copy, MultiplierAdam)
    assert copy.get_config() == optimizer.get_config()
    assert copy.multiplier("last_bias") == pytest.approx(20)
    for one in (optimizer, copy):
        variables = variables_named("last_bias")
        one.apply([tf.ones(3)], variables)
        assert 1 - variables[0].numpy()[0] == pytest.approx(6, rel=1e-5)
