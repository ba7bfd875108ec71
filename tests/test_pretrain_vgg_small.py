"""The learning of vgg_small's weights, and the weights in the package."""

import dataclasses

import keras
import numpy as np
import pytest

from benchmarks.glyphs import glyphs
from benchmarks.pretrain_vgg_small import (
    STAGES,
    augment,
    build_classifier,
    draw_pictures,
    encoder_weights,
    learn,
    main,
)
from keras_wsss.categories import SHAPES_TARGET
from keras_wsss.data.views import CAFFE
from keras_wsss.encoders import get_encoder
from keras_wsss.errors import ConfigError
from keras_wsss.shapes.outlines import OUTLINES


@pytest.fixture(scope="module")
def outlines():
    return glyphs(1, 6, [OUTLINES[name] for name in SHAPES_TARGET], 0.75)


@pytest.fixture(scope="module")
def drawn(outlines):
    return draw_pictures(STAGES[2], 24, 1, outlines)


def test_pictures_and_tags(drawn, outlines):
    pictures, tags = drawn
    assert pictures.shape == (24, 96, 96, 3)
    assert pictures.dtype == np.uint8
    np.testing.assert_allclose(tags.sum(axis=1), 1, rtol=1e-6)
    numbers = (tags > 0).sum(axis=1)
    assert numbers.min() == 1
    assert numbers.max() > 1
    again = draw_pictures(STAGES[2], 2, 1, outlines)
    np.testing.assert_array_equal(again[0], pictures[:2])


@pytest.mark.parametrize("stage", STAGES[:2])
def test_first_stages_show_one_silhouette(stage, outlines):
    pictures, tags = draw_pictures(stage, 12, 1, outlines)
    assert pictures.shape == (12, 64, 64, 3)
    assert set(np.unique(tags)) == {0, 1}


def test_augmentation_keeps_size_and_removes_the_mean(drawn):
    pictures = np.full((4, 96, 96, 3), 128, np.uint8)
    batch = augment(pictures, np.random.default_rng(0))
    assert batch.shape == pictures.shape
    assert batch.dtype == np.float32
    assert 128 * 0.79 < (batch[0, 0, 0] + CAFFE.mean).mean() < 128 * 1.11
    batch = augment(drawn[0], np.random.default_rng(0))
    assert not np.array_equal(
        batch, augment(drawn[0], np.random.default_rng(1))
    )


def test_learning_lowers_the_loss(drawn, capsys):
    keras.utils.set_random_seed(3)
    model = build_classifier(6)
    stage = dataclasses.replace(STAGES[2], batch=8)
    pictures, tags = (array[:8] for array in drawn)
    entropy = keras.losses.CategoricalCrossentropy(from_logits=True)
    images = pictures.astype(np.float32) - np.array(CAFFE.mean, np.float32)
    before = float(entropy(tags, model(images, training=True)))
    learn(model, stage, pictures, tags, steps=12, seed=3)
    assert float(entropy(tags, model(images, training=True))) < before
    assert "step 12/12  loss" in capsys.readouterr().out


def test_folded_weights_compute_what_the_classifier_does(drawn):
    keras.utils.set_random_seed(4)
    model = build_classifier(6)
    generator = np.random.default_rng(4)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            gamma, beta, mean, variance = layer.get_weights()
            layer.set_weights(
                [
                    generator.uniform(0.5, 2, gamma.shape),
                    generator.normal(0, 0.3, beta.shape),
                    generator.normal(0, 0.3, mean.shape),
                    generator.uniform(0.5, 2, variance.shape),
                ]
            )
    encoder = get_encoder("vgg_small").build(96)
    for name, arrays in encoder_weights(model, drawn[0]).items():
        assert all(array.dtype == np.float16 for array in arrays)
        encoder.get_layer(name).set_weights(arrays)
    images = drawn[0].astype(np.float32) - np.array(CAFFE.mean, np.float32)
    last_relu = keras.Model(
        model.inputs, model.get_layer("block5_conv2_relu").output
    )
    expected = keras.ops.convert_to_numpy(last_relu([images]))
    expected = expected / np.percentile(expected, 99)
    features = keras.ops.convert_to_numpy(encoder(images)[0])
    np.testing.assert_allclose(features, expected, atol=0.02)
    assert np.percentile(features, 99) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(
    "arguments",
    [["--out", "x.h5"], ["--out", "x.weights.h5", "--steps", "0"]],
)
def test_command_refuses_flags_that_cannot_be_used(arguments):
    with pytest.raises(ConfigError, match=r"--out|--steps"):
        main(arguments)
