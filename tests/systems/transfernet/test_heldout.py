"""Scores on held-out pictures against NumPy."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny import SIZE, encoder_weights, tiny_config

from keras_wsss.config import split_of
from keras_wsss.data import preprocess
from keras_wsss.data.images import read_image
from keras_wsss.data.pictures import PictureStore
from keras_wsss.encoders.layer_weights import assign_by_name
from keras_wsss.systems.network import build_network
from keras_wsss.systems.transfernet.heldout import HeldOut
from keras_wsss.training.feature_cache import FeatureCache
from keras_wsss.training.inputs import read_training_data

STRIDE = 4

pytestmark = pytest.mark.usefixtures("eager")


@pytest.fixture(scope="module")
def net_and_data(shapes_dir):
    config = tiny_config(shapes_dir)
    keras.utils.set_random_seed(3)
    net = build_network(config, split_of(config))
    assign_by_name(net.encoder, encoder_weights(), "here")
    return net, read_training_data(config, with_target=False)


def cells(values):
    """Means of STRIDE x STRIDE pixels."""
    side = SIZE // STRIDE
    return values.reshape(side, STRIDE, side, STRIDE).mean((1, 3))


def scores_by_hand(net, records):
    common, union, inside = {}, {}, []
    for record in records:
        square = preprocess.square_image(read_image(record.image_path), SIZE)
        image = preprocess.to_encoder_input(square)[None]
        truth = preprocess.square_mask(record.mask.read(), SIZE)
        counted = cells((truth != 255).astype(float))
        for label in record.labels:
            outputs = net([image, tf.constant([[label]])])
            logits = outputs["mask_logits"][0, 0].numpy()
            found = logits[..., 1] > logits[..., 0]
            share = cells((truth == label).astype(float))
            wanted = share > 0.5 * counted
            weight = counted * (wanted & found)
            common[label] = common.get(label, 0) + weight.sum()
            weight = counted * (wanted | found)
            union[label] = union.get(label, 0) + weight.sum()
            object_ = (truth == label).reshape(4, 16, 4, 16).mean((1, 3))
            valid = (truth != 255).reshape(4, 16, 4, 16).mean((1, 3))
            object_ = np.divide(
                object_, valid, out=np.zeros_like(object_), where=valid > 0
            )
            inside.append((outputs["attention"][0, 0] * object_).numpy().sum())
    ious = [common[label] / union[label] for label in union if union[label]]
    return np.mean(ious), np.mean(inside)


def test_scores_equal_those_by_hand(net_and_data):
    net, data = net_and_data
    assert len(data.heldout) > 2
    scores = HeldOut(net, data.split, data.heldout, PictureStore()).scores()
    mask_iou, on_object = scores_by_hand(net, data.heldout)
    # Features are kept in half precision.
    assert scores["mask_iou"] == pytest.approx(mask_iou, abs=5e-3)
    assert scores["attention_on_object"] == pytest.approx(on_object, abs=2e-3)
    assert scores["attention_on_padding"] == 0  # the pictures are square


def test_the_cache_changes_nothing_but_the_time(net_and_data, tmp_path):
    net, data = net_and_data
    assert len(net.used_levels) > 1  # their order matters
    cache = FeatureCache(
        tmp_path / "cache", net.encoder, net.views, levels=net.used_levels
    )
    cached = HeldOut(
        net, data.split, data.heldout, PictureStore(), cache=cache
    ).scores()
    assert cache.results()["rebuilt"] == len(data.heldout)
    plain = HeldOut(net, data.split, data.heldout, PictureStore()).scores()
    assert cached == pytest.approx(plain, abs=1e-3)


def test_nothing_to_score(net_and_data):
    net, data = net_and_data
    assert HeldOut(net, data.split, [], PictureStore()).scores() == {}
    unlabelled = dataclasses.replace(data.heldout[0], labels=())
    scores = HeldOut(net, data.split, [unlabelled], PictureStore()).scores()
    assert scores == {}


def test_held_out_pictures_are_the_same_in_every_run(net_and_data, shapes_dir):
    """A choice by name: no training picture of one phase scores another."""
    _, data = net_and_data
    config = tiny_config(shapes_dir)
    config = config.replace({"train.seed": 9})
    again = read_training_data(config, with_target=True)

    def names(records):
        return [record.image_id for record in records]

    assert names(again.heldout) == names(data.heldout)
    assert not set(names(again.source)) & set(names(again.heldout))
    assert all(record.mask is None for record in again.target)
