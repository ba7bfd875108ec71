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
from keras_wsss.systems import phase_table

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
    assert set(phases) <= {phase.name for _, phase in phase_table()}
    assert "--workdir" in text


def test_there_is_a_config_for_every_protocol():
    assert {
        "mini60",
        "mini60_published",
        "mini75",
        "shapes",
        "transfernet_voc12",
    } <= {path.stem for path in FILES}


def test_published_form_differs_in_data_and_schedule_alone():
    config = to_json(load(FOLDER / "mini60_published.py").get_config())
    mini60 = to_json(load(FOLDER / "mini60.py").get_config())
    published = to_json(default_config())
    # How often a run reports and saves changes no weight.
    for field in ("checkpoint_every", "heldout_every"):
        config["train"].pop(field)
        published["train"].pop(field)
    # Of tags, the defaults are this project's.
    published["inference"] |= {"tag_threshold": 0.6, "always_one_tag": True}
    for group in ("model", "train", "inference"):
        assert config[group] == published[group], group
    # The same pictures as mini60, of which small labels are asked for too.
    assert config["data"].pop("min_pixels") < mini60["data"].pop("min_pixels")
    assert config["data"] == mini60["data"]
    assert config["split"] == mini60["split"]
    assert config["image"] == mini60["image"]
    amounts = {"steps", "source_pairs", "target_pairs"}
    for phase in ("attention", "transfer"):
        for key in config[phase].keys() - amounts:
            assert config[phase][key] == published[phase][key], (phase, key)
