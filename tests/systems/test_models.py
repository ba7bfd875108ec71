"""Networks are Keras models: config, weights, names that never change."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
from tiny import tiny_config
from tiny_prior import tiny_prior_config

from keras_wsss.config import split_of
from keras_wsss.config_files import load_config
from keras_wsss.systems.network import build_network, named_variables
from keras_wsss.systems.prior.network import Prior
from keras_wsss.systems.transfernet.network import TransferNet

# Written before networks were models: folders of runs of that time load.
NAMES = json.loads(Path(__file__).with_name("variable_names.json").read_text())


def shapes_config(data):
    return load_config("shapes")


def dense_config(data):
    changes = {"model.attention": "dense", "train.absent_per_image": 1}
    return tiny_config(data).replace(changes)


CONFIGS = {
    "tiny": tiny_config,
    "dense": dense_config,
    "shapes": shapes_config,
    "tiny_prior": tiny_prior_config,
}
SMALL = {
    "transfernet": lambda: TransferNet(
        5,
        "vgg_small",
        image_size=64,
        attention="conv",
        attention_units=8,
        classifier_units=8,
        tagger_units=8,
        decoder_width=0.1,
        output_stride=4,
        guide_maps=True,
    ),
    "prior": lambda: Prior(3, "vgg_small", dropout=0.25, frozen_blocks=2),
}


def inputs(net):
    rng = np.random.default_rng(0)
    if isinstance(net, Prior):
        return {
            "image": rng.normal(0, 60, (1, 65, 65, 3)).astype(np.float32),
            "small": rng.normal(0, 60, (1, 64, 64, 3)).astype(np.float32),
        }
    image = rng.normal(0, 60, (1, 64, 64, 3)).astype(np.float32)
    return [image, np.array([[2, 4]], np.int32)]


@pytest.mark.parametrize("name", CONFIGS)
def test_checkpoints_know_variables_by_the_names_they_always_had(name):
    config = CONFIGS[name]("data")
    net = build_network(config, split_of(config))
    parts = (*net.frozen_parts, *net.trained_parts)
    found = {k: list(v.shape) for k, v in named_variables(net, parts).items()}
    assert found == NAMES[name]


@pytest.mark.parametrize("name", SMALL)
def test_config_and_weights_make_an_equal_network(name, tmp_path):
    net = SMALL[name]()
    config = json.loads(json.dumps(net.get_config()))
    other = type(net).from_config(config)
    assert type(other) is type(net)
    assert other.get_config() == net.get_config()
    before = other(inputs(net))
    expected = net(inputs(net))
    path = tmp_path / "net.weights.h5"
    net.save_weights(path)
    other.load_weights(path)
    keras.tree.map_structure(
        np.testing.assert_array_equal, other(inputs(net)), expected
    )
    flat = zip(
        keras.tree.flatten(before), keras.tree.flatten(expected), strict=True
    )
    assert any(np.abs(a - b).max() > 0 for a, b in flat)


@pytest.mark.parametrize("name", SMALL)
def test_keras_finds_the_class_by_its_registered_name(name):
    net = SMALL[name]()
    values = keras.saving.serialize_keras_object(net)
    assert values["registered_name"] == f"keras_wsss>{type(net).__name__}"
    again = keras.saving.deserialize_keras_object(values)
    assert again.get_config() == net.get_config()


@pytest.mark.parametrize("name", SMALL)
def test_a_network_is_its_parts(name):
    net = SMALL[name]()
    lines = []
    net.summary(print_fn=lambda line, **_: lines.append(line))
    parts = [getattr(net, part) for part in net.trained_parts]
    if name == "transfernet":
        parts = [net.encoder, net.attention, net.mask_logits, net.tagger]
    for part in parts:
        assert part.name in "\n".join(lines)
        assert part in net.layers
    ids = [id(v) for v in net.variables]
    assert len(set(ids)) == len(ids)
    named = named_variables(net, (*net.frozen_parts, *net.trained_parts))
    assert {id(v) for v in named.values()} == set(ids)


def test_a_network_of_another_size_has_the_same_weights():
    net = SMALL["transfernet"]()
    larger = net.rebuilt(image_size=96)
    assert larger.views.image_size == 96
    parts = (*net.frozen_parts, *net.trained_parts)
    for one, two in zip(
        named_variables(net, parts).values(),
        named_variables(larger, parts).values(),
        strict=True,
    ):
        assert one is not two
        np.testing.assert_array_equal(one, two)
