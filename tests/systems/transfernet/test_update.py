"""One update: what changes, what does not, and why."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny import encoder_weights, random_part, tiny_config

from keras_wsss.config import split_of
from keras_wsss.encoders.layer_weights import assign_by_name
from keras_wsss.systems.network import (
    build_network,
    named_variables,
    read_arrays,
)
from keras_wsss.systems.transfernet.network import TransferNet
from keras_wsss.systems.transfernet.update import (
    Update,
    make_optimizer,
)

PARTS = ("encoder", *TransferNet.trained_parts)


def make_config(**model):
    config = tiny_config("data")
    for key, value in model.items():
        config = config.replace({f"model.{key}": value})
    return config


def make_update(
    config, mask_weight=1.0, tag_weight=1.0, strategy=None, overlap_weight=0.0
):
    """A network of fixed weights, and its update."""
    split = split_of(config)
    strategy = strategy or tf.distribute.get_strategy()
    keras.utils.set_random_seed(1)
    with strategy.scope():
        net = build_network(config, split)
        assign_by_name(net.encoder, encoder_weights(), "here")
        optimizer = make_optimizer(config)
        optimizer.build(
            [
                variable
                for variable in named_variables(
                    net, TransferNet.trained_parts
                ).values()
                if variable.trainable
            ]
        )
    train = config.train.replace(
        {
            "mask_weight": mask_weight,
            "tag_weight": tag_weight,
            "overlap_weight": overlap_weight,
        }
    )
    return net, Update(net, optimizer, train, strategy)


def make_batch(config, target=True, seed=0, rows=2, labels=1):
    split = split_of(config)
    parts = {"source": random_part(seed, split, "source", rows, labels)}
    if target:
        parts["target"] = random_part(seed + 1, split, "target", rows, labels)
    return parts


def changed_parts(before, after):
    """Names up to the layer of all variables that changed."""
    return {
        name.rsplit("/", 1)[0]
        for name in before
        if not np.array_equal(before[name], after[name])
    }


def weights_of(net):
    return read_arrays(named_variables(net, PARTS))


@pytest.fixture(scope="module")
def after_one_update():
    config = make_config()
    net, update = make_update(config)
    before = weights_of(net)
    values = update(make_batch(config), 1e-3)
    return before, weights_of(net), values


def test_everything_but_the_encoder_learns(after_one_update):
    before, after, _ = after_one_update
    layers = {name.rsplit("/", 1)[0] for name in before}
    expected = {name for name in layers if not name.startswith("encoder/")}
    assert changed_parts(before, after) == expected
    assert len(expected) < len(layers)


def test_losses_at_the_beginning(after_one_update):
    values = {k: float(v) for k, v in after_one_update[2].items()}
    assert set(values) == {
        "class_loss", "mask_loss", "tag_loss", "mask_accuracy",
        "source_accuracy", "target_accuracy", "source_class_loss",
        "target_class_loss",
    }  # fmt: skip
    categories = split_of(make_config()).num_categories
    assert values["class_loss"] == pytest.approx(np.log(categories), abs=0.5)
    parts = values["source_class_loss"], values["target_class_loss"]
    assert min(parts) <= values["class_loss"] <= max(parts)
    assert parts[0] != parts[1]
    assert 0 <= values["mask_accuracy"] <= 1


@pytest.mark.usefixtures("eager")
def test_without_masks_the_decoder_rests():
    config = make_config()
    net, update = make_update(config, mask_weight=0.0)
    before = weights_of(net)
    values = update(make_batch(config), 1e-3)
    assert "mask_loss" not in values
    changed = changed_parts(before, weights_of(net))
    assert {name.split("/")[0] for name in changed} == {"attention", "tagger"}


@pytest.mark.usefixtures("eager")
def test_all_ignored_gives_no_mask_loss_and_no_step():
    config = make_config()
    net, update = make_update(config)
    batch = make_batch(config, target=False)
    batch["source"]["mask"] = tf.fill(
        batch["source"]["mask"].shape, tf.uint8.max
    )
    before = weights_of(net)
    values = update(batch, 1e-3)
    assert float(values["mask_loss"]) == 0
    assert float(values["mask_accuracy"]) == 0
    after = weights_of(net)
    assert all(np.isfinite(array).all() for array in after.values())
    changed = {name.split("/")[0] for name in changed_parts(before, after)}
    assert changed == {"attention", "tagger"}


@pytest.mark.usefixtures("eager")
def test_padding_pairs_change_nothing():
    """Weight 0: whatever stands in the padded column."""
    config = make_config()
    config = config.replace({"train.labels_per_image": 2})
    results = []
    for filler in (0, 9):
        net, update = make_update(config)
        batch = make_batch(config, target=False, labels=2)
        part = batch["source"]
        keep = tf.constant([[1, 0], [1, 1]])
        part["labels"] = part["labels"] * keep + filler * (1 - keep)
        part["weights"] = tf.cast(keep, tf.float32)
        part["present"] = tf.cast(keep, tf.float32)
        values = update(batch, 1e-3)
        results.append((values, weights_of(net)))
    (first, one), (second, other) = results
    for name in first:
        np.testing.assert_allclose(first[name], second[name], rtol=1e-6)
    for name in one:
        np.testing.assert_allclose(one[name], other[name], atol=1e-6)


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("judge", ["classifier", "tagger"])
def test_the_class_loss_does_not_teach_the_tagger(judge):
    """A tagger that judges would else be bribed to agree with attention."""
    config = make_config(judge=judge)
    tagger = {}
    for weight in (0.0, 1.0):
        net, update = make_update(config, tag_weight=weight)
        names = [v.path for v in net.tagger.trainable_variables]
        before = [v.numpy() for v in net.tagger.trainable_variables]
        attention = weights_of(net)["attention/att/att_w/kernel"]
        update(make_batch(config), 1e-3)
        after = [v.numpy() for v in net.tagger.trainable_variables]
        tagger[weight] = [
            np.abs(a - b).max() for a, b in zip(after, before, strict=True)
        ]
        moved = weights_of(net)["attention/att/att_w/kernel"] - attention
        assert np.abs(moved).max() > 0
    assert len(names) == 4
    assert max(tagger[0.0]) == 0
    assert min(tagger[1.0]) > 0


@pytest.mark.usefixtures("eager")
def test_tags_of_the_other_domain_are_unknown():
    """Source pictures say nothing of target categories."""
    config = make_config()
    split = split_of(config)
    net, update = make_update(config)
    before = net.tagger.get_layer("tagger_logits").get_weights()
    update(make_batch(config, target=False), 1e-3)
    after = net.tagger.get_layer("tagger_logits").get_weights()
    targets = np.array(split.target_ids) - 1
    sources = np.array(split.source_ids) - 1
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one[..., targets], other[..., targets])
        assert np.all(np.abs(one - other)[..., sources].max(0) > 0)


@pytest.mark.usefixtures("eager")
def test_absent_labels_are_answered_by_a_class_of_their_own():
    config = make_config()
    config = config.replace({"train.absent_per_image": 1})
    split = split_of(config)
    net, update = make_update(config)
    part = random_part(0, split, "source", 2, 2)
    part["present"] = tf.constant([[1.0, 0.0], [1.0, 0.0]])
    bias = net.attention.get_layer("classifier_logits").bias
    values = update({"source": part}, 1e-3)
    assert {"class_loss", "class_absent_loss"} <= set(values)
    expected = np.log(split.num_categories + 1)
    assert float(values["class_absent_loss"]) == pytest.approx(
        expected, abs=0.5
    )
    # One present and one absent query a picture: "absent" gains the most.
    assert bias.numpy().argmax() == split.num_categories


@pytest.mark.usefixtures("eager")
def test_cached_features_give_the_same_update():
    config = make_config()
    results = []
    for cached in (False, True):
        net, update = make_update(config)
        batch = make_batch(config)
        if cached:
            for name, part in batch.items():
                features, *levels = net.encoder(part.pop("image"))
                part["features"] = features
                # A cache keeps ascending pools, and none for target pictures.
                kept = net.select_levels(levels)[::-1]
                part["levels"] = tuple(kept) if name == "source" else ()
        results.append((update(batch, 1e-3), weights_of(net)))
    (first, one), (second, other) = results
    for name in first:
        np.testing.assert_allclose(first[name], second[name], rtol=1e-5)
    for name in one:
        np.testing.assert_allclose(one[name], other[name], atol=1e-5)


def test_labels_of_one_picture_come_to_look_at_different_places():
    """Also the smallest proof that the losses can be learned at all."""
    config = make_config()
    config = config.replace({"train.labels_per_image": 2})
    net, update = make_update(config)
    batch = make_batch(config, target=False, labels=2)
    part = batch["source"]

    def attention():
        features = net.encoder(part["image"])[0]
        return net.attention([features, part["labels"]])["attention"].numpy()

    before = attention()
    first = update(batch, 1e-2)
    for _ in range(60):
        last = update(batch, 1e-2)
    after = attention()

    def difference(maps):
        return np.abs(maps[:, 0] - maps[:, 1]).sum((1, 2)).min()

    assert difference(before) < 0.05
    assert difference(after) > 0.3
    assert float(last["class_loss"]) < 0.3 * float(first["class_loss"])
    assert float(last["mask_loss"]) < 0.8 * float(first["mask_loss"])
