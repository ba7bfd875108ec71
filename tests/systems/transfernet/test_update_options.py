"""Parts of a batch, clipping, averages and precision of an update."""

import keras
import numpy as np
import pytest
from tensorflow.python.util import _pywrap_determinism
from test_update import make_batch, make_config, make_update, weights_of

from keras_wsss.systems.network import named_variables
from keras_wsss.systems.replicated_update import own_optimizer
from keras_wsss.systems.transfernet.network import TransferNet
from keras_wsss.systems.transfernet.update import Update
from keras_wsss.training.devices import make_strategy, share

RICH = {"model.guide_maps": True, "model.guide_features": 4}
# One bias for all positions: softmax does not see it, its gradient is
# rounding noise, and Adam makes full steps of that.
UNSEEN = "attention/att/att_w/bias"


def updated(changes, steps=2, strategy=None, **options):
    """Losses and weights after some updates, and the update itself."""
    config = make_config().replace(changes)
    net, update = make_update(config, strategy=strategy, overlap_weight=1.0)
    train = update.train.replace(options)
    update = Update(net, update.optimizer, train, update.strategy)
    for seed in range(steps):
        batch = make_batch(config, rows=4, seed=seed)
        shared = share(strategy, batch) if strategy else batch
        values = update(shared, 1e-3)
    return {k: float(v) for k, v in values.items()}, weights_of(net), update


@pytest.fixture(scope="module")
def plain():
    return updated(RICH)


def test_all_steps_are_one_trace(plain):
    *_, update = plain
    assert update._function.experimental_get_tracing_count() == 1


def check_equal(one, other, atol):
    assert one.keys() == other.keys()
    for name in one.keys() - {UNSEEN}:
        np.testing.assert_allclose(
            one[name], other[name], rtol=0, atol=atol, err_msg=name
        )


@pytest.mark.parametrize("replicas", ["one", "mirrored"])
def test_parts_of_a_batch_come_to_the_whole_batch(plain, replicas):
    """Also where they hold unequal numbers of pixels that count."""
    strategy = make_strategy(replicas)
    values, weights, _ = updated(RICH, strategy=strategy, micro_batches=2)
    losses, whole, _ = plain
    assert values == pytest.approx(losses, abs=1e-5)
    check_equal(weights, whole, 1e-5)


@pytest.fixture
def any_order():
    """Another test of this process may have asked for determinism."""
    asked = _pywrap_determinism.is_enabled()
    _pywrap_determinism.enable(False)
    yield
    _pywrap_determinism.enable(asked)


def test_xla_gives_the_same_update(plain, any_order):
    losses, whole, _ = plain
    values, weights, _ = updated(RICH, xla=True)
    assert values == pytest.approx(losses, abs=1e-4)
    check_equal(weights, whole, 1e-4)


def test_clipping_bounds_the_norm_of_everyones_gradients():
    """SGD-like: Adam hides the size of a gradient, so its moments are read."""
    bound, sums = 1e-3, []
    for strategy in (None, make_strategy("mirrored")):
        changes = {**RICH, "train.clip_norm": bound}
        *_, update = updated(changes, 1, strategy=strategy)
        squares = sum(
            np.square(v.numpy()).sum()
            for v in own_optimizer(update.optimizer).variables
            if "momentum" in v.path
        )
        sums.append(np.sqrt(squares))
    # The first moment is a tenth of the first gradient.
    np.testing.assert_allclose(sums, 0.1 * bound, rtol=1e-3)


def test_averages_take_the_place_of_the_weights():
    momentum = 0.75
    changes = {**RICH, "train.average": momentum}
    *_, update = updated(changes, 1)
    net = update.net
    history = [weights_of(net)]
    for seed in (5, 6):
        update(make_batch(make_config(), rows=4, seed=seed), 1e-3)
        history.append(weights_of(net))
    variables = [
        variable
        for variable in named_variables(net, TransferNet.trained_parts).values()
        if variable.trainable
    ]
    own_optimizer(update.optimizer).finalize_variable_values(variables)
    expected = history[0]
    for after in history[1:]:
        expected = {
            name: momentum * expected[name] + (1 - momentum) * after[name]
            for name in expected
        }
    check_equal(weights_of(net), expected, 1e-6)


def test_bfloat16_learns_as_float32_does(plain):
    """Weights, moments and losses stay float32."""
    losses, *_ = plain
    changes = {**RICH, "model.compute_dtype": "bfloat16"}
    values, weights, update = updated(changes)
    net = update.net
    assert net.decoder.get_layer("deconv4_1").compute_dtype == "bfloat16"
    assert all(array.dtype == np.float32 for array in weights.values())
    moments = (v for v in update.optimizer.variables if "momentum" in v.path)
    assert {variable.dtype for variable in moments} == {"float32"}
    # Of 8 bits: a network of random weights is some percent off.
    for name in ("class_loss", "mask_loss", "tag_loss", "overlap_loss"):
        assert values[name] == pytest.approx(losses[name], rel=0.02)
    outputs = (net.encoder, net.guide, net.mask_logits, net.tagger)
    kinds = {output.dtype for model in outputs for output in model.outputs}
    assert kinds == {"float32", "uint8"}  # of scores, and of switches


def test_float16_leaves_out_an_update_that_overflows():
    config = make_config().replace({**RICH, "model.compute_dtype": "float16"})
    net, update = make_update(config)
    inner = update.optimizer
    update.optimizer = keras.optimizers.LossScaleOptimizer(
        inner, initial_scale=2.0**10
    )
    update.optimizer.build(inner._trainable_variables)
    before = weights_of(net)
    values = update(make_batch(config, rows=4), 1e-3)
    learned = weights_of(net)
    moved = [np.abs(learned[k] - before[k]).max() for k in before]
    # A step of Adam; the last classifier's bias makes 20.
    assert 5e-4 < np.median([m for m in moved if m]) < max(moved) < 0.021
    assert np.isfinite(list(map(float, values.values()))).all()
    # Gradients of this scale are infinite in float16.
    update.optimizer.dynamic_scale.assign(2.0**40)
    values = update(make_batch(config, rows=4), 1e-3)
    assert np.isfinite(float(values["mask_loss"]))  # the loss as it is
    check_equal(weights_of(net), learned, 0)
    assert float(update.optimizer.dynamic_scale.numpy()) == 2.0**39
