"""Pictures with several labels to a flat batch of pairs, and back."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from layer_checks import check_layer
from tensorflow.python.framework.kernels import get_registered_kernels_for_op

from keras_wsss.layers.pairs import MergePairs, RepeatForLabels, SplitPairs

LABELS = np.array([[1, 2, 0], [3, 1, 2]], np.int32)


def numbers(*shape, dtype=np.float32):
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


def test_repeats_a_picture_for_each_label_side_by_side():
    switches = numbers(2, 2, 2, 1, dtype=np.uint8)
    repeated = RepeatForLabels()(switches, LABELS).numpy()
    assert repeated.dtype == np.uint8
    np.testing.assert_array_equal(repeated[:3], [switches[0]] * 3)
    np.testing.assert_array_equal(repeated[3:], [switches[1]] * 3)


@pytest.mark.skipif(
    not tf.test.is_built_with_gpu_support(),
    reason="this TensorFlow was built without kernels for GPUs",
)
def test_switches_are_repeated_on_a_gpu_too():
    function = tf.function(RepeatForLabels(), autograph=False)
    switches = tf.TensorSpec([None, 2, 2, 1], tf.uint8)
    labels = tf.TensorSpec([None, None], tf.int32)
    graph = function.get_concrete_function(switches, labels).graph
    for operation in graph.get_operations():
        own = {
            name: operation.get_attr(name)
            for name in operation.node_def.attr
            if name in ("T", "Tparams", "type")
        }
        if tf.uint8 not in own.values() or operation.type == "Placeholder":
            continue
        kernels = get_registered_kernels_for_op(operation.type).kernel
        devices = {
            kernel.device_type
            for kernel in kernels
            for constraint in kernel.constraint
            if own.get(constraint.name) == tf.uint8
            and tf.uint8 in constraint.allowed_values.list.type
        }
        assert devices & {"GPU", "DEFAULT"}, operation.type


def test_one_label_needs_no_repetition():
    values = numbers(2, 2, 2, 1)
    repeated = RepeatForLabels()(values, LABELS[:, :1])
    np.testing.assert_array_equal(repeated, values)


def test_pairs_are_merged_and_split_in_the_same_order():
    maps = numbers(2, 3, 4, 5, 2)
    pairs = MergePairs()(maps)
    assert pairs.shape == (6, 4, 5, 2)
    np.testing.assert_array_equal(pairs[4], maps[1, 1])
    split = SplitPairs()(pairs, LABELS)
    np.testing.assert_array_equal(split, maps)


def test_number_of_labels_may_be_known_only_while_running():
    values = keras.Input((2, 2, 1))
    labels = keras.Input((None,), dtype="int32")
    repeated = RepeatForLabels()(values, labels)
    model = keras.Model([values, labels], SplitPairs()(repeated, labels))
    for count in (1, 3):
        given = numbers(2, 2, 2, 1)
        split = model([given, LABELS[:, :count]]).numpy()
        assert split.shape == (2, count, 2, 2, 1)
        np.testing.assert_array_equal(split[:, -1], given)


@pytest.mark.parametrize(
    ("layer", "inputs"),
    [
        (RepeatForLabels(), (numbers(2, 2, 2, 1), LABELS)),
        (MergePairs(), numbers(2, 3, 4, 5, 2)),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_layer_checks_of_pairs(layer, inputs, tmp_path):
    # The checks compare static shapes beyond the batch axis only.
    check_layer(layer, inputs, tmp_path)


def test_split_keeps_its_config():
    layer = SplitPairs(name="split")
    copy = SplitPairs.from_config(layer.get_config())
    assert copy.get_config() == layer.get_config()
