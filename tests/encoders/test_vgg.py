"""Encoders against keras.applications, and their weights files."""

import itertools

import h5py
import keras
import numpy as np
import pytest

from benchmarks.pretrain_vgg_small import write_layer_weights
from keras_wsss.encoders import get_encoder
from keras_wsss.encoders.encoder import encoder_digest
from keras_wsss.encoders.layer_weights import (
    read_layer_weights,
)
from keras_wsss.encoders.vgg import ENCODER_WEIGHTS_VARIABLE
from keras_wsss.errors import ConfigError


@pytest.fixture(scope="module")
def other_vgg16_weights():
    """Weights of the right shapes; each array holds its own number."""
    numbers = itertools.count(1)
    return {
        layer.name: [
            np.full(tuple(variable.shape), 1e-4 * next(numbers), np.float32)
            for variable in layer.weights
        ]
        for layer in get_encoder("vgg16").build().layers
        if layer.weights
    }


@pytest.fixture
def no_variable(monkeypatch):
    monkeypatch.delenv(ENCODER_WEIGHTS_VARIABLE, raising=False)


def picture(size, batch=1):
    generator = np.random.default_rng(5)
    return generator.uniform(-120, 140, (batch, size, size, 3)).astype(
        "float32"
    )


def test_vgg16_has_the_published_layers_and_parameters():
    model = get_encoder("vgg16").build(320)
    published = keras.applications.VGG16(include_top=False, weights=None)
    assert model.count_params() == 14_714_688
    assert [layer.name for layer in model.layers if layer.weights] == [
        layer.name for layer in published.layers if layer.weights
    ]
    assert [tuple(output.shape[1:]) for output in model.outputs] == [
        (20, 20, 512),
        (160, 160, 64),
        (80, 80, 128),
        (40, 40, 256),
        (20, 20, 512),
    ]


def test_equals_keras_applications(weights_path):
    model = get_encoder("vgg16").build(64)
    get_encoder("vgg16").load_weights(model, weights_path)
    published = keras.applications.VGG16(include_top=False, weights=None)
    published.load_weights(weights_path)
    names = ["block5_conv3", *(f"block{b}_conv3" for b in (3, 4))]
    names[1:1] = ["block1_conv2", "block2_conv2"]
    published = keras.Model(
        published.inputs, [published.get_layer(name).output for name in names]
    )
    image = picture(64, batch=2)
    features, *switches = model(image)
    expected, *before_pools = published([image])
    np.testing.assert_allclose(features, 0.004 * expected, rtol=1e-4, atol=1e-5)
    for found, array in zip(switches, before_pools, strict=True):
        batch, height, width, channels = array.shape
        windows = array.numpy().reshape(
            batch, height // 2, 2, width // 2, 2, channels
        )
        windows = windows.transpose(0, 1, 3, 5, 2, 4).reshape(*found.shape, 4)
        # Rounding may decide near ties; they are rare.
        assert np.mean(windows.argmax(-1) == found.numpy()) > 0.9999


@pytest.mark.parametrize("name", ["vgg16", "vgg_small"])
def test_is_frozen_and_can_be_summarised(name):
    model = get_encoder(name).build()
    assert model.trainable_variables == []
    lines = []
    model.summary(print_fn=lambda line, **_: lines.append(line))
    assert "block4_pool" in "\n".join(lines)


@pytest.mark.parametrize("name", ["vgg16", "vgg_small"])
def test_any_multiple_of_16(name):
    features, *switches = get_encoder(name).build()(np.zeros((1, 32, 48, 3)))
    assert features.shape[:3] == (1, 2, 3)
    assert features.dtype == "float32"
    assert [s.shape[1:3] for s in switches] == [
        (16, 24),
        (8, 12),
        (4, 6),
        (2, 3),
    ]
    assert {s.dtype.name for s in switches} == {"uint8"}


@pytest.mark.parametrize("size", [0, -16, 100])
def test_refuses_sizes_that_pools_cannot_halve(size):
    with pytest.raises(ConfigError, match="multiple of 16"):
        get_encoder("vgg_small").build(size)


def test_refuses_unknown_names():
    with pytest.raises(ConfigError, match=r"vgg24.*vgg16, .*vgg_small"):
        get_encoder("vgg24")


def test_mixed_precision_keeps_float32_features():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        features, *switches = get_encoder("vgg_small").build(32)(picture(32))
    finally:
        keras.config.set_dtype_policy(before)
    assert features.dtype == "float32"
    assert switches[0].dtype == "uint8"


def test_digest_follows_the_values():
    one, two = (get_encoder("vgg_small").build(32) for _ in range(2))
    assert encoder_digest(one) != encoder_digest(two)
    two.set_weights(one.get_weights())
    assert encoder_digest(one) == encoder_digest(two)
    bias = two.get_layer("block1_conv1").bias
    bias.assign(bias + 1e-6)
    assert encoder_digest(one) != encoder_digest(two)


def test_other_vgg16_weights_are_refused_unless_wanted(
    tmp_path, other_vgg16_weights
):
    path = tmp_path / "mine.weights.h5"
    write_layer_weights(path, other_vgg16_weights)
    model = get_encoder("vgg16").build()
    with pytest.raises(ConfigError, match=r"mine.*published"):
        get_encoder("vgg16").load_weights(model, path)
    get_encoder("vgg16").load_weights(model, path, check_statistics=False)


