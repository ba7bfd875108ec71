"""The mean-field CRF against a loop in NumPy, and against pydensecrf."""

import numpy as np
import pytest
from layer_checks import check_layer

from keras_wsss.layers.mean_field import MeanFieldCrf

OPTIONS = {
    "smoothness_xy": 1.5,
    "smoothness_weight": 2.0,
    "appearance_xy": 4.0,
    "appearance_rgb": 20.0,
    "appearance_weight": 3.0,
    "iterations": 4,
}


def example(height=5, width=6, labels=3, batch=2, seed=0):
    rng = np.random.default_rng(seed)
    scores = rng.normal(0, 1, (batch, height, width, labels))
    image = rng.uniform(0, 255, (batch, height, width, 3))
    return scores.astype(np.float32), image.astype(np.float32)


def reference(scores, image, options, valid=None):
    """One picture, every pair of cells by itself, in float64."""
    height, width, labels = scores.shape
    cells = [(r, c) for r in range(height) for c in range(width)]

    def kernel(i, j, position, rgb):
        (r, c), (s, d) = cells[i], cells[j]
        apart = ((r - s) ** 2 + (c - d) ** 2) / position**2
        if rgb:
            colour = image[r, c].astype(float) - image[s, d]
            apart += (colour**2).sum() / rgb**2
        weight = 1.0 if valid is None else valid[s, d]
        return np.exp(-apart / 2) * weight

    count = len(cells)
    unary = scores.reshape(count, labels).astype(float)

    def softmax(values):
        exp = np.exp(values - values.max(1, keepdims=True))
        return exp / exp.sum(1, keepdims=True)

    beliefs = softmax(unary)
    for _ in range(options["iterations"]):
        total = unary.copy()
        for weight, position, rgb in (
            (options["smoothness_weight"], options["smoothness_xy"], None),
            (
                options["appearance_weight"],
                options["appearance_xy"],
                options["appearance_rgb"],
            ),
        ):
            for i in range(count):
                row = np.array(
                    [kernel(i, j, position, rgb) for j in range(count)]
                )
                total[i] += weight * row @ beliefs / row.sum()
        beliefs = softmax(total)
    return np.log(beliefs).reshape(scores.shape)


def test_equals_the_sum_over_all_pairs():
    scores, image = example()
    result = MeanFieldCrf(**OPTIONS)(scores, image).numpy()
    for row in range(2):
        expected = reference(scores[row], image[row], OPTIONS)
        np.testing.assert_allclose(result[row], expected, atol=1e-4)


def test_cells_that_are_not_valid_send_nothing():
    scores, image = example()
    valid = np.ones((2, 5, 6), np.float32)
    valid[:, 4] = valid[:, :, 3:] = 0
    crf = MeanFieldCrf(**OPTIONS)
    result = crf(scores, image, valid).numpy()
    expected = reference(scores[0], image[0], OPTIONS, valid[0])
    np.testing.assert_allclose(result[0], expected, atol=1e-4)
    changed = np.where(valid[..., None] > 0, scores, -scores)
    other = crf(changed, image, valid).numpy()
    np.testing.assert_allclose(other[valid > 0], result[valid > 0], atol=1e-5)


def test_neither_a_shift_of_colours_nor_their_order_matters():
    scores, image = example()
    crf = MeanFieldCrf(**OPTIONS)
    shifted = image[..., ::-1] - np.float32([104, 117, 123])
    np.testing.assert_allclose(
        crf(scores, image), crf(scores, shifted), atol=1e-4
    )


@pytest.mark.parametrize(
    "options",
    [
        {"smoothness_weight": 0, "appearance_weight": 0},
        {"iterations": 0},
    ],
)
def test_without_messages_it_is_a_softmax(options):
    scores, image = example()
    result = MeanFieldCrf(**OPTIONS | options)(scores, image).numpy()
    expected = scores - np.log(np.exp(scores).sum(-1, keepdims=True))
    np.testing.assert_allclose(result, expected, atol=1e-5)


def test_a_weak_cell_follows_its_colour():
    scores = np.zeros((1, 6, 6, 2), np.float32)
    scores[:, :, :3, 1], scores[:, :, 3:, 0] = 2.0, 2.0
    scores[:, 2, 1] = [0.3, 0.0]  # a hole in the object
    image = np.zeros((1, 6, 6, 3), np.float32)
    image[:, :, :3] = 200
    result = MeanFieldCrf(**OPTIONS)(scores, image).numpy()
    np.testing.assert_array_equal(
        result[0].argmax(-1), np.repeat([[1, 1, 1, 0, 0, 0]], 6, axis=0)
    )


def test_labels_that_are_ruled_out_stay_out():
    scores, image = example()
    scores[..., 2] = -1e9
    result = MeanFieldCrf(**OPTIONS)(scores, image).numpy()
    assert np.isfinite(result).all()
    assert (result.argmax(-1) < 2).all()


def test_layer_contract(tmp_path):
    check_layer(MeanFieldCrf(**OPTIONS), example(), tmp_path)


@pytest.mark.parametrize(
    "wrong", [{"smoothness_xy": 0}, {"appearance_weight": -1}]
)
def test_impossible_numbers_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        MeanFieldCrf(**wrong)


def test_agrees_with_pydensecrf():
    """Which filters approximately: the same labels but for a few cells."""
    densecrf = pytest.importorskip("pydensecrf.densecrf")
    rng = np.random.default_rng(0)
    side = 41
    place = np.arange(side)
    disc = (place[:, None] - 18) ** 2 + (place - 22) ** 2 < 120
    image = np.where(disc[..., None], [180, 60, 60], [60, 110, 150])
    image = np.clip(image + rng.normal(0, 8, image.shape), 0, 255)
    image = image.astype(np.uint8)
    truth = np.stack([~disc, disc], -1)
    scores = (1.2 * truth + rng.normal(0, 1, truth.shape)).astype(np.float32)
    crf = densecrf.DenseCRF2D(side, side, 2)
    crf.setUnaryEnergy(
        np.ascontiguousarray(-scores.reshape(-1, 2).T, np.float32)
    )
    options = {
        "kernel": densecrf.CONST_KERNEL,
        "normalization": densecrf.NORMALIZE_AFTER,
    }
    crf.addPairwiseGaussian(sxy=2, compat=3, **options)
    crf.addPairwiseBilateral(
        sxy=8, srgb=20, rgbim=np.ascontiguousarray(image), compat=5, **options
    )
    theirs = np.array(crf.inference(10)).T.reshape(side, side, 2)
    ours = np.exp(
        MeanFieldCrf(2, 3, 8, 20, 5, 10)(scores[None], image[None])[0]
    )
    noise = (scores.argmax(-1) != disc).mean()
    assert noise > 0.1
    assert (theirs.argmax(-1) != ours.argmax(-1)).mean() < 0.01
    assert np.abs(theirs - ours).mean() < 0.02
