"""Why a mirrored view is an entry of its own in the feature cache."""

import numpy as np
import pytest
from small_encoder import make_encoder

MIRRORED_SWITCH = np.array([1, 0, 3, 2], np.uint8)


@pytest.fixture
def image():
    rng = np.random.default_rng(0)
    return rng.normal(0, 60, (1, 64, 64, 3)).astype(np.float32)


def _encode(encoder, image):
    return [output.numpy() for output in encoder(image, training=False)]


def test_mirroring_features_is_not_encoding_the_mirror_image(image):
    encoder = make_encoder()
    features, *switches = _encode(encoder, image)
    of_mirror, *switches_of_mirror = _encode(encoder, image[:, :, ::-1])
    assert np.abs(features[:, :, ::-1] - of_mirror).max() > 0.1 * features.max()
    for maps, expected in zip(switches, switches_of_mirror, strict=True):
        mirrored = MIRRORED_SWITCH[maps[:, :, ::-1]]
        assert (mirrored != expected).mean() > 0.1


def test_symmetric_kernels_would_make_it_exact_up_to_ties(image):
    # Convolutions that cannot tell left from right. No activation is zero,
    # so no window has two equal maxima.
    encoder = make_encoder(symmetric=True, positive=True)
    image = np.abs(image) + 1
    features, *switches = _encode(encoder, image)
    of_mirror, *switches_of_mirror = _encode(encoder, image[:, :, ::-1])
    np.testing.assert_allclose(features[:, :, ::-1], of_mirror, rtol=1e-4)
    for maps, expected in zip(switches, switches_of_mirror, strict=True):
        # Values must be mapped as well: left and right change places.
        agree = (MIRRORED_SWITCH[maps[:, :, ::-1]] == expected).mean()
        unmapped = (maps[:, :, ::-1] == expected).mean()
        assert agree > 0.99
        assert unmapped < 0.5


def test_ties_break_it_even_with_symmetric_kernels():
    # The first maximum wins on both sides: the left one of two equals.
    encoder = make_encoder(symmetric=True)
    flat = np.zeros((1, 64, 64, 3), np.float32)
    _, first, *_ = _encode(encoder, flat)
    _, first_of_mirror, *_ = _encode(encoder, flat[:, :, ::-1])
    np.testing.assert_array_equal(first, first_of_mirror)
    assert (MIRRORED_SWITCH[first[:, :, ::-1]] != first_of_mirror).any()
