"""Merging per-label probabilities against a pixel-by-pixel reference."""

import numpy as np
import pytest
import tensorflow as tf

from keras_wsss.systems.merge import foreground_probability, merge_labels


def slow_merge(probabilities, label_ids, keep, fires):
    labels, height, width = probabilities.shape
    mask = np.zeros((height, width), np.uint8)
    for y in range(height):
        for x in range(width):
            best = 0.0
            for k in sorted(range(labels), key=lambda k: label_ids[k]):
                score = probabilities[k, y, x] * fires[k, y, x]
                if keep[k] and score > best:
                    best, mask[y, x] = score, label_ids[k]
    return mask


def test_equal_logits_give_two_thirds():
    p = foreground_probability(tf.constant([[3.0, 3.0], [-1.0, -1.0]]))
    np.testing.assert_allclose(p, [2 / 3, 2 / 3], rtol=1e-6)


@pytest.mark.parametrize("factor", [0.25, 0.5, 1.0])
def test_probability_follows_the_published_formula(factor):
    scores = np.random.default_rng(0).normal(0, 3, (5, 4, 2))
    e = np.exp(scores)
    expected = e[..., 1] / (e[..., 1] + factor * e[..., 0])
    p = foreground_probability(tf.constant(scores), factor)
    np.testing.assert_allclose(p, expected, rtol=1e-12)


def test_large_logits_do_not_overflow():
    p = foreground_probability(tf.constant([[900.0, -900.0], [-900.0, 900.0]]))
    np.testing.assert_array_equal(p, [0.0, 1.0])


def test_factor_must_be_positive():
    with pytest.raises(ValueError, match="background_factor"):
        foreground_probability(tf.zeros([1, 2]), 0.0)


def test_equals_the_slow_reference():
    rng = np.random.default_rng(1)
    # One decimal, so that ties between labels are frequent.
    p = rng.random((4, 13, 9)).round(1).astype(np.float32)
    label_ids = [7, 2, 200, 15]
    keep = [True, True, False, True]
    fires = rng.random(p.shape) < 0.4
    expected = slow_merge(p, label_ids, keep, fires)
    mask = merge_labels(p, label_ids, keep, fires)
    assert mask.dtype == tf.uint8
    np.testing.assert_array_equal(mask, expected)
    assert set(np.unique(expected)) == {0, 2, 7, 15}


def test_where_both_fire_the_higher_probability_wins():
    p = tf.constant([[[0.9, 0.6, 0.2]], [[0.7, 0.8, 0.3]]])
    mask = merge_labels(p, [3, 1], [True, True], p > 0.5)
    np.testing.assert_array_equal(mask, [[3, 1, 0]])


def test_ties_go_to_the_lower_id():
    p = tf.constant([[[1.0, 0.5]], [[1.0, 0.5]]])
    mask = merge_labels(p, [9, 4], [True, True], p > 0.5)
    np.testing.assert_array_equal(mask, [[4, 0]])


def test_the_decision_counts_and_not_the_probability():
    p = tf.constant([[[0.9, 0.1]]])
    fires = tf.constant([[[False, True]]])
    np.testing.assert_array_equal(merge_labels(p, [5], [True], fires), [[0, 5]])


def test_padding_and_dropped_labels_never_appear():
    p = tf.ones([3, 2, 2])
    mask = merge_labels(p, [255, 0, 6], [False, False, True], p > 0.5)
    np.testing.assert_array_equal(mask, np.full((2, 2), 6))
    mask = merge_labels(p, [255, 0, 6], [False] * 3, p > 0.5)
    np.testing.assert_array_equal(mask, np.zeros((2, 2)))


def test_batches_with_dynamic_shapes_in_a_graph():
    rng = np.random.default_rng(2)
    p = rng.random((2, 3, 6, 5)).astype(np.float32)
    ids = np.array([[1, 2, 3], [30, 20, 10]], np.int32)
    keep = np.array([[True, False, True], [True, True, True]])
    graph = tf.function(
        merge_labels,
        input_signature=[
            tf.TensorSpec([None, None, None, None], tf.float32),
            tf.TensorSpec([None, None], tf.int32),
            tf.TensorSpec([None, None], tf.bool),
            tf.TensorSpec([None, None, None, None], tf.bool),
        ],
    )
    masks = graph(p, ids, keep, p > 0.5)
    for i in range(2):
        np.testing.assert_array_equal(
            masks[i], slow_merge(p[i], ids[i], keep[i], p[i] > 0.5)
        )


def test_no_labels_at_all_is_background():
    p = tf.zeros([0, 2, 3])
    mask = merge_labels(
        p, tf.zeros([0], tf.int32), tf.zeros([0], tf.bool), p > 0.5
    )
    np.testing.assert_array_equal(mask, np.zeros((2, 3)))
