"""Label-conditioned attention against its equations in NumPy."""

import keras
import numpy as np
import pytest
from layer_checks import check_layer

from keras_wsss.layers.attention import LabelAttention, LabelEmbedding

CATEGORIES, UNITS, CHANNELS = 7, 12, 5


def inputs(height=4, width=4, labels=((3, 1), (7, 2))):
    rng = np.random.default_rng(0)
    shape = (len(labels), height, width, CHANNELS)
    return [
        rng.uniform(0, 1, shape).astype(np.float32),
        np.array(labels, np.int32),
    ]


def attention(form, **kwargs):
    return LabelAttention(CATEGORIES, UNITS, form, **kwargs)


def moved(layer):
    """Gives every variable random values, so that maps are far from flat."""
    rng = np.random.default_rng(1)
    for variable in layer.variables:
        variable.assign(rng.normal(0, 0.7, variable.shape))
    return layer


def softmax(scores):
    exponentials = np.exp(scores - scores.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


def reference(layer, features, labels):
    """The equations of the paper, one pair at a time."""
    feat, cls = layer.feat_embed, layer.cls_embed
    combined, out = layer.combined_embed, layer.att_w
    maps = np.zeros((*labels.shape, *features.shape[1:3]))
    for b, k in np.ndindex(labels.shape):
        one_hot = np.eye(CATEGORIES)[labels[b, k] - 1]
        u = one_hot @ cls.kernel.numpy() + cls.bias.numpy()
        if layer.form == "dense":
            a = features[b].ravel()[None]
        else:
            a = layer.feature_gain * features[b].reshape(-1, CHANNELS)
        f = a @ feat.kernel.numpy() + feat.bias.numpy()
        hidden = (f * u) @ combined.kernel.numpy() + combined.bias.numpy()
        v = np.maximum(hidden, 0) @ out.kernel.numpy() + out.bias.numpy()
        maps[b, k] = softmax(v.ravel()).reshape(features.shape[1:3])
    return maps


@pytest.mark.parametrize("form", ["dense", "conv"])
def test_equals_the_equations(form):
    features, labels = inputs()
    layer = attention(form, feature_gain=1.0 if form == "dense" else 3.0)
    layer(features, labels)
    expected = reference(moved(layer), features, labels)
    assert np.ptp(expected[0, 0]) > 0.1
    np.testing.assert_allclose(layer(features, labels), expected, atol=1e-5)


@pytest.mark.parametrize("form", ["dense", "conv"])
def test_maps_sum_to_one_and_are_flat_at_the_beginning(form):
    features, labels = inputs(20, 20)
    maps = attention(form)(features, labels).numpy()
    np.testing.assert_allclose(maps.sum((2, 3)), 1, atol=1e-5)
    np.testing.assert_allclose(maps, 1 / 400, rtol=0.2)


@pytest.mark.parametrize("form", ["dense", "conv"])
def test_many_labels_in_one_call_are_as_many_calls(form):
    features, labels = inputs(labels=((3, 1, 6), (7, 2, 2)))
    layer = attention(form)
    layer(features, labels)
    moved(layer)
    together = layer(features, labels).numpy()
    for k in range(labels.shape[1]):
        alone = layer(features, labels[:, k : k + 1]).numpy()
        np.testing.assert_allclose(together[:, k], alone[:, 0], atol=1e-6)


def test_conv_takes_any_size_with_the_same_weights():
    layer = attention("conv")
    features, labels = inputs(4, 4)
    layer(features, labels)
    moved(layer)
    features, labels = inputs(3, 7)
    maps = layer(features, labels).numpy()
    np.testing.assert_allclose(
        maps, reference(layer, features, labels), atol=1e-5
    )


def test_dense_refuses_an_open_size():
    with pytest.raises(ValueError, match="fixed input size"):
        attention("dense")(
            keras.Input((None, None, CHANNELS)),
            keras.Input((1,), dtype="int32"),
        )


def test_unknown_form_is_refused():
    with pytest.raises(ValueError, match="form must be one of"):
        attention("dens")


def test_padding_gives_finite_maps():
    features, labels = inputs(labels=((3, 0), (0, 0)))
    maps = attention("conv")(features, labels).numpy()
    np.testing.assert_allclose(maps.sum((2, 3)), 1, atol=1e-5)


def test_initial_limits_are_the_published_ones():
    layer = LabelAttention(80, 64, "dense")
    layer.build((None, 4, 4, 32), (None, 1))
    for kernel, fan_in in (
        (layer.feat_embed.kernel, 4 * 4 * 32),
        (layer.cls_embed.kernel, 80),
        (layer.combined_embed.kernel, 64),
    ):
        limit = np.sqrt(3 / fan_in)
        values = kernel.numpy()
        assert np.abs(values).max() <= limit
        assert np.abs(values).max() > 0.98 * limit
        assert abs(values.std() / (limit / np.sqrt(3)) - 1) < 0.05
    assert abs(layer.att_w.kernel.numpy().std() / 0.01 - 1) < 0.1
    for part in ("feat_embed", "cls_embed", "combined_embed", "att_w"):
        assert not getattr(layer, part).bias.numpy().any()


@pytest.mark.parametrize("form", ["dense", "conv"])
def test_layer_checks_of_attention(form, tmp_path):
    check_layer(attention(form, feature_gain=2.0), tuple(inputs()), tmp_path)


def test_layer_checks_of_embedding(tmp_path):
    labels = np.array([[1, 3], [7, 0]], np.int32)
    check_layer(LabelEmbedding(CATEGORIES, UNITS), labels, tmp_path)
