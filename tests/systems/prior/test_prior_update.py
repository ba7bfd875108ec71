"""One update of the prior system: which loss reaches which weights."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny_prior import tiny_prior_config

from keras_wsss.config import split_of
from keras_wsss.errors import ConfigError
from keras_wsss.systems.network import (
    build_network,
    named_variables,
    read_arrays,
)
from keras_wsss.systems.prior.mask_maker import (
    MaskMaker,
    inference_crf,
    training_crf,
)
from keras_wsss.systems.prior.update import (
    PriorUpdate,
    _without_doubt,
    make_prior_optimizer,
)
from keras_wsss.training.devices import make_strategy
from keras_wsss.training.run import train

CELLS = 9


def make(segment=True, strategy=None, **prior):
    config = tiny_prior_config("data")
    config = config.replace({"prior.dropout": 0.0})
    for name, value in prior.items():
        config = config.replace({f"prior.{name}": value})
    split = split_of(config)
    strategy = strategy or tf.distribute.get_strategy()
    keras.utils.set_random_seed(1)
    with strategy.scope():
        net = build_network(config, split)
        optimizer = make_prior_optimizer(config)
        optimizer.build(
            [
                variable
                for variable in named_variables(net, net.trained_parts).values()
                if variable.trainable
            ]
        )
    update = PriorUpdate(net, split, optimizer, config, segment, strategy)
    return net, split, update


def batch(split, seed=0, rows=2):
    rng = np.random.default_rng(seed)
    tags = np.zeros((rows, split.num_categories), np.float32)
    for row in range(rows):
        chosen = rng.choice(split.target_ids, 2, replace=False)
        tags[row, chosen - 1] = 1
    valid = np.ones((rows, CELLS, CELLS), np.float32)
    valid[:, -1] = 0
    part = {
        "image": rng.normal(0, 60, (rows, 65, 65, 3)).astype(np.float32),
        "valid": valid,
        "known": np.ones_like(tags),
        "tags": tags,
        "hidden": (rng.uniform(size=(rows, 4, 4)) < 0.5).astype(np.float32),
    }
    return {"target": {k: tf.convert_to_tensor(v) for k, v in part.items()}}


def changed(net, update, data):
    named = named_variables(net, net.trained_parts)
    before = read_arrays(named)
    values = update(data, 1e-4)
    after = read_arrays(named)
    moved = {n for n in named if not np.array_equal(before[n], after[n])}
    return moved, {name: float(value) for name, value in values.items()}


def test_the_warmup_trains_the_classifying_streams_alone(eager):
    net, split, update = make(segment=False)
    moved, values = changed(net, update, batch(split))
    assert "segment_loss" not in values
    assert not any("segment_" in name for name in moved)
    for part in ("block1_conv1/", "classify_fc6/", "class_head/"):
        assert any(part in name for name in moved)


def test_the_warmup_of_the_head_leaves_the_encoder(eager):
    net, split, update = make(segment=False, warmup_head_only=True)
    moved, _ = changed(net, update, batch(split))
    assert not any("block" in name for name in moved)
    for part in ("classify_fc6/", "class_conv0/", "class_head/"):
        assert any(part in name for name in moved)


def test_the_joint_update_trains_everything(eager):
    net, split, update = make()
    moved, values = changed(net, update, batch(split))
    expected = named_variables(net, net.trained_parts)
    trained = {name for name, v in expected.items() if v.trainable}
    # Biases of the dead units of a random net may stay.
    assert {n for n in trained if n.endswith("kernel")} <= moved
    assert set(values) == {
        "class_loss",
        "hidden_class_loss",
        "segment_loss",
        "mask_foreground",
        "mask_changed_by_crf",
    }
    assert all(np.isfinite(v) for v in values.values())


def trunk_change(data_seed=0, **prior):
    net, split, update = make(**prior)
    named = named_variables(net, net.trained_parts)
    name = next(n for n in named if "block4_conv2/kernel" in n)
    before = named[name].numpy()
    update(batch(split, data_seed), 1e-3)
    return named[name].numpy() - before


def test_either_loss_alone_reaches_the_trunk_unless_separated(eager):
    alone = {"weight_decay": 0.0}
    assert np.abs(trunk_change(segment_weight=0.0, **alone)).max() > 0
    assert np.abs(trunk_change(class_weight=0.0, **alone)).max() > 0
    nothing = trunk_change(class_weight=0.0, segment_weight=0.0, **alone)
    np.testing.assert_array_equal(nothing, 0)
    separate = trunk_change(
        class_weight=0.0, segment_trains_trunk=False, **alone
    )
    np.testing.assert_array_equal(separate, 0)


def test_frozen_blocks_stay(eager):
    net, split, update = make(frozen_blocks=3)
    moved, _ = changed(net, update, batch(split))
    for block in (1, 2, 3):
        assert not any(f"block{block}_" in name for name in moved)
    assert any("block4_" in name for name in moved)


def test_oracle_tags_are_read_from_the_window(eager):
    _, split, update = make(segment=False, tags="crop_gt")
    part = batch(split)["target"]
    mask = np.zeros((2, 65, 65), np.uint8)
    columns = part["tags"].numpy()
    for row in range(2):
        for place, column in enumerate(np.flatnonzero(columns[row])):
            mask[row, place] = column + 1
    _, _, plain = make(segment=False)
    expected = plain({"target": part}, 0.0)
    same = update({"target": {**part, "mask": mask}}, 0.0)
    other = update({"target": {**part, "mask": np.zeros_like(mask)}}, 0.0)
    assert float(same["class_loss"]) == pytest.approx(
        float(expected["class_loss"])
    )
    assert float(other["class_loss"]) != pytest.approx(
        float(expected["class_loss"])
    )


def test_without_the_hidden_stream(eager):
    net, split, update = make(hidden_stream=False)
    _, values = changed(net, update, batch(split))
    assert "hidden_class_loss" not in values


def test_masks_without_dropout(eager):
    _, split, update = make(mask_forward="eval")
    assert np.isfinite(float(update(batch(split), 1e-4)["segment_loss"]))


def test_the_crf_of_the_masks_knows_the_padding(eager):
    _, split, update = make()
    crf, seen = update.maker.crf, []

    def noted(scores, colours, valid=None):
        seen.append(valid)
        return crf(scores, colours, valid)

    update.maker.crf = noted
    data = batch(split)
    update(data, 1e-4)
    assert len(seen) == 1
    np.testing.assert_array_equal(seen[0], data["target"]["valid"])
    assert 0 in seen[0].numpy()


def test_the_hidden_stream_sees_less_and_the_clean_one_everything(eager):
    net, split, _ = make()
    maker = MaskMaker(net, tiny_prior_config("data"))
    part = batch(split)["target"]
    outputs = maker.classify(part["image"], part["hidden"], training=False)
    nothing = maker.classify(
        part["image"], tf.zeros_like(part["hidden"]), training=False
    )
    for key, value in outputs["clean"].items():
        np.testing.assert_allclose(
            value, nothing["hidden"][key], rtol=1e-4, atol=1e-4
        )
    assert (
        np.abs(outputs["hidden"]["conv5"] - outputs["clean"]["conv5"]).max() > 0
    )


def test_multipliers_of_the_release():
    config = tiny_prior_config("data")
    config = config.replace({"prior.fc_multiplier": 3.0})
    optimizer = make_prior_optimizer(config)
    for path, factor in {
        "block1_conv1/kernel": 1,
        "block1_conv1/bias": 2,
        "segment_scores/kernel": 10,
        "segment_scores/bias": 20,
        "class_head/kernel": 1,
        "class_head/bias": 2,
        "classify_fc6/kernel": 3,
        "segment_fc7/bias": 6,
    }.items():
        assert optimizer.multiplier(path) == factor, path
    assert optimizer.momentum == 0.9
    assert optimizer.kernel_decay == 5e-4


def test_crf_of_training_is_the_one_of_the_test_divided_by_the_stride():
    config = tiny_prior_config("data")
    assert training_crf(config).options == inference_crf(config).options


def test_two_replicas_do_what_one_does():
    mirrored = make_strategy("mirrored")
    assert mirrored.num_replicas_in_sync == 2
    results = []
    for strategy in (None, mirrored):
        net, split, update = make(strategy=strategy, dropout=0.3)
        data = batch(split)
        if strategy is not None:
            data = strategy.experimental_distribute_values_from_function(
                lambda context, data=data: tf.nest.map_structure(
                    lambda v: v[context.replica_id_in_sync_group :][:1], data
                )
            )
        values = update(data, 1e-4)
        named = named_variables(net, net.trained_parts)
        results.append((read_arrays(named), values))
    (one, one_values), (two, two_values) = results
    for name, value in one_values.items():
        assert float(two_values[name]) == pytest.approx(float(value), rel=1e-3)
    for name, array in one.items():
        np.testing.assert_allclose(
            two[name], array, rtol=1e-3, atol=2e-5, err_msg=name
        )


def test_background_that_may_hide_something_unknown_is_void():
    masks = tf.constant([[[0, 1], [255, 2]]] * 2)
    known = tf.constant([[1.0, 1.0], [1.0, 0.0]])
    found = _without_doubt(masks, known).numpy()
    np.testing.assert_array_equal(found[0], masks[0])
    np.testing.assert_array_equal(found[1], [[255, 1], [255, 2]])


def test_tags_that_are_positives_only_are_refused(prior_data, tmp_path):
    config = tiny_prior_config(prior_data)
    config = config.replace({"data.tags_complete": False})
    with pytest.raises(ConfigError, match="tags_complete is False"):
        train(config, "joint", tmp_path / "run", log=lambda line: None)
