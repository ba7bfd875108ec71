"""The multi-label head and its class activation maps."""

import keras
import numpy as np
import pytest
from layer_checks import check_layer

from keras_wsss.systems.transfernet.tagger import (
    PooledEvidence,
    build_tagger,
    tagger_evidence,
)

FEATURES = np.random.default_rng(0).uniform(0, 1, (2, 3, 4, 5))


@pytest.mark.parametrize("units", [0, 6])
def test_tag_logits_are_the_means_of_the_class_maps(units):
    outputs = build_tagger((3, 4, 5), 7, units)(FEATURES)
    assert outputs["class_maps"].shape == (2, 3, 4, 7)
    np.testing.assert_allclose(
        outputs["tag_logits"],
        outputs["class_maps"].numpy().mean((1, 2)),
        rtol=1e-5,
        atol=1e-6,
    )


@pytest.mark.parametrize("units", [0, 6])
def test_evidence_of_a_position_is_its_value_in_the_maps(units):
    tagger = build_tagger((3, 4, 5), 7, units, feature_gain=3.0)
    maps = tagger(FEATURES)["class_maps"].numpy()
    # As for labels: [batch, positions, channels].
    single = FEATURES[:, 1, :2].astype(np.float32)
    evidence = tagger_evidence(tagger, keras.ops.convert_to_tensor(single))
    np.testing.assert_allclose(evidence, maps[:, 1, :2], rtol=1e-5, atol=1e-6)


def test_gain_scales_the_features():
    one = build_tagger((3, 4, 5), 7, 0)
    ten = build_tagger((3, 4, 5), 7, 0, feature_gain=10.0)
    ten.set_weights(one.get_weights())
    np.testing.assert_allclose(
        ten(FEATURES)["tag_logits"],
        one(10 * FEATURES)["tag_logits"],
        rtol=1e-5,
        atol=1e-5,  # a sum near 0 has the error of its terms
    )


@pytest.mark.parametrize("sharpness", [0.0, 2.0])
def test_layer_checks_of_the_pooling(sharpness, tmp_path):
    layer = PooledEvidence(sharpness)
    check_layer(layer, FEATURES.astype(np.float32), tmp_path)


@pytest.mark.parametrize("sharpness", [0.0, 0.5, 3.0])
def test_pooling_is_the_log_of_the_mean_of_powers(sharpness):
    maps = np.random.default_rng(1).normal(0, 3, (2, 3, 4, 7))
    features = FEATURES.copy()
    features[1, 0] = 0  # positions that show padding
    pooled = PooledEvidence(sharpness)(
        maps.astype(np.float32), features.astype(np.float32)
    )
    for picture, positions in ((0, np.s_[:]), (1, np.s_[1:])):
        values = maps[picture, positions].reshape(-1, 7)
        expected = values.mean(axis=0)
        if sharpness:
            powers = np.exp(sharpness * values).mean(axis=0)
            expected = np.log(powers) / sharpness
        np.testing.assert_allclose(pooled[picture], expected, rtol=1e-5)


def test_pooling_overflows_nowhere_and_is_0_where_nothing_is_shown():
    layer = PooledEvidence(2.0)
    maps = np.full((2, 3, 4, 1), -900, np.float32)
    maps[0, 0, 0] = 900
    features = np.ones((2, 3, 4, 5), np.float32)
    features[1] = 0
    np.testing.assert_allclose(
        layer(maps, features), [[900 - np.log(12) / 2], [0]], rtol=1e-6
    )
