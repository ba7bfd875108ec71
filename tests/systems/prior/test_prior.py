"""The prior network: sizes, shared layers, published counts."""

import numpy as np
import pytest
import tensorflow as tf

from keras_wsss.errors import ConfigError
from keras_wsss.systems.network import named_variables
from keras_wsss.systems.prior.network import (
    Prior,
)


@pytest.fixture(scope="module")
def full():
    return Prior(20)


@pytest.fixture(scope="module")
def narrow():
    return Prior(3, "vgg_small")


def count(layers):
    return sum(layer.count_params() for layer in layers)


def named(model, *parts):
    return [
        layer for layer in model.layers if any(p in layer.name for p in parts)
    ]


def test_parameters_of_the_release(full):
    trunk = [
        layer
        for layer in full.segmenter.layers
        if layer.name.startswith("block")
    ]
    assert count(trunk) == 7_635_264
    segmenter = full.segmenter
    assert count(named(segmenter, "segment_block5")) == 7_079_424
    assert count(named(segmenter, "segment_fc6")) == 4_719_616
    assert count(named(segmenter, "segment_fc7")) == 1_049_600
    assert count(named(segmenter, "segment_scores")) == 21_525
    classify = named(full.classifier, "classify_", "class_conv", "class_head")
    assert count(classify) == 17_588_756
    both = {
        id(variable): int(np.prod(variable.shape))
        for model in (full.segmenter, full.classifier)
        for variable in model.trainable_variables
    }
    assert sum(both.values()) == 38_094_185


def test_grids_of_the_release(full):
    for size, grid in ((321, 41), (513, 65)):
        outputs = full.segmenter.compute_output_shape((None, size, size, 3))
        assert outputs["logits"] == (None, grid, grid, 21)
        assert outputs["conv4"][1:] == outputs["conv5"][1:] == (grid, grid, 512)
    outputs = full.classifier.compute_output_shape((None, 224, 224, 3))
    assert outputs["tag_logits"] == (None, 20)
    assert outputs["class_maps"] == (None, 14, 14, 20)
    assert outputs["conv4"] == (None, 28, 28, 512)
    assert outputs["conv5"] == (None, 14, 14, 512)
    assert outputs["fc7"] == (None, 14, 14, 1024)


def test_dilations_and_strides(full):
    get = full.segmenter.get_layer
    assert get("segment_block5_conv2").dilation_rate == (2, 2)
    assert get("segment_fc6").dilation_rate == (12, 12)
    strides = [get(f"segment_pool{n}").strides[0] for n in range(1, 6)]
    assert strides == [2, 2, 2, 1, 1]
    assert full.classifier.get_layer("classify_fc6").dilation_rate == (1, 1)


def test_streams_share_the_trunk_and_nothing_else(narrow):
    first = {id(v) for v in narrow.segmenter.trainable_variables}
    second = {id(v) for v in narrow.classifier.trainable_variables}
    trunk = {
        id(v)
        for layer in narrow.segmenter.layers
        if layer.name.startswith("block")
        for v in layer.variables
    }
    assert first & second == trunk


def test_variables_have_names_that_do_not_depend_on_the_process(narrow):
    again = Prior(3, "vgg_small")
    parts = ("segmenter", "classifier")
    assert list(named_variables(narrow, parts)) == list(
        named_variables(again, parts)
    )


def test_outputs_are_finite_and_logits_float32(narrow):
    rng = np.random.default_rng(0)
    image = rng.normal(0, 60, (2, 65, 65, 3)).astype(np.float32)
    outputs = narrow.segmenter(image, training=True)
    assert outputs["logits"].shape == (2, 9, 9, 4)
    assert np.isfinite(outputs["logits"]).all()
    outputs = narrow.classifier(image[:, :64, :64], training=True)
    assert outputs["class_maps"].shape == (2, 4, 4, 3)
    assert outputs["tag_logits"].dtype == tf.float32


def test_frozen_blocks_are_left_out_of_training():
    net = Prior(3, "vgg_small", frozen_blocks=2)
    paths = [v.path for v in net.segmenter.trainable_variables]
    assert not any(p.startswith(("block1", "block2")) for p in paths)
    assert any(p.startswith("block3") for p in paths)


def test_impossible_numbers_are_refused():
    with pytest.raises(ValueError, match="frozen_blocks"):
        Prior(3, "vgg_small", frozen_blocks=5)
    with pytest.raises(ValueError, match="dropout"):
        Prior(3, "vgg_small", dropout=1.0)
    with pytest.raises(ConfigError, match="Unknown encoder"):
        Prior(3, "vgg99")
