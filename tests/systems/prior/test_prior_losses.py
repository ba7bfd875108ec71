"""Losses of the prior system, against sums by hand in NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from keras_wsss.errors import ConfigError
from keras_wsss.systems.prior.losses import (
    class_loss,
    image_level_loss,
    segment_loss,
)

K, SIDE = 4, 5


def example():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (3, SIDE, SIDE, K + 1))
    masks = rng.integers(0, K + 1, (3, SIDE, SIDE))
    masks[0] = 0  # no foreground
    masks[1, 0] = 255
    tags = np.float32([[1, 0, 1, 0], [0, 1, 0, 0], [1, 1, 1, 1]])
    return logits.astype(np.float32), masks.astype(np.int32), tags


def softmax(logits):
    exp = np.exp(logits.astype(np.float64))
    return exp / exp.sum(-1, keepdims=True)


def pixel_term(logits, mask):
    """Mean of -log P at the label of every cell that is not void."""
    probabilities = softmax(logits)
    cells = [
        -np.log(probabilities[r, c, mask[r, c]])
        for r, c in np.ndindex(mask.shape)
        if mask[r, c] != 255
    ]
    return np.mean(cells)


def image_term(logits, tags):
    probabilities = softmax(logits).reshape(-1, K + 1)
    flat = logits.reshape(-1, K + 1)
    present = [0, *(np.flatnonzero(tags) + 1)]
    absent = [c for c in range(K + 1) if c not in present]
    peaks = [probabilities[flat[:, c].argmax(), c] for c in range(K + 1)]
    total = -np.mean([np.log(peaks[c]) for c in present])
    if absent:
        total -= np.mean([np.log(1 - peaks[c]) for c in absent])
    return total


def test_class_loss_sums_over_categories():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 1, (3, K)).astype(np.float32)
    tags = example()[2]
    p = 1 / (1 + np.exp(-logits.astype(np.float64)))
    total, count = class_loss(logits, tags)
    expected = -(tags * np.log(p) + (1 - tags) * np.log(1 - p)).sum()
    assert float(total) == pytest.approx(expected, rel=1e-5)
    assert float(count) == 3
    total, _ = class_loss(logits, tags, "euclidean")
    expected = 0.5 * ((p - tags) ** 2).sum()
    assert float(total) == pytest.approx(expected, rel=1e-5)


def test_conditional_loss_switches_on_masks_without_foreground():
    logits, masks, tags = example()
    total, count = segment_loss(logits, masks, tags)
    expected = (
        image_term(logits[0], tags[0])
        + pixel_term(logits[1], masks[1])
        + pixel_term(logits[2], masks[2])
    )
    assert float(total) == pytest.approx(expected, rel=1e-5)
    assert float(count) == 3


def test_image_level_loss_of_every_picture():
    logits, _, tags = example()
    expected = [image_term(z, y) for z, y in zip(logits, tags, strict=True)]
    np.testing.assert_allclose(
        image_level_loss(logits, tags), expected, rtol=1e-5
    )


def test_wtp_adds_both_terms_and_objectness_of_void_cells():
    logits, masks, tags = example()
    objectness = np.random.default_rng(1).uniform(0, 1, masks.shape)
    objectness = objectness.astype(np.float32)
    total, _ = segment_loss(logits, masks, tags, "wtp", objectness)
    expected = sum(
        pixel_term(logits[i], masks[i]) + image_term(logits[i], tags[i])
        for i in range(3)
    )
    background = softmax(logits)[1, 0, :, 0]
    share = 1 - (255 * objectness[1, 0] + 1) / 257
    expected -= np.mean(
        share * np.log(background) + (1 - share) * np.log(1 - background)
    )
    assert float(total) == pytest.approx(expected, rel=1e-5)


def test_gradient_of_the_pixel_term_is_published():
    logits, masks, tags = example()
    logits, masks, tags = logits[2:], masks[2:], tags[2:]
    variable = tf.Variable(logits)
    with tf.GradientTape() as tape:
        total, _ = segment_loss(variable, masks, tags)
    one_hot = np.eye(K + 1)[masks]
    expected = (softmax(logits) - one_hot) / SIDE**2
    np.testing.assert_allclose(
        tape.gradient(total, variable), expected, atol=1e-6
    )


def test_extreme_logits_give_finite_losses_and_gradients():
    logits, masks, tags = example()
    variable = tf.Variable(100 * logits)
    for kind in ("conditional", "wtp"):
        with tf.GradientTape() as tape:
            total, _ = segment_loss(variable, masks, tags, kind)
        assert np.isfinite(total)
        assert np.isfinite(tape.gradient(total, variable)).all()


def test_a_picture_of_void_only_costs_its_tags_alone():
    logits, masks, tags = (values[:1] for values in example())
    total, _ = segment_loss(logits, np.full_like(masks, 255), tags)
    expected = image_term(logits[0], tags[0])
    assert float(total) == pytest.approx(expected, rel=1e-5)


def test_unknown_losses_are_refused():
    logits, masks, tags = example()
    with pytest.raises(ConfigError, match="class_loss"):
        class_loss(logits[:, 0, 0, 1:], tags, "other")
    with pytest.raises(ConfigError, match="segment_loss"):
        segment_loss(logits, masks, tags, "other")


def test_what_is_unknown_costs_nothing_in_either_loss():
    rng = np.random.default_rng(4)
    logits = tf.constant(rng.normal(size=(2, 3, 3, 3)), tf.float32)
    tags = tf.constant([[1.0, 0.0], [1.0, 0.0]])
    known = tf.constant([[1.0, 1.0], [1.0, 0.0]])
    alone = image_level_loss(logits, tags)
    found = image_level_loss(logits, tags, known)
    np.testing.assert_allclose(found[0], alone[0])
    assert found[1] < alone[1]  # without the term of the absent category
    scores = tf.constant([[2.0, 3.0], [2.0, 3.0]])
    first = class_loss(scores[:1], tags[:1])[0]
    both = class_loss(scores, tags, known=known)[0]
    own = tf.nn.sigmoid_cross_entropy_with_logits(1.0, 2.0)
    np.testing.assert_allclose(both, first + own, rtol=1e-6)
