"""What the decoder sees of a pair, against NumPy."""

import numpy as np
import pytest
from layer_checks import check_layer

from keras_wsss.layers.guide import AppendFeatures, GuideMaps, StackMaps

RNG = np.random.default_rng(0)
FEATURES = RNG.uniform(0, 1, (2, 3, 4, 5)).astype(np.float32)
ATTENDED = RNG.uniform(0, 1, (2, 2, 5)).astype(np.float32)
ATTENTION = RNG.uniform(0, 1, (2, 2, 3, 4)).astype(np.float32)
CLASS_MAPS = RNG.normal(0, 1, (2, 3, 4, 6)).astype(np.float32)
LABELS = np.array([[6, 2], [1, 0]], np.int32)
INPUTS = (FEATURES, ATTENDED, ATTENTION, CLASS_MAPS, LABELS)


def test_guide_maps_equal_numpy():
    attention, similarity, evidence = (
        np.asarray(maps) for maps in GuideMaps()(*INPUTS)
    )
    for b, k in np.ndindex(2, 2):
        np.testing.assert_allclose(
            attention[b, k], ATTENTION[b, k] / ATTENTION[b, k].max(), rtol=1e-5
        )
        z, a = ATTENDED[b, k], FEATURES[b]
        cosine = a @ z / np.linalg.norm(a, axis=-1) / np.linalg.norm(z)
        np.testing.assert_allclose(similarity[b, k], cosine, rtol=1e-5)
        # Padding (label 0) takes the first category's map; it has no weight.
        row = np.maximum(CLASS_MAPS[b, ..., max(LABELS[b, k] - 1, 0)], 0)
        np.testing.assert_allclose(evidence[b, k], row / row.max(), rtol=1e-5)


def test_maps_without_any_evidence_are_zero_not_nan():
    maps = GuideMaps()(
        0 * FEATURES, ATTENDED, ATTENTION, -np.abs(CLASS_MAPS), LABELS
    )
    assert np.all(np.isfinite(maps[1]))
    assert np.all(np.asarray(maps[2]) == 0)


def test_features_are_the_same_for_every_label():
    guide = np.stack([ATTENTION] * 2, axis=-1)
    layer = AppendFeatures(3, feature_gain=2.0)
    out = np.asarray(layer(guide, FEATURES))
    np.testing.assert_array_equal(out[..., :2], guide)
    kernel = np.asarray(layer.project.kernel)
    expected = np.maximum(2.0 * FEATURES @ kernel, 0)
    for k in range(2):
        np.testing.assert_allclose(out[:, k, ..., 2:], expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("layer", "inputs"),
    [
        (GuideMaps(), INPUTS),
        (AppendFeatures(3), (ATTENTION[..., None], FEATURES)),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_layer_checks_of_guides(layer, inputs, tmp_path):
    check_layer(layer, inputs, tmp_path)


def test_stack():
    stacked = StackMaps()([ATTENTION, 2 * ATTENTION])
    assert stacked.shape == (2, 2, 3, 4, 2)
    np.testing.assert_array_equal(stacked[..., 1], 2 * ATTENTION)
