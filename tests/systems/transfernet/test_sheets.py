"""The pictures that TensorBoard shows: which, and what is drawn of them."""

import dataclasses
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny import SIZE, encoder_weights, tiny_config

from keras_wsss.config import Config, split_of
from keras_wsss.data import preprocess
from keras_wsss.data.images import read_image
from keras_wsss.data.pictures import PictureStore
from keras_wsss.data.records import Record
from keras_wsss.encoders.layer_weights import assign_by_name
from keras_wsss.systems.network import build_network
from keras_wsss.systems.sheets import masked_pairs, tagged_pairs
from keras_wsss.systems.transfernet.sheets import TransferSheets
from keras_wsss.training.inputs import read_training_data

INFERENCE = Config.published().inference


def tagged(name, *labels):
    return Record(name, Path(name), "target", labels)


def test_tags_choose_the_plainest_picture_of_each_category():
    records = [
        tagged("a", 1, 2),
        tagged("b", 2),
        tagged("c", 2),
        tagged("d", 5),
    ]
    chosen = tagged_pairs(records, (2, 9, 1, 5), 3)
    assert [(r.image_id, label) for r, label in chosen] == [
        ("b", 2),
        ("a", 1),
        ("d", 5),
    ]
    assert len(tagged_pairs(records, (2, 9, 1, 5), 1)) == 1
    assert tagged_pairs(records, (2,), 0) == []


@pytest.fixture(scope="module")
def inference(shapes_dir):
    return tiny_config(shapes_dir).inference


@pytest.fixture(scope="module")
def data(shapes_dir):
    return read_training_data(tiny_config(shapes_dir), with_target=True)


def test_masks_choose_the_largest_object_of_spread_categories(data):
    chosen = masked_pairs(data.heldout, PictureStore(), SIZE, 3)
    labels = [label for _, label in chosen]
    having = sorted({i for record in data.heldout for i in record.labels})
    assert labels == sorted(set(labels))
    assert [labels[0], labels[-1]] == [having[0], having[-1]]
    for record, label in chosen:
        areas = {
            other.image_id: (other.mask.read() == label).sum()
            for other in data.heldout
        }
        assert areas[record.image_id] == max(areas.values())


def test_no_examples_are_asked_for(data):
    class Unread:
        def image(self, *_):
            raise AssertionError("no picture is needed")

    assert masked_pairs(data.heldout, Unread(), SIZE, 0) == []


@pytest.fixture(scope="module")
def net(shapes_dir):
    config = tiny_config(shapes_dir)
    keras.utils.set_random_seed(3)
    net = build_network(config, split_of(config))
    assign_by_name(net.encoder, encoder_weights(), "here")
    return net


@pytest.mark.usefixtures("eager")
def test_rows_show_what_the_network_says(net, data, inference):
    pictures = PictureStore()
    pairs = {
        "source": masked_pairs(data.heldout, pictures, SIZE, 5),
        "target": tagged_pairs(data.target, data.split.scored_ids, 2),
    }
    examples = TransferSheets(net, data.split, pairs, pictures, INFERENCE)
    sheets = examples()
    assert {name: len(rows) for name, rows in sheets.items()} == {
        "source": len(pairs["source"]),
        "target": 2,
    }
    for domain, rows in sheets.items():
        for row, (record, label) in zip(rows, pairs[domain], strict=True):
            square = preprocess.square_image(
                read_image(record.image_path), SIZE
            )
            assert np.array_equal(row.image, square)
            assert row.names == ((data.split.name_of(label), label),)
            outputs = net(
                [
                    preprocess.to_encoder_input(square)[None],
                    tf.constant([[label]]),
                ]
            )
            panels = {panel.heading: panel for panel in row.panels}
            # Features are kept in half precision.
            for heading, key in (
                ("attention", "attention"),
                ("densified", "densified_attention"),
            ):
                assert panels[heading].ids == (label,)
                assert panels[heading].maps == pytest.approx(
                    outputs[key][0].numpy(), rel=0.02, abs=1e-3
                )
            background, foreground = np.moveaxis(
                outputs["mask_logits"][0, 0].numpy(), -1, 0
            )
            surplus = (
                foreground - background - np.log(INFERENCE.background_factor)
            )
            sure = np.abs(surplus) > 1e-2
            expected = np.where(surplus > 0, label, 0)
            assert np.array_equal(panels["mask"].mask[sure], expected[sure])
            if domain == "target":
                assert "truth" not in panels
            else:
                truth = preprocess.square_mask(record.mask.read(), SIZE)
                shown = panels["truth"].mask
                assert np.array_equal(shown == label, truth == label)
                assert set(np.unique(shown)) <= {0, label, 255}


@pytest.mark.usefixtures("eager")
def test_pictures_stay_the_same_while_the_network_learns(net, data, inference):
    pairs = {"target": tagged_pairs(data.target, data.split.scored_ids, 2)}
    examples = TransferSheets(net, data.split, pairs, PictureStore(), INFERENCE)
    before = examples()["target"]
    embedding = net.attention.get_layer("att").att_w
    kernel = embedding.kernel.numpy()
    embedding.kernel.assign(kernel * -30)
    after = examples()["target"]
    embedding.kernel.assign(kernel)
    for old, new in zip(before, after, strict=True):
        assert np.array_equal(old.image, new.image)
        assert not np.allclose(old.panels[1].maps, new.panels[1].maps)


@pytest.mark.usefixtures("eager")
def test_no_pictures_give_no_sheets(net, data, inference):
    nothing = TransferSheets(
        net,
        data.split,
        {"source": []},
        PictureStore(),
        INFERENCE.background_factor,
    )
    assert nothing() == {}


def test_target_records_of_training_have_no_mask_to_show(data):
    """The truth column cannot appear by mistake."""
    chosen = tagged_pairs(data.target, data.split.target_ids, 6)
    assert chosen
    assert all(record.mask is None for record, _ in chosen)
    with pytest.raises(dataclasses.FrozenInstanceError):
        chosen[0][0].mask = "x"
