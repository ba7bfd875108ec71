"""Phases and learning rates."""

import types

import numpy as np
import pytest
import tensorflow as tf

from keras_wsss.config import PhaseConfig, TrainConfig
from keras_wsss.config_fields import range_problems
from keras_wsss.errors import ConfigError
from keras_wsss.systems import get_phase, phase_table
from keras_wsss.systems.problems import raise_problems
from keras_wsss.training.loop import learning_rate
from keras_wsss.training.tally import Tally


def settings(**changes):
    values = {
        "steps": 110,
        "learning_rate": 1.0,
        "final_learning_rate": 0.2,
        "source_pictures": 1,
        "target_pictures": 1,
        "warmup_steps": 10,
        "warmup_learning_rate": 3.0,
    }
    return PhaseConfig(**{**values, **changes})


def test_cosine_after_the_warmup():
    rates = [learning_rate(settings(), step) for step in (0, 9, 10, 60, 110)]
    assert rates == pytest.approx([3.0, 3.0, 1.0, 0.6, 0.2])


def test_published_rate_is_constant():
    same = settings(final_learning_rate=1.0, warmup_steps=0)
    assert {learning_rate(same, step) for step in range(111)} == {1.0}


def test_polynomial_decay_of_power_0_9():
    poly = settings(decay="poly", final_learning_rate=0.0)
    rates = [learning_rate(poly, step) for step in (10, 60, 110)]
    assert rates == pytest.approx([1.0, 0.5**0.9, 0.0])
    with pytest.raises(ConfigError, match="cosine, poly"):
        raise_problems(range_problems(settings(decay="line")))


def test_warmup_may_be_all():
    only = settings(steps=10)
    assert learning_rate(only, 9) == 3.0
    assert learning_rate(only, 10) == 1.0


def test_table_of_phases():
    table = {
        (system.name, p.name): (p.source, p.target, p.mask_weight)
        for system, p in phase_table()
    }
    assert table == {
        ("transfernet", "attention"): (True, True, ""),
        ("transfernet", "decoder"): (True, False, "train.mask_weight"),
        ("transfernet", "transfer"): (True, True, "train.mask_weight"),
        ("prior", "joint"): (False, True, "prior.segment_weight"),
    }


def test_phases_of_the_other_system_are_refused():
    with pytest.raises(ConfigError, match="trains the system 'prior'"):
        get_phase("joint", None, "transfernet")
    with pytest.raises(ConfigError, match="use --phase joint"):
        get_phase("decoder", None, "prior")
    for start in (None, "runs/warm"):
        assert get_phase("joint", start, "prior").name == "joint"


@pytest.mark.parametrize(
    ("name", "start", "text"),
    [
        ("decode", None, "Unknown phase 'decode'; use one of attention"),
        ("transfer", None, "give its folder with --init_from"),
        ("decoder", "runs/a", "leave out --init_from runs/a"),
    ],
)
def test_wrong_starts_are_refused(name, start, text):
    with pytest.raises(ConfigError, match=text):
        get_phase(name, start, "transfernet")


@pytest.mark.parametrize(
    ("name", "start"),
    [("attention", None), ("decoder", None), ("transfer", "runs/a")],
)
def test_right_starts_are_taken(name, start):
    assert get_phase(name, start, "transfernet").name == name


def test_the_last_rate_is_that_of_its_step():
    """The losses of the last two steps are looked at one after the other."""
    lines = []
    loop = types.SimpleNamespace(
        train=TrainConfig(log_every=1),
        settings=types.SimpleNamespace(steps=3, warmup_steps=0),
        writer=tf.summary.create_noop_writer(),
        log=lines.append,
    )
    progress = Tally(loop, 0)
    begin = progress._start
    batch = {"source": {"weights": np.ones((4, 2))}}
    for step in range(3):
        progress.add(step, {"loss": 1.0}, batch, 0.1, begin + 2.0 * (step + 1))
    assert [line.split("  ")[2] for line in lines] == ["4.0 pairs/s"] * 3
    assert progress._last["pairs_per_second"] == pytest.approx(4.0)


def test_what_a_long_phase_costs_is_told_at_its_beginning():
    lines = []
    loop = types.SimpleNamespace(
        train=TrainConfig(log_every=1000, heldout_every=250),
        settings=types.SimpleNamespace(steps=1004, warmup_steps=0),
        writer=tf.summary.create_noop_writer(),
        log=lines.append,
    )
    progress = Tally(loop, 0, scoring=30.0)
    begin = progress._start
    batch = {"source": {"weights": np.ones((4, 2))}}
    # The first step is traced, which takes long once; the last here is late.
    for step, moment in enumerate((50, 50.5, 51, 51.5, 90)):
        progress.add(step, {"loss": 1.0}, batch, 0.1, begin + moment)
    (line,) = lines
    assert line.startswith(
        "1000 steps of 500 ms to go, held-out pictures are scored 4 times: "
        "about 10 min; "
    )
    # A short one says nothing.
    loop.settings.steps = 20
    lines.clear()
    progress = Tally(loop, 0, scoring=1.0)
    for step in range(5):
        progress.add(step, {"loss": 1.0}, batch, 0.1, begin + step)
    assert lines == []


def test_it_is_told_anew_after_a_warm_up_which_is_cheaper():
    lines = []
    loop = types.SimpleNamespace(
        train=types.SimpleNamespace(log_every=1000, heldout_every=2000),
        settings=types.SimpleNamespace(steps=1000, warmup_steps=6),
        writer=tf.summary.create_noop_writer(),
        log=lines.append,
    )
    tally = Tally(loop, 0, scoring=0.0)
    batch = {"source": {"weights": np.ones((4, 2))}}
    moments = [9, 9.1, 9.2, 9.3, 9.4, 9.5, 20, 21, 22, 23, 24]
    for step, moment in enumerate(moments):
        tally.add(step, {"loss": 1.0}, batch, 0.1, tally._start + moment)
    assert [line.split(" to go")[0] for line in lines] == [
        "996 steps of 100 ms",
        "990 steps of 1000 ms",
    ]
