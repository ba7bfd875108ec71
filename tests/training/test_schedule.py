"""Phases and learning rates."""

import pytest

from keras_wsss.config import PhaseConfig
from keras_wsss.config_fields import range_problems
from keras_wsss.errors import ConfigError
from keras_wsss.systems.problems import raise_problems
from keras_wsss.training.phases import PHASES, get_phase
from keras_wsss.training.schedule import learning_rate


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
    table = {n: (p.source, p.target, p.masks) for n, p in PHASES.items()}
    assert table == {
        "attention": (True, True, False),
        "decoder": (True, False, True),
        "transfer": (True, True, True),
        "joint": (False, True, False),
    }


def test_phases_of_the_other_system_are_refused():
    with pytest.raises(ConfigError, match="trains the system 'prior'"):
        get_phase("joint", None)
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
        get_phase(name, start)


@pytest.mark.parametrize(
    ("name", "start"),
    [("attention", None), ("decoder", None), ("transfer", "runs/a")],
)
def test_right_starts_are_taken(name, start):
    assert get_phase(name, start).name == name
