"""Attended feature and densified attention against explicit products."""

import numpy as np
import pytest
from layer_checks import check_layer

from keras_wsss.layers.densify import AttendedFeature, DensifiedAttention


@pytest.fixture
def features():
    rng = np.random.default_rng(0)
    return rng.uniform(0, 1, (2, 3, 4, 5)).astype(np.float32)


@pytest.fixture
def attention():
    maps = np.random.default_rng(1).uniform(0, 1, (2, 3, 3, 4))
    return (maps / maps.sum((2, 3), keepdims=True)).astype(np.float32)


def densified_by_hand(features, attention):
    """A A^T attention, with the full matrix of similarities."""
    result = np.zeros(attention.shape)
    for b, k in np.ndindex(attention.shape[:2]):
        matrix = features[b].reshape(-1, features.shape[-1]).astype(float)
        similarities = matrix @ matrix.T
        result[b, k] = (similarities @ attention[b, k].ravel()).reshape(
            attention.shape[2:]
        )
    return result


def test_densified_attention_is_the_similarity_to_the_attended(
    features, attention
):
    attended = AttendedFeature()(features, attention)
    assert attended.shape == (2, 3, 5)
    densified = DensifiedAttention()(features, attended)
    np.testing.assert_allclose(
        densified, densified_by_hand(features, attention), rtol=1e-5
    )


def test_normalized_by_its_maximum(features, attention):
    attended = AttendedFeature()(features, attention)
    densified = DensifiedAttention("max")(features, attended).numpy()
    expected = densified_by_hand(features, attention)
    expected /= expected.max((2, 3), keepdims=True)
    np.testing.assert_allclose(densified, expected, atol=1e-5)


def test_features_of_zero_give_zero_not_nan(attention):
    features = np.zeros((2, 3, 4, 5), np.float32)
    attended = AttendedFeature()(features, attention)
    densified = DensifiedAttention("max")(features, attended).numpy()
    assert not densified.any()


def test_unknown_normalization_is_refused():
    with pytest.raises(ValueError, match="unknown normalization"):
        DensifiedAttention("mean")


def test_layer_checks_of_attended_feature(features, attention, tmp_path):
    check_layer(AttendedFeature(), (features, attention), tmp_path)


@pytest.mark.parametrize("normalization", ["none", "max"])
def test_layer_checks_of_densified(normalization, features, tmp_path):
    attended = np.ones((2, 3, 5), np.float32)
    layer = DensifiedAttention(normalization)
    check_layer(layer, (features, attended), tmp_path)
