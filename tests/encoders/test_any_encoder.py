"""Encoders of other libraries: trained on, scored, exported, read again."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from readers import read_voc
from tiny import tiny_config

from benchmarks.pretrain_vgg_small import write_layer_weights
from keras_wsss.data.views import PixelScale
from keras_wsss.encoders import get_encoder
from keras_wsss.errors import ConfigError
from keras_wsss.evaluation.evaluate import evaluate
from keras_wsss.inference.predictor import Predictor
from keras_wsss.serving.build import export_model
from keras_wsss.serving.options import ServingOptions
from keras_wsss.systems.network import named_variables
from keras_wsss.systems.quality import Quality
from keras_wsss.training.run import train

SIZE = 64


def _silent(_):
    pass


def _vit(folder):
    """A ViT of keras-hub, as a preset on disk."""
    hub = pytest.importorskip(
        "keras_hub", reason="keras-hub is not installed (extra 'hub')"
    )
    backbone = hub.models.ViTBackbone(
        image_shape=(SIZE, SIZE, 3),
        patch_size=16,
        num_layers=1,
        num_heads=2,
        hidden_dim=16,
        mlp_dim=16,
    )
    backbone.save_to_preset(str(folder))
    converter = hub.layers.ViTImageConverter(
        image_size=(SIZE, SIZE), scale=1 / 127.5, offset=-1.0
    )
    converter.save_to_preset(str(folder))
    return f"hub:{folder}", ""


def _random_weights(name, folder):
    encoder = get_encoder(name)
    model = encoder.build(SIZE)
    path = folder / "random.weights.h5"
    write_layer_weights(
        path,
        {
            layer.name: layer.get_weights()
            for layer in model.layers
            if layer.weights and not hasattr(layer, "from_data")
        },
    )
    return name, str(path)


# Larger models of keras.applications take minutes: they are built and read
# below, and go the same way as the small one.
CASES = ["vit", "mobilenetv3_small", "efficientnet_lite0+vgg_small"]


@pytest.mark.parametrize("case", CASES)
def test_from_training_to_a_served_model(case, shapes_dir, tmp_path):
    if case == "vit":
        name, weights = _vit(tmp_path / "preset")
    elif "+" in case:
        first = _random_weights("efficientnet_lite0", tmp_path)[1]
        second = tiny_config(shapes_dir).model.encoder_weights
        name, weights = case, f"{first}+{second}"
    else:
        name, weights = _random_weights(case, tmp_path)
    config = tiny_config(shapes_dir).replace(
        {
            "model.encoder": name,
            "model.encoder_weights": weights,
            "model.ignore_padding": True,
            "model.guide_maps": True,
            "model.shortcut": True,
            "cache.folder": str(tmp_path / "cache"),
            "phases.decoder.steps": 4,
            "phases.transfer.steps": 4,
        }
    )
    run = tmp_path / "decoder"
    train(config, "decoder", run, log=_silent)
    results = train(
        config, "transfer", tmp_path / "run", init_from=run, log=_silent
    )
    # The factors of scale went along: nothing was encoded twice.
    assert results["cache"]["source"]["hit_rate"] == 1
    predictor = Predictor.from_workdir(tmp_path / "run")
    records = read_voc(config.data.eval_root, "val", predictor.split).records
    plain = {"augment": False, "refine": False, "baselines": False}
    results = evaluate(predictor, records, **plain, log=_silent)
    assert results["pictures"] == len(records)
    # Views and refinement know no encoder, and take long to trace.
    options = ServingOptions(40_000, 3, 4, quality=Quality())
    manifest = export_model(predictor, tmp_path / "1", options, log=_silent)
    assert manifest["check"]["masks"] > 0


@pytest.mark.parametrize(
    ("name", "grey", "expected"),
    [
        ("resnet50", [104.0, 117.0, 124.0], [20.061, 0.221, -19.68]),
        ("mobilenetv2", [0.0, 127.5, 255.0], [-1, 0, 1]),
        ("efficientnetv2b0", [0.0, 127.5, 255.0], [0, 127.5, 255]),
        ("densenet121", [123.675, 116.28, 103.53], [0, 0, 0]),
    ],
)
def test_pixels_are_scaled_as_the_library_does(name, grey, expected):
    encoder = get_encoder(name)
    found = encoder.preprocess(tf.constant([[grey]]))[0, 0]
    np.testing.assert_allclose(found, expected, atol=2e-3)
    module = {
        "resnet50": keras.applications.resnet,
        "mobilenetv2": keras.applications.mobilenet_v2,
        "efficientnetv2b0": keras.applications.efficientnet_v2,
        "densenet121": keras.applications.densenet,
    }[name]
    theirs = module.preprocess_input(np.array([[grey]]))[0, 0]
    np.testing.assert_allclose(found, theirs, atol=2e-3)


@pytest.mark.parametrize(
    ("name", "channels"),
    [
        ("mobilenetv3_small", [72, 24, 48]),
        ("efficientnetv2b0", [32, 48, 112]),
        ("convnext_tiny", [96, 192, 384]),
        ("resnet50", [256, 512, 1024]),
    ],
)
def test_levels_end_blocks(name, channels):
    """The map is what a block ends with, not what the next one begins."""
    encoder = get_encoder(name)
    assert [x.channels for x in encoder.levels] == channels
    assert [x.stride for x in encoder.levels] == [4, 8, 16]
    features, *maps = encoder.build(SIZE)(np.zeros((1, SIZE, SIZE, 3), "f"))
    assert features.shape == (1, 2, 2, encoder.channels)
    assert [m.shape[1] for m in maps] == [16, 8, 4]


@pytest.mark.parametrize("name", ["convnext_tiny", "efficientnetv2b0"])
def test_names_of_variables_do_not_depend_on_the_process(name):
    """Keras counts what has no name over all models that a process builds."""
    names = [
        list(named_variables(frozen(get_encoder(name)), ["encoder"]))
        for _ in range(2)
    ]
    assert names[0] == names[1]
    # Dropout never acts in an encoder, so its state is nothing to keep.
    assert not any("seed" in variable for variable in names[0])


def frozen(encoder):
    return SimpleNamespace(
        encoder=encoder.build(SIZE), frozen_parts=("encoder",)
    )


def test_downloaded_weights_go_to_their_layers(monkeypatch):
    make, published = keras.applications.MobileNetV3Small, []

    def download(weights=None, **options):
        model = make(weights=None, **options)
        if weights == "imagenet":
            published.append(model)
        return model

    monkeypatch.setattr(keras.applications, "MobileNetV3Small", download)
    encoder = get_encoder("mobilenetv3_small")
    model = encoder.build(SIZE)
    encoder.load_weights(model)
    expected = {w.path: w.numpy() for w in published[0].weights}
    found = {w.path: w.numpy() for w in model.weights}
    assert len(expected) > 100
    for path, value in expected.items():
        np.testing.assert_array_equal(found[path], value)


def test_two_encoders_see_the_same_picture():
    """The second is given what it would be given of a smaller picture."""
    both = get_encoder("efficientnet_lite0+vgg_small")
    small = get_encoder("vgg_small")
    model = both.build(SIZE)
    outlines = model.get_layer("vgg_small_pools")
    picture = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3))
    halved = picture.reshape(SIZE // 2, 2, SIZE // 2, 2, 3).mean((1, 3))
    _, *levels = model(both.preprocess(tf.constant(picture))[None])
    expected = outlines(small.preprocess(tf.constant(halved))[None])
    for found, maps in zip(levels, expected, strict=True):
        # Rounding may decide between equal values.
        assert np.mean(np.asarray(found) == np.asarray(maps)) > 0.999
    assert [x.stride for x in both.levels] == [4, 8, 16, 32]


def test_a_second_encoder_without_switches_is_refused():
    with pytest.raises(ConfigError, match="resnet50 has none; take vgg16"):
        get_encoder("efficientnet_lite0+resnet50")


def test_names_of_nothing_are_refused():
    with pytest.raises(ConfigError, match="Unknown encoder 'resnet51'"):
        get_encoder("resnet51")
    both = get_encoder("efficientnet_lite0+vgg_small")
    model = both.build(SIZE)
    with pytest.raises(ConfigError, match="takes two files"):
        both.load_weights(model, "one.npz")


def test_a_pyramid_of_maps(tmp_path):
    hub = pytest.importorskip(
        "keras_hub", reason="keras-hub is not installed (extra 'hub')"
    )
    backbone = hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[7],
        stackwise_num_filters=[64, 32, 16, 8],
        stackwise_num_blocks=[1, 1, 1, 1],
        stackwise_num_strides=[1, 2, 2, 2],
        block_type="basic_block",
    )
    backbone.save_to_preset(str(tmp_path))
    encoder = get_encoder(f"hub:{tmp_path}")
    assert (encoder.stride, encoder.channels) == (32, 8)
    assert [(x.stride, x.channels) for x in encoder.levels] == [
        (4, 64),
        (8, 32),
        (16, 16),
    ]
    image = np.random.default_rng(0).uniform(-1, 1, (1, SIZE, SIZE, 3))
    features, *maps = encoder.build(SIZE)(image.astype("f"))
    assert features.shape == (1, 2, 2, 8)
    assert [m.shape[1] for m in maps] == [16, 8, 4]


def test_a_preset_tells_its_pixels_and_its_patches(tmp_path):
    name, _ = _vit(tmp_path / "preset")
    encoder = get_encoder(name)
    assert encoder.pixels == PixelScale((127.5,) * 3, (127.5,) * 3)
    assert (encoder.stride, encoder.channels) == (16, 16)
    model = encoder.build(SIZE)
    image = np.random.default_rng(0).uniform(-1, 1, (1, SIZE, SIZE, 3))
    features, quarter, half = model(image.astype("f"))
    assert features.shape == (1, 4, 4, 16)
    # Pixels of a cell, as its channels.
    cell = image[0, 8:16, 16:24].reshape(-1)
    np.testing.assert_allclose(half[0, 1, 2], cell, atol=1e-6)
    assert quarter.shape == (1, 16, 16, 48)
    with pytest.raises(ConfigError, match="has the weights of its preset"):
        encoder.load_weights(model, "other.h5")
