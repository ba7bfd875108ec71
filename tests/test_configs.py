"""Every file in configs/ is one that train.py can run."""

import importlib.util
from pathlib import Path

import pytest

from keras_wsss.config import (
    default_config,
    load_config,
    save_config,
    split_of,
    to_json,
)
from keras_wsss.training.phases import PHASES

FOLDER = Path(__file__).resolve().parents[1] / "configs"
FILES = sorted(FOLDER.glob("*.py"))


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_config_is_whole_and_says_how_it_is_run(path, tmp_path):
    module = load(path)
    config = module.get_config()
    assert config.name == path.stem
    assert split_of(config).scored
    # Only fields that the defaults know, each of its type.
    save_config(tmp_path / "config.json", config)
    assert to_json(load_config(tmp_path / "config.json")) == to_json(config)
    assert set(config.keys()) == set(default_config().keys())
    # The docstring's commands name the file itself and phases that exist.
    text = module.__doc__
    assert f"--config configs/{path.name}" in text
    phases = [
        word
        for before, word in zip(text.split(), text.split()[1:], strict=False)
        if before == "--phase"
    ]
    assert phases
    assert set(phases) <= set(PHASES)
    assert "--workdir" in text


def test_there_is_a_config_for_every_protocol():
    assert {"mini60", "mini75", "shapes", "transfernet_voc12"} <= {
        path.stem for path in FILES
    }