def test_weights_of_another_architecture_are_refused(tmp_path):
    small = get_encoder("vgg_small").build()
    path = tmp_path / "small.weights.h5"
    small.save_weights(path)
    model = get_encoder("vgg16").build()
    before = encoder_digest(model)
    with pytest.raises(ConfigError, match=r"small\.weights\.h5.*block1_conv1"):
        get_encoder("vgg16").load_weights(model, path)
    assert encoder_digest(model) == before
    one_layer = {"block1_conv1": small.get_layer("block1_conv1").get_weights()}
    write_layer_weights(path, one_layer)
    with pytest.raises(ConfigError, match="no weights for layer 'block2_conv1"):
        get_encoder("vgg_small").load_weights(small, path)


@pytest.mark.parametrize("content", [b"", b"not HDF5" * 100, None])
def test_unreadable_files_are_refused(tmp_path, content):
    path = tmp_path / "bad.weights.h5"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"bad\.weights\.h5"):
        get_encoder("vgg16").load_weights(get_encoder("vgg16").build(), path)


def test_truncated_files_are_refused(tmp_path, other_vgg16_weights):
    path = tmp_path / "cut.weights.h5"
    write_layer_weights(path, other_vgg16_weights)
    path.write_bytes(path.read_bytes()[:100_000])
    with pytest.raises(ConfigError, match=r"cut\.weights\.h5"):
        get_encoder("vgg16").load_weights(get_encoder("vgg16").build(), path)


def test_not_finite_weights_are_refused(tmp_path):
    model = get_encoder("vgg_small").build()
    weights = {
        layer.name: layer.get_weights()
        for layer in model.layers
        if layer.weights
    }
    weights["block3_conv1"][0][0, 0, 0, 0] = np.nan
    path = tmp_path / "nan.weights.h5"
    write_layer_weights(path, weights)
    with pytest.raises(ConfigError, match=r"block3_conv1.*finite"):
        get_encoder("vgg_small").load_weights(model, path)


def test_environment_variable_names_the_file(monkeypatch, tmp_path):
    monkeypatch.setenv(ENCODER_WEIGHTS_VARIABLE, str(tmp_path / "gone.h5"))
    with pytest.raises(ConfigError, match=r"gone\.h5 does not exist"):
        get_encoder("vgg16").load_weights(get_encoder("vgg16").build())


def test_offline_without_a_file_says_what_to_do(monkeypatch, no_variable):
    def offline(**_):
        raise Exception("URL fetch failure on https://example.org: None")

    monkeypatch.setattr(keras.applications, "VGG16", offline)
    with pytest.raises(ConfigError) as caught:
        get_encoder("vgg16").load_weights(get_encoder("vgg16").build())
    assert "--encoder_weights" in str(caught.value)
    assert ENCODER_WEIGHTS_VARIABLE in str(caught.value)
    assert "\n" not in str(caught.value)


def test_downloaded_weights_are_copied_by_name(
    monkeypatch, no_variable, other_vgg16_weights
):
    published = keras.applications.VGG16(include_top=False, weights=None)
    for name, arrays in other_vgg16_weights.items():
        published.get_layer(name).set_weights(arrays)
    monkeypatch.setattr(keras.applications, "VGG16", lambda **_: published)
    model = get_encoder("vgg16").build()
    get_encoder("vgg16").load_weights(model, check_statistics=False)
    for name, arrays in other_vgg16_weights.items():
        for one, two in zip(
            model.get_layer(name).get_weights(), arrays, strict=True
        ):
            np.testing.assert_allclose(one, two, rtol=1e-6)


def test_reads_the_older_layout(tmp_path):
    arrays = [np.arange(6.0).reshape(2, 3), np.ones(3)]
    path = tmp_path / "older.h5"
    with h5py.File(path, "w") as file:
        group = file.create_group("block1_conv1")
        keys = ["block1_conv1_W_1:0", "block1_conv1_b_1:0"]
        group.attrs["weight_names"] = [key.encode() for key in keys]
        for key, array in zip(keys, arrays, strict=True):
            group[key] = array
        file.create_group("block1_pool").attrs["weight_names"] = []
    found = read_layer_weights(path)
    assert list(found) == ["block1_conv1"]
    for one, two in zip(found["block1_conv1"], arrays, strict=True):
        np.testing.assert_array_equal(one, two)


def test_written_files_are_a_function_of_the_weights(tmp_path):
    weights = {"b": [np.ones((2, 2), np.float16)], "a": [np.zeros(3)]}
    paths = [tmp_path / "one.weights.h5", tmp_path / "two.weights.h5"]
    for path in paths:
        write_layer_weights(path, weights)
        with h5py.File(path, "r") as file:
            # HDF5 writes the second of creation where order is tracked, and
            # two files of one second would hide it.
            flags = file.id.get_create_plist().get_link_creation_order()
        assert flags == 0
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert read_layer_weights(paths[0])["b"][0].dtype == np.float16
