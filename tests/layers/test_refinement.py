"""Image-guided refinement against slow NumPy references and planted errors."""

import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf
from readers import read_coco

from keras_wsss.categories import SPLITS
from keras_wsss.data.images import read_image
from keras_wsss.layers.refinement import ImageGuidedRefinement
from keras_wsss.layers.refinement_steps import (
    appearance_evidence,
    grid_size,
    guided_upsample,
    in_two_parts,
    local_mean_field,
)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def slow_evidence(image, logits, position_std, rgb_std, weight, iterations):
    height, width, labels = logits.shape
    cells = [(y, x) for y in range(height) for x in range(width)]
    evidence = np.zeros_like(logits)
    for _ in range(iterations):
        foreground = sigmoid(logits + evidence)
        mean = foreground.mean((0, 1))
        evidence = np.zeros_like(logits)
        for cell in cells:
            votes, total = np.zeros(labels), 0.0
            for other in cells:
                near = np.subtract(cell, other) / (
                    position_std * max(height, width)
                )
                alike = (image[cell] - image[other]) / rgb_std
                kernel = np.exp(-0.5 * (near @ near + alike @ alike))
                votes += kernel * foreground[other]
                total += kernel
            share = votes / total
            evidence[cell] = weight * np.log(
                (share + 0.01)
                / (mean + 0.01)
                / ((1 - share + 0.01) / (1 - mean + 0.01))
            )
    return evidence


def slow_mean_field(image, logits, steps, rgb_std, weight, iterations):
    height, width, _ = logits.shape
    refined = logits
    for _ in range(iterations):
        beliefs = 2 * sigmoid(refined) - 1
        refined = logits.copy()
        for y in range(height):
            for x in range(width):
                message, total = 0.0, 1e-6
                for step in steps:
                    for dy in (-step, 0, step):
                        for dx in (-step, 0, step):
                            b, a = y + dy, x + dx
                            if (dy, dx) == (0, 0):
                                continue
                            if not (0 <= b < height and 0 <= a < width):
                                continue
                            difference = image[y, x] - image[b, a]
                            affinity = np.exp(
                                -(difference @ difference) / (2 * rgb_std**2)
                            )
                            message = message + affinity * beliefs[b, a]
                            total += affinity
                refined[y, x] += weight * message / total
    return refined


def slow_guided(image, values, radius, epsilon):
    """The guided filter without change of size, window by window."""
    height, width, labels = values.shape

    def window(array, y, x):
        top, left = max(0, y - radius), max(0, x - radius)
        return array[top : y + radius + 1, left : x + radius + 1]

    coefficients = np.zeros((height, width, 4, labels))
    for y in range(height):
        for x in range(width):
            colours = window(image, y, x).reshape(-1, 3)
            inside = window(values, y, x).reshape(-1, labels)
            centred = colours - colours.mean(0)
            covariance = centred.T @ centred / len(colours)
            cross = centred.T @ inside / len(colours)
            slope = np.linalg.solve(covariance + epsilon * np.eye(3), cross)
            coefficients[y, x, :3] = slope
            coefficients[y, x, 3] = inside.mean(0) - colours.mean(0) @ slope
    result = np.zeros_like(values)
    for y in range(height):
        for x in range(width):
            mean = window(coefficients, y, x).mean((0, 1))
            result[y, x] = image[y, x] @ mean[:3] + mean[3]
    return result


