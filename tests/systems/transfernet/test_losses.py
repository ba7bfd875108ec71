"""Losses against plain NumPy, pair by pair and pixel by pixel."""

import numpy as np
import pytest
import tensorflow as tf

from keras_wsss.systems.transfernet import losses

IGNORE = 255


def log_softmax(logits):
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_classification_is_the_mean_cross_entropy_of_real_pairs(rng):
    logits = rng.normal(0, 2, (2, 3, 5))
    labels = np.array([[1, 5, 0], [3, 0, 0]])
    weights = (labels > 0).astype(np.float32)
    total, count = losses.classification_loss(logits, labels, weights)
    logs = log_softmax(logits)
    expected = -(logs[0, 0, 0] + logs[0, 1, 4] + logs[1, 0, 2])
    np.testing.assert_allclose(total, expected, rtol=1e-5)
    assert count == 3


def masks_of(rng, size=8):
    """Two pictures with categories 2 and 3, background and ignore."""
    return rng.choice([0, 2, 3, IGNORE], (2, size, size)).astype(np.uint8)


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_binary_masks_cell_by_cell(rng, stride):
    masks = masks_of(rng)
    masks[0, :4, :4] = IGNORE  # whole cells without any counted pixel
    labels = np.array([[2, 3], [3, 4]])  # 4 is absent from picture 1
    foreground, weights = losses.binary_masks(masks, labels, stride)
    foreground, weights = foreground.numpy(), weights.numpy()
    assert foreground.shape == (2, 2, 8 // stride, 8 // stride)
    for b, k, row, column in np.ndindex(foreground.shape):
        rows = slice(row * stride, (row + 1) * stride)
        columns = slice(column * stride, (column + 1) * stride)
        cell = masks[b, rows, columns]
        counted = cell[cell != IGNORE]
        share = (counted == labels[b, k]).mean() if counted.size else 0.0
        np.testing.assert_allclose(foreground[b, k, row, column], share)
        np.testing.assert_allclose(
            weights[b, k, row, column], counted.size / cell.size
        )
    assert not np.any(foreground[1, 1])


@pytest.mark.parametrize("stride", [1, 2])
def test_mask_loss_is_the_two_way_softmax_cross_entropy(rng, stride):
    masks = masks_of(rng)
    labels = np.array([[2, 3], [3, 0]])
    weights = np.array([[1, 1], [1, 0]], np.float32)
    logits = rng.normal(0, 2, (2, 2, 8 // stride, 8 // stride, 2))
    total, count = losses.mask_loss(
        tf.constant(logits), tf.constant(masks), labels, weights
    )
    share, counted = losses.binary_masks(masks, labels, stride)
    share, counted = share.numpy(), counted.numpy()
    logs = log_softmax(logits)
    # With soft targets this is the expectation over the cell's pixels.
    losses_by_hand = -(share * logs[..., 1] + (1 - share) * logs[..., 0])
    counted = counted * weights[:, :, None, None]
    np.testing.assert_allclose(
        total, (losses_by_hand * counted).sum(), rtol=1e-5
    )
    np.testing.assert_allclose(count, counted.sum(), rtol=1e-6)


def test_padding_changes_nothing(rng):
    masks = masks_of(rng)
    logits = rng.normal(0, 2, (2, 2, 8, 8, 2))
    labels = np.array([[2, 0], [3, 0]])
    weights = np.array([[1, 0], [1, 0]], np.float32)
    padded = losses.mask_loss(tf.constant(logits), masks, labels, weights)
    alone = losses.mask_loss(
        tf.constant(logits[:, :1]), masks, labels[:, :1], weights[:, :1]
    )
    np.testing.assert_allclose(padded, alone, rtol=1e-6)


def test_ignored_pixels_give_no_loss_and_no_gradient():
    logits = tf.Variable(tf.random.normal((1, 1, 4, 4, 2)))
    masks = np.full((1, 4, 4), IGNORE, np.uint8)
    with tf.GradientTape() as tape:
        total, count = losses.mask_loss(
            logits, masks, np.array([[2]]), np.ones((1, 1))
        )
        mean = tf.math.divide_no_nan(total, count)
    assert (total, count, mean) == (0, 0, 0)
    assert not tf.math.count_nonzero(tape.gradient(mean, logits))


def test_mask_accuracy_counts_right_pixels():
    masks = np.array([[[2, 2], [0, IGNORE]]], np.uint8)
    foreground = np.array([[1.0, -1.0], [-1.0, 1.0]])
    logits = np.stack([np.zeros((2, 2)), foreground], -1)[None, None]
    right, count = losses.mask_accuracy(
        tf.constant(logits), masks, np.array([[2]]), np.ones((1, 1))
    )
    assert (right, count) == (2, 3)


def test_tag_loss_knows_only_its_own_domain(rng):
    logits = rng.normal(0, 2, (2, 4))
    tags = np.array([[1, 0, 0, 1], [0, 1, 0, 0]], np.float32)
    known = np.array([[1, 1, 0, 0], [0, 0, 0, 0]], np.float32)
    total, pictures = losses.tag_loss(logits, tags, known)
    probability = 1 / (1 + np.exp(-logits))
    expected = -np.log(probability[0, 0]) - np.log(1 - probability[0, 1])
    np.testing.assert_allclose(total, expected, rtol=1e-5)
    assert pictures == 1


def test_large_logits_stay_finite():
    logits = np.array([[[[[1e4, -1e4]]]]], np.float32)
    total, _ = losses.mask_loss(
        tf.constant(logits),
        np.array([[[2]]], np.uint8),
        np.array([[2]]),
        np.ones((1, 1)),
    )
    np.testing.assert_allclose(total, 2e4)


def test_overlap_loss_is_one_minus_soft_dice_of_each_pair(rng):
    masks = masks_of(rng)
    labels = np.array([[2, 3], [3, 0]])
    weights = np.array([[1, 1], [1, 0]], np.float32)
    logits = rng.normal(0, 2, (2, 2, 8, 8, 2))
    total, pairs = losses.overlap_loss(
        tf.constant(logits), tf.constant(masks), labels, weights
    )
    probability = 1 / (1 + np.exp(logits[..., 0] - logits[..., 1]))
    expected = 0.0
    for b, k in ((0, 0), (0, 1), (1, 0)):
        valid = masks[b] != IGNORE
        p, t = probability[b, k][valid], masks[b][valid] == labels[b, k]
        expected += 1 - 2 * (p * t).sum() / (p.sum() + t.sum())
    np.testing.assert_allclose(total, expected, rtol=2e-2)
    assert pairs == 3
