"""An encoder that nobody knew: other stride, pools, channels and pixels."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf
from readers import read_voc
from tiny import SIZE, tiny_config
from tiny_prior import tiny_prior_config
from toy_encoder import ToyEncoder

from benchmarks.pretrain_vgg_small import write_layer_weights
from keras_wsss.config import split_of
from keras_wsss.encoders import encoder_names, get_encoder, register_encoder
from keras_wsss.encoders.encoder import Level
from keras_wsss.errors import ConfigError
from keras_wsss.evaluation.evaluate import evaluate
from keras_wsss.inference.predictor import Predictor
from keras_wsss.serving.build import export_model
from keras_wsss.serving.options import ServingOptions
from keras_wsss.systems.network import build_network
from keras_wsss.systems.prior.network import Prior
from keras_wsss.systems.problems import validate
from keras_wsss.systems.transfernet.network import TransferNet
from keras_wsss.systems.transfernet.problems import stride_problem
from keras_wsss.training.run import train


@pytest.fixture(scope="module")
def encoder():
    return register_encoder(ToyEncoder())


@pytest.fixture(scope="module")
def config(encoder, shapes_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    weights = {
        layer.name: layer.get_weights()
        for layer in encoder.build(SIZE).layers
        if layer.weights
    }
    write_layer_weights(folder / "toy.weights.h5", weights)
    return tiny_config(shapes_dir).replace(
        {
            "model.encoder": encoder.name,
            "model.encoder_weights": str(folder / "toy.weights.h5"),
            "cache.folder": str(folder / "cache"),
            "model.guide_maps": True,
            "model.shortcut": True,
            "model.decoder_width": 0.5,
            "phases.decoder.steps": 4,
            "phases.transfer.steps": 4,
        }
    )


@pytest.fixture(scope="module")
def own_predictor(config, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    train(config, "decoder", folder / "decoder", log=lambda line: None)
    results = train(
        config,
        "transfer",
        folder / "transfer",
        init_from=folder / "decoder",
        log=lambda line: None,
    )
    assert results["cache"]["source"]["hit_rate"] == 1  # of phase decoder
    return Predictor.from_workdir(folder / "transfer")


def test_it_is_known_by_its_name(encoder):
    assert encoder.name in encoder_names()
    assert get_encoder(encoder.name) is encoder


def test_a_network_on_it_has_its_shapes(config):
    net = build_network(config, split_of(config))
    assert net.grid == SIZE // 8
    assert net.used_levels == (3,)
    image = tf.zeros((1, SIZE, SIZE, 3))
    outputs = net([image, tf.constant([[1, 2]])])
    assert outputs["attention"].shape == (1, 2, 8, 8)
    assert outputs["mask_logits"].shape == (1, 2, 16, 16, 2)


def test_pictures_become_what_it_takes(own_predictor):
    """The steps, which the export runs too, use its scale of pixels."""
    net = own_predictor.net
    image = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
    expected = net.encoder(image[None].astype(np.float32) / 127.5 - 1)[0]
    found, _ = own_predictor.steps.encode(tf.constant(image), 1.0, False)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_it_is_scored_and_served(own_predictor, config, tmp_path):
    records = read_voc(config.data.eval_root, "val", own_predictor.split)
    results = evaluate(own_predictor, records.records, log=print)
    assert results["pictures"] == len(records.records)
    options = ServingOptions(max_pixels=40_000, max_tags=3, max_batch=4)
    manifest = export_model(own_predictor, tmp_path / "1", options, log=print)
    assert manifest["check"]["masks"] > 0


def test_cache_keys_tell_pixels_apart(encoder):
    from keras_wsss.training.cache_index import CacheIndex

    settings = [
        json.loads(CacheIndex("cache", views, 0, 0, "digest")._text(()))
        for views in (
            encoder.views(SIZE),
            dataclasses.replace(encoder.views(SIZE), pixels=PLAIN),
            get_encoder("vgg_small").views(SIZE),
        )
    ]
    assert len({str(s) for s in settings}) == 3
    # As entries of earlier versions were called.
    assert settings[2] == {
        "encoder": "digest",
        "preprocessing": 1,
        "mean": [104.008, 116.669, 122.675],
        "image_size": SIZE,
        "switches": [],
    }


PLAIN = dataclasses.replace(ToyEncoder.pixels, deviation=(1.0, 1.0, 1.0))


def variant(**changes):
    made = type("Variant", (ToyEncoder,), {"name": "variant", **changes})()
    return register_encoder(made).name


def test_a_decoder_says_when_it_misses_switches():
    with pytest.raises(ValueError, match="'variant' gives none"):
        TransferNet(3, variant(levels=()), image_size=SIZE)
    with pytest.raises(ValueError, match="the pools of the encoder 'variant'"):
        TransferNet(3, variant(levels=ToyEncoder.levels[:2]), image_size=SIZE)


def test_an_output_stride_must_divide_what_the_decoder_reaches():
    """Patches of 14 pixels: halved once, then no whole step to 2 or 4."""
    levels = (Level(8, 7, switches=False),)
    name = variant(stride=14, levels=levels)
    assert stride_problem(14, levels, 1) == ""
    for stride in (2, 4):
        with pytest.raises(ValueError, match="ends at stride 7"):
            TransferNet(3, name, image_size=56, output_stride=stride)


def test_the_prior_system_needs_blocks(encoder):
    with pytest.raises(ValueError, match="needs an encoder with 5 blocks"):
        Prior(3, encoder.name)


def test_both_are_said_before_anything_is_read(encoder, tmp_path):
    config = tiny_config(tmp_path / "nowhere")
    config = config.replace({"model.encoder": variant(levels=())})
    with pytest.raises(ConfigError, match="'variant' gives none"):
        validate(config, "decoder")
    config = tiny_prior_config(tmp_path / "nowhere")
    config = config.replace({"model.encoder": encoder.name})
    with pytest.raises(ConfigError, match="needs an encoder with 5 blocks"):
        validate(config, "joint")


def test_sizes_that_its_stride_does_not_divide_are_refused(encoder):
    with pytest.raises(ConfigError, match="multiple of 8"):
        encoder.build(60)
