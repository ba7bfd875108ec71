"""A run's config to its network, and weights by name."""

import inspect

import numpy as np
import pytest
from tiny import tiny_config

from keras_wsss.config import Config, split_of
from keras_wsss.errors import ConfigError, DataError
from keras_wsss.systems.network import (
    assign_arrays,
    build_network,
    named_variables,
    read_arrays,
)
from keras_wsss.systems.prior.network import Prior
from keras_wsss.systems.transfernet.network import TransferNet

PARTS = ("encoder", *TransferNet.trained_parts)


def network(**changes):
    config = tiny_config("data")
    for key, value in changes.items():
        config = config.replace({f"model.{key}": value})
    return build_network(config, split_of(config))


@pytest.fixture(scope="module")
def net():
    return network()


def test_names_are_the_same_in_every_network(net):
    """Not numbered by what was built before in the process."""
    assert named_variables(network(), PARTS).keys() == (
        named_variables(net, PARTS).keys()
    )


def test_every_variable_has_one_name(net):
    names = named_variables(net, PARTS)
    assert len({id(variable) for variable in names.values()}) == len(names)
    assert {id(v) for v in names.values()} == {id(v) for v in net.variables}


def test_shared_variables_stand_once():
    net = network(judge="tagger")
    names = named_variables(net, TransferNet.trained_parts)
    assert len({id(variable) for variable in names.values()}) == len(names)
    assert "attention/tagger_logits/kernel" in names
    assert "tagger/tagger_logits/kernel" not in names


def test_arrays_make_another_network_equal(net):
    other = network()
    image = np.random.default_rng(0).normal(0, 50, (1, 64, 64, 3))
    labels = np.array([[2]], np.int32)
    before = other([image, labels])["mask_logits"].numpy()
    arrays = read_arrays(named_variables(net, PARTS))
    assign_arrays(named_variables(other, PARTS), arrays, "here")
    expected = net([image, labels])["mask_logits"].numpy()
    assert np.abs(before - expected).max() > 0
    np.testing.assert_array_equal(
        other([image, labels])["mask_logits"], expected
    )


def test_missing_and_misshapen_arrays_are_named(net):
    variables = named_variables(net, ["tagger"])
    arrays = read_arrays(variables)
    name = "tagger/tagger_logits/kernel"
    with pytest.raises(DataError, match=f"run: '{name}' has shape"):
        assign_arrays(variables, {**arrays, name: arrays[name].T}, "run")
    del arrays[name]
    with pytest.raises(DataError, match=f"run: holds no '{name}'"):
        assign_arrays(variables, arrays, "run")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"judge": "jury"}, "config.model: judge must be"),
        ({"output_stride": 3}, "config.model: output_stride must be"),
        ({"normalization": "mean"}, "config.model: unknown normalization"),
        ({"initializer": "ones"}, "config.model: initializer must be"),
        ({"attention": "sparse"}, "config.model: form must be"),
        ({"encoder": "resnet"}, "Unknown encoder 'resnet'"),
    ],
)
def test_impossible_fields_are_config_errors(changes, text):
    with pytest.raises(ConfigError, match=text):
        network(**changes)


@pytest.mark.parametrize(
    ("kind", "group", "shared"),
    [
        (TransferNet, Config.published().model, 18),
        (Prior, Config.published("prior").prior, 3),
    ],
)
def test_arguments_are_fields_with_their_published_values(kind, group, shared):
    given = inspect.signature(kind).parameters
    names = [name for name in given if hasattr(group, name)]
    assert len(names) == shared
    assert {n: given[n].default for n in names} == {n: group[n] for n in names}
