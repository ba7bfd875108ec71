"""CONTRIBUTING's recipe of a phase; the others are tested where they belong."""

import re

import pytest
from tiny import REPOSITORY, tiny_config

from keras_wsss import systems
from keras_wsss.errors import ConfigError
from keras_wsss.systems.system import Phase
from keras_wsss.systems.transfernet.system import (
    MASK_WEIGHT,
    TransferNetSystem,
)
from keras_wsss.training.run import train


class AllAtOnce(TransferNetSystem):
    """TransferNet with one more phase: masks and tags from the beginning."""

    name = "all_at_once"
    phases = (
        *TransferNetSystem.phases,
        Phase(
            "joint",
            "on masks and tags at once",
            target=True,
            mask_weight=MASK_WEIGHT,
        ),
    )


@pytest.fixture
def config(shapes_dir, monkeypatch):
    known = dict(systems._SYSTEMS._loaded)
    monkeypatch.setattr(systems._SYSTEMS, "_loaded", known)
    systems.register_system(AllAtOnce())
    joint = {
        "steps": 2,
        "warmup_steps": 0,
        "source_pictures": 4,
        "target_pictures": 4,
    }
    return tiny_config(shapes_dir).replace(
        {"system": "all_at_once", "phases": {"joint": joint}}
    )


def test_a_phase_is_a_row(config, tmp_path):
    results = train(config, "joint", tmp_path / "run", log=lambda line: None)
    assert results["mask_updates"] == 2
    assert {"mask_loss", "target_accuracy"} <= set(results["last"])


def test_its_config_is_checked(config, tmp_path):
    wrong = config.replace({"phases.joint.target_pictures": 0})
    with pytest.raises(ConfigError, match=r"phases\.joint\.target_pictures"):
        train(wrong, "joint", tmp_path / "run")


def test_what_contributing_names_is_there():
    text = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for path in re.findall(r"`((?:keras_wsss|tests)/[\w/]+\.py)`", text):
        if "NAME" not in path:
            assert (REPOSITORY / path).exists(), path
