"""First weights of the prior network."""

import numpy as np
import pytest

from benchmarks.pretrain_vgg_small import write_layer_weights
from keras_wsss.encoders import get_encoder
from keras_wsss.encoders.layer_weights import (
    read_layer_weights,
)
from keras_wsss.errors import ConfigError
from keras_wsss.systems.prior.network import Prior
from keras_wsss.systems.prior.weights import (
    decimate,
    initialise_prior,
    start_from_classifier,
)


def test_decimation_keeps_taps_0_3_6_and_every_4th_unit():
    rng = np.random.default_rng(0)
    fc1 = [rng.normal(size=(7 * 7 * 5, 16)), rng.normal(size=16)]
    fc2 = [rng.normal(size=(16, 16)), rng.normal(size=16)]
    fc6, fc7 = decimate(fc1, fc2, 4)
    assert fc6[0].shape == (3, 3, 5, 4)
    assert fc7[0].shape == (1, 1, 4, 4)
    # Row 3, column 6, channel 2 of the 7 x 7 x 5 input.
    assert fc6[0][1, 2, 2, 3] == fc1[0][(3 * 7 + 6) * 5 + 2, 12]
    assert fc6[1][2] == fc1[1][8]
    assert fc7[0][0, 0, 1, 3] == fc2[0][4, 12]
    assert fc7[1][3] == fc2[1][12]


def test_both_streams_take_the_packaged_encoder():
    net = Prior(3, "vgg_small")
    random = net.classifier.get_layer("classify_fc6").get_weights()[0]
    assert initialise_prior(net) == "random"
    encoder = get_encoder("vgg_small").build()
    get_encoder("vgg_small").load_weights(encoder)
    expected = encoder.get_layer("block5_conv2").get_weights()
    for model, stream in (
        (net.segmenter, "segment"),
        (net.classifier, "classify"),
    ):
        layer = model.get_layer(f"{stream}_block5_conv2")
        np.testing.assert_array_equal(layer.get_weights()[0], expected[0])
        np.testing.assert_array_equal(
            model.get_layer("block3_conv1").get_weights()[0],
            encoder.get_layer("block3_conv1").get_weights()[0],
        )
    np.testing.assert_array_equal(
        net.classifier.get_layer("classify_fc6").get_weights()[0], random
    )


def test_segmenter_starts_from_the_classifier():
    net = Prior(3, "vgg_small", fc6_dilation=5)
    assert net.segmenter.get_layer("segment_fc6").dilation_rate == (5, 5)
    scores = net.segmenter.get_layer("segment_scores").get_weights()[0]
    start_from_classifier(net)
    for name in ("block5_conv1", "block5_conv2", "fc6", "fc7"):
        for ours, theirs in zip(
            net.segmenter.get_layer(f"segment_{name}").get_weights(),
            net.classifier.get_layer(f"classify_{name}").get_weights(),
            strict=True,
        ):
            np.testing.assert_array_equal(ours, theirs)
    after = net.segmenter.get_layer("segment_scores").get_weights()[0]
    np.testing.assert_array_equal(scores, after)


@pytest.fixture(scope="module")
def net():
    return Prior(2)


def test_convolutions_alone_leave_fc6_random(net, weights_path):
    layer = net.segmenter.get_layer("segment_fc6")
    before = layer.get_weights()[0]
    assert initialise_prior(net, weights_path) == "random"
    np.testing.assert_allclose(
        layer.get_weights()[0], 0.004 * before, rtol=1e-5
    )
    kernel = read_layer_weights(weights_path)["block5_conv1"][0]
    np.testing.assert_array_equal(
        net.segmenter.get_layer("segment_block5_conv1").get_weights()[0], kernel
    )


def test_a_whole_vgg16_gives_fc6_and_fc7(net, weights_path, tmp_path):
    weights = dict(read_layer_weights(weights_path))
    rng = np.random.default_rng(0)
    fc1 = rng.standard_normal((7 * 7 * 512, 4096), np.float32)
    fc2 = rng.standard_normal((4096, 4096), np.float32)
    bias = np.arange(4096, dtype=np.float32)
    path = tmp_path / "full.weights.h5"
    write_layer_weights(
        path, {**weights, "fc1": [fc1, bias], "fc2": [fc2, bias]}
    )
    assert initialise_prior(net, path) == "decimated"
    for model, stream in (
        (net.segmenter, "segment"),
        (net.classifier, "classify"),
    ):
        kernel, found = model.get_layer(f"{stream}_fc6").get_weights()
        taps = fc1.reshape(7, 7, 512, 4096)[::3, ::3, :, ::4]
        np.testing.assert_array_equal(kernel, taps)
        np.testing.assert_array_equal(found, bias[::4])
    write_layer_weights(path, {**weights, "fc1": [fc2, bias], "fc2": [fc2]})
    with pytest.raises(ConfigError, match="layer 'fc1' has shapes"):
        initialise_prior(net, path)