def small_scene(height=7, width=6, labels=2, seed=0):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 60, (height, width, 3)).astype(np.float32)
    image[:, width // 2 :] += 40
    return image, rng.random((height, width, labels)).astype(np.float32)


def object_scene(height=150, width=200):
    """A textured ellipse, and a coarse guess with planted errors."""
    rng = np.random.default_rng(5)
    truth = np.zeros((height, width), np.uint8)
    cv2.ellipse(truth, (100, 75), (55, 35), 20, 0, 360, 1, -1)
    image = np.where(truth[..., None] == 1, (150, 110, 60), (60, 110, 80))
    image = image + rng.normal(0, 6, image.shape)
    guess = truth.astype(np.float32)
    cv2.circle(guess, (130, 90), 14, 0.2, -1)  # a part that is missing
    cv2.circle(guess, (60, 40), 12, 0.8, -1)  # a part too much
    coarse = cv2.resize(guess, (14, 10), interpolation=cv2.INTER_AREA)
    coarse = sigmoid(5 * (coarse - 0.5) + rng.normal(0, 0.5, coarse.shape))
    p = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    return (
        np.clip(image, 0, 255).astype(np.uint8),
        p.astype(np.float32),
        truth == 1,
    )


def iou(a, b):
    return np.sum(a & b) / np.sum(a | b)


def test_evidence_equals_the_slow_reference():
    image, p = small_scene()
    logits = np.log(p / (1 - p))
    options = (0.7, 15.0, 0.8, 2)
    result = appearance_evidence(image[None], logits[None], *options)[0]
    expected = slow_evidence(image, logits, *options)
    np.testing.assert_allclose(result, expected, atol=2e-5)
    assert np.abs(expected).max() > 0.1


def test_evidence_does_not_depend_on_the_colours_origin():
    # Grey levels a thousand times their range away would drown in rounding.
    image, p = small_scene()
    logits = np.log(p / (1 - p))[None]
    options = (0.7, 15.0, 0.8, 2)
    far = np.float32(2**18)
    moved = np.round(image[None]) + far
    result = appearance_evidence(moved, logits, *options)
    expected = appearance_evidence(moved - far, logits, *options)
    np.testing.assert_allclose(result, expected, atol=1e-4)


def as_tensor_float(values):
    """Rounded to the 10 bits behind the point of TensorFloat-32."""
    whole = np.asarray(values, np.float32).view(np.uint32)
    return ((whole + 0x1000) & np.uint32(0xFFFFE000)).view(np.float32)


def test_kernels_survive_the_rounding_of_newer_gpus():
    """Of colours some deviations apart, as (f, |f|^2) in one product."""
    rng = np.random.default_rng(0)
    features = rng.normal(0, 12, (1, 60, 5)).astype(np.float32)
    half = -0.5 * np.square(features).sum(-1, keepdims=True)
    one = np.ones_like(half)
    left = np.concatenate([features, half, one], -1)
    right = np.concatenate([features, one, half], -1)

    def product(*operands):
        left, right = (np.float64(as_tensor_float(o))[0] for o in operands)
        return left @ right.T

    exact = np.float64(left)[0] @ np.float64(right)[0].T
    assert np.abs(product(left, right) - exact).max() > 0.1
    split = in_two_parts(tf.constant(left), tf.constant(right))
    assert np.abs(product(*split) - exact).max() < 1e-3


def test_local_mean_field_equals_the_slow_reference():
    image, p = small_scene()
    logits = np.log(p / (1 - p))
    # Steps of 9 reach outside everywhere.
    options = ((1, 3, 9), 20.0, 4.0, 3)
    result = local_mean_field(image[None], logits[None], *options)[0]
    expected = slow_mean_field(image, logits, *options)
    np.testing.assert_allclose(result, expected, atol=2e-5)
    assert np.abs(expected - logits).max() > 1


def test_guided_filter_equals_the_slow_reference():
    image, p = small_scene(height=9, width=8)
    image = image / 255
    result = guided_upsample(image[None], image[None], p[None], 2, 1e-3)[0]
    expected = slow_guided(image.astype(np.float64), p, 2, 1e-3)
    np.testing.assert_allclose(result, expected, atol=1e-4)


def test_layer_is_the_three_steps_in_order():
    image, p = small_scene(height=8, width=8)
    p[0, 0] = (-0.1, 1.2)  # bicubic upsampling overshoots
    layer = ImageGuidedRefinement()
    clipped = np.clip(p, 0.01, 0.99)
    logits = np.log(clipped / (1 - clipped))
    logits += slow_evidence(image, logits, 1.0, 8.0, 0.6, 3)
    logits = slow_mean_field(image, logits, (1, 3, 8), 8.0, 8.0, 5)
    expected = slow_guided(
        image.astype(np.float64) / 255, sigmoid(logits), 2, 1e-4
    )
    result = layer(image[None], p[None])[0]
    np.testing.assert_allclose(result, np.clip(expected, 0, 1), atol=2e-3)


def test_planted_errors_are_repaired():
    image, p, truth = object_scene()
    refined = ImageGuidedRefinement()(image[None], p[None, ..., None])
    before, after = iou(p > 0.5, truth), iou(refined[0, ..., 0] > 0.5, truth)
    assert before < 0.85
    assert after > 0.97


def test_real_outlines_get_better(mini_dir):
    """True source masks, as coarse as a network's, on real pictures."""
    source = mini_dir / "source"
    dataset = read_coco(
        source / "instances.json",
        source / "images",
        SPLITS["mini60"],
        min_pixels=0,
    )
    layer = ImageGuidedRefinement()
    gains = []
    for record in dataset.records[::40]:
        image = read_image(record.image_path)
        mask = record.mask.read()
        labels, counts = np.unique(mask[mask != 255], return_counts=True)
        label = labels[np.argmax(counts * (labels > 0))]
        truth = mask == label
        if truth.mean() < 0.02:
            continue
        coarse = cv2.resize(
            truth.astype(np.float32), (14, 14), interpolation=cv2.INTER_AREA
        )
        p = cv2.resize(
            sigmoid(6 * (coarse - 0.5)).astype(np.float32),
            image.shape[1::-1],
            interpolation=cv2.INTER_LINEAR,
        )
        refined = layer(image[None], p[None, ..., None])[0, ..., 0]
        gains.append(iou(refined > 0.5, truth) - iou(p > 0.5, truth))
    assert len(gains) >= 5
    assert np.mean(gains) > 0.02


def test_each_step_helps():
    image, p, truth = object_scene()

    def score(**options):
        layer = ImageGuidedRefinement(**options)
        refined = layer(image[None], p[None, ..., None])
        return iou(refined[0, ..., 0] > 0.5, truth)

    neither = score(appearance_weight=0, local_weight=0)
    assert score(local_weight=0) > neither + 0.02
    assert score(appearance_weight=0) > neither + 0.005


def test_pictures_and_labels_do_not_touch_each_other():
    scenes = [small_scene(20, 30, 3, seed) for seed in range(2)]
    images = np.stack([image for image, _ in scenes])
    p = np.stack([p for _, p in scenes])
    layer = ImageGuidedRefinement(appearance_grid=8, local_grid=16)
    together = layer(images, p).numpy()
    for i in range(2):
        for k in range(3):
            alone = layer(images[i : i + 1], p[i : i + 1, ..., k : k + 1])
            np.testing.assert_allclose(
                together[i, ..., k], alone[0, ..., 0], atol=1e-5
            )


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_certain_labels_stay(value):
    image, _, _ = object_scene()
    p = np.full((1, 150, 200, 1), value, np.float32)
    refined = ImageGuidedRefinement()(image[None], p)
    np.testing.assert_array_equal(refined > 0.5, p > 0.5)


def test_turning_the_picture_turns_the_result():
    image, p, _ = object_scene()
    layer = ImageGuidedRefinement()
    result = layer(image[None], p[None, ..., None]).numpy()
    turned = layer(
        image[None, :, ::-1], np.ascontiguousarray(p[None, :, ::-1, None])
    )
    np.testing.assert_allclose(turned[:, :, ::-1], result, atol=1e-3)


def test_any_size_in_one_exported_graph(tmp_path):
    layer = ImageGuidedRefinement()
    module = tf.Module()
    module.refine = tf.function(
        layer.__call__,
        input_signature=[
            tf.TensorSpec([None, None, None, 3], tf.uint8),
            tf.TensorSpec([None, None, None, None], tf.float32),
        ],
    )
    tf.saved_model.save(module, str(tmp_path))
    loaded = tf.saved_model.load(str(tmp_path))
    rng = np.random.default_rng(0)
    # One row, and larger than both grids.
    for size in ((1, 40, 1), (60, 150, 3)):
        image = rng.integers(0, 256, (2, *size[:2], 3)).astype(np.uint8)
        p = rng.random((2, *size)).astype(np.float32)
        refined = loaded.refine(image, p).numpy()
        assert refined.shape == p.shape
        assert np.all((refined >= 0) & (refined <= 1))
        # Optimised graphs sum in another order.
        np.testing.assert_allclose(refined, layer(image, p), atol=2e-3)


def test_config_round_trip_in_a_functional_model():
    image_input = keras.Input([None, None, 3], dtype="uint8")
    p_input = keras.Input([None, None, 2])
    layer = ImageGuidedRefinement(
        local_steps=(2, 5), appearance_weight=0.3, name="refine"
    )
    model = keras.Model([image_input, p_input], layer(image_input, p_input))
    assert model.output_shape == (None, None, None, 2)
    copy = keras.models.model_from_json(model.to_json())
    assert copy.get_layer("refine").get_config() == layer.get_config()
    image, p = small_scene(12, 10)
    inputs = [image[None].astype(np.uint8), p[None]]
    np.testing.assert_allclose(copy(inputs), model(inputs), atol=1e-6)
    default = ImageGuidedRefinement()(*inputs)
    assert np.abs(model(inputs) - default).max() > 1e-3


def test_half_precision_policies_do_not_lose_digits():
    image, p = small_scene(20, 16)
    full = ImageGuidedRefinement()(image[None], p[None])
    half = ImageGuidedRefinement(dtype="mixed_float16")(image[None], p[None])
    np.testing.assert_allclose(half, full, atol=1e-6)
    from_half = ImageGuidedRefinement()(image[None], p[None].astype(np.float16))
    assert from_half.dtype == tf.float16


@pytest.mark.parametrize(
    ("size", "expected"),
    [((300, 400), (96, 128)), ((10, 20), (10, 20)), ((1, 1000), (1, 128))],
)
def test_grid_keeps_the_aspect_ratio(size, expected):
    grid = grid_size(tf.constant(size), 128)
    np.testing.assert_array_equal(grid, expected)


@pytest.mark.parametrize(
    "options",
    [
        {"local_grid": 0},
        {"local_steps": (1, 0)},
        {"local_steps": ()},
        {"appearance_weight": -1.0},
        {"appearance_rgb": float("nan")},
        {"smallest_probability": 0.5},
    ],
)
def test_bad_options_are_named(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        ImageGuidedRefinement(**options)
