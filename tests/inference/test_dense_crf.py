"""The dense CRF against an exact mean field with all pairs summed.

pydensecrf filters on a permutohedral lattice, which approximates the
Gaussian sums: on these small scenes its messages are 0.84 of the exact ones
for the smoothness kernel (two dimensions) and 0.5 for the appearance kernel
(five dimensions, where the lattice is nearly empty and its blur loses
weight). Ten strong iterations drive every pixel to 0 or 1, so decisions
agree although messages do not; the tests compare decisions after ten
iterations, and after one weak iteration the size of the messages, which
normalised kernels would make 35 to 40 times smaller.
"""

import builtins

import numpy as np
import pytest

from keras_wsss.errors import ConfigError, DataError
from keras_wsss.inference import dense_crf as crf
from keras_wsss.inference.dense_crf import dense_crf


def gaussian_kernel(features):
    distance = ((features[:, None] - features[None]) ** 2).sum(-1)
    return np.exp(-0.5 * distance)


def exact_mean_field(image, probability, normalised=False):
    """Mean field with every pair of pixels; Potts messages, raw sums."""
    height, width = probability.shape
    y, x = np.mgrid[:height, :width].reshape(2, -1).astype(float)
    positions = np.stack([x, y], axis=1)
    colours = image.reshape(-1, 3).astype(float)
    smoothness = gaussian_kernel(positions / crf.SMOOTHNESS_XY)
    appearance = gaussian_kernel(
        np.concatenate(
            [
                positions / crf.APPEARANCE_XY,
                colours / crf.APPEARANCE_RGB,
            ],
            axis=1,
        )
    )
    if normalised:
        smoothness /= smoothness.sum(1, keepdims=True)
        appearance /= appearance.sum(1, keepdims=True)
    pairwise = (
        crf.SMOOTHNESS_WEIGHT * smoothness + crf.APPEARANCE_WEIGHT * appearance
    )
    p = np.clip(probability.reshape(-1).astype(float), 1e-6, 1 - 1e-6)
    log_unary = np.log(np.stack([1 - p, p], axis=1))

    def softmax(energy):
        e = np.exp(energy - energy.max(1, keepdims=True))
        return e / e.sum(1, keepdims=True)

    q = softmax(log_unary)
    for _ in range(crf.ITERATIONS):
        q = softmax(log_unary + pairwise @ q)
    return q[:, 1].reshape(height, width)


@pytest.fixture
def scene():
    """Two flat colours with a little noise, and a blurry, shifted guess."""
    rng = np.random.default_rng(3)
    image = np.full((12, 14, 3), (40, 90, 140), np.float64)
    image[:, 6:] = (200, 60, 30)
    image = (image + rng.normal(0, 1, image.shape)).astype(np.uint8)
    x = np.arange(14) - 7.5
    p = 0.2 + 0.6 / (1 + np.exp(-x / 1.5))
    return image, np.tile(p, (12, 1)).astype(np.float32)


def run(image, p):
    pytest.importorskip("pydensecrf", reason="the extra 'crf' is missing")
    return dense_crf(image, p[None])[0]


def test_decisions_equal_the_exact_mean_field(scene):
    image, p = scene
    exact = exact_mean_field(image, p)
    refined = run(image, p)
    np.testing.assert_array_equal(refined > 0.5, exact > 0.5)
    # The outline moved from the guess to the colour edge.
    assert np.all((exact > 0.5) == (np.arange(14) >= 6))
    assert np.any((p > 0.5) != (exact > 0.5))


@pytest.mark.parametrize(
    ("kernel", "lowest"), [("smoothness", 0.7), ("appearance", 0.4)]
)
def test_messages_are_not_normalised(scene, kernel, lowest, monkeypatch):
    image, p = scene
    for name in ("smoothness", "appearance"):
        weight = 0.01 if name == kernel else 0.0
        monkeypatch.setattr(crf, f"{name.upper()}_WEIGHT", weight)
    monkeypatch.setattr(crf, "ITERATIONS", 1)

    def message(posterior):
        """Mean size of the change in log odds, after one iteration."""
        odds = posterior / (1 - posterior)
        return np.abs(np.log(odds) - np.log(p / (1 - p))).mean()

    exact = message(exact_mean_field(image, p))
    normalised = message(exact_mean_field(image, p, normalised=True))
    assert lowest * exact < message(run(image, p)) < 1.1 * exact
    assert normalised < 0.05 * exact


def test_each_label_is_refined_on_its_own(scene):
    pytest.importorskip("pydensecrf", reason="the extra 'crf' is missing")
    image, p = scene
    both = dense_crf(image, np.stack([p, p[:, ::-1]]))
    assert both.dtype == np.float32
    np.testing.assert_array_equal(both[0], dense_crf(image, p[None])[0])


def test_certain_probabilities_stay_finite(scene):
    image, p = scene
    refined = run(image, np.where(p > 0.5, 1.3, -0.2).astype(np.float32))
    assert np.all(np.isfinite(refined))


def test_no_labels_give_no_masks(scene):
    pytest.importorskip("pydensecrf", reason="the extra 'crf' is missing")
    image, _ = scene
    assert dense_crf(image, np.zeros((0, 12, 14))).shape == (0, 12, 14)


@pytest.mark.parametrize(
    ("image", "p", "message"),
    [
        (np.zeros((4, 5, 3)), np.zeros((1, 4, 5)), "uint8"),
        (np.zeros((4, 5, 3), np.uint8), np.zeros((1, 5, 4)), "labels, 4, 5"),
        (
            np.zeros((4, 5, 3), np.uint8),
            np.full((1, 4, 5), np.nan),
            "not finite",
        ),
    ],
)
def test_bad_input_is_named(image, p, message):
    pytest.importorskip("pydensecrf", reason="the extra 'crf' is missing")
    with pytest.raises(DataError, match=message):
        dense_crf(image, p)


def test_missing_library_says_how_to_install(scene, monkeypatch):
    real_import = builtins.__import__

    def without_pydensecrf(name, *args, **kwargs):
        if name.startswith("pydensecrf"):
            raise ImportError("No module named 'pydensecrf'")
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_pydensecrf)
    image, p = scene
    with pytest.raises(ConfigError, match=r"pip install '\.\[crf\]'"):
        dense_crf(image, p[None])
