"""The multi-label head and its class activation maps."""

import keras
import numpy as np
import pytest
from layer_checks import check_layer

from keras_wsss.systems.transfernet.tagger import (
    MeanOverPositions,
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


def test_layer_checks_of_the_mean(tmp_path):
    check_layer(MeanOverPositions(), FEATURES.astype(np.float32), tmp_path)
