"""Every built-in config is one that train.py can run, and what it was."""

import importlib
import itertools
import json
from pathlib import Path

import pytest

from keras_wsss.config import (
    Config,
    differences,
    save_config,
    split_of,
    to_json,
)
from keras_wsss.config_files import (
    built_in_configs,
    config_of_run,
    load_config,
    load_run_config,
)
from keras_wsss.systems import phase_table
from keras_wsss.systems.problems import validate

NAMES = built_in_configs()
# The base of files that have the data, and what such a file adds.
BASES = {
    "photos": {
        "split": {"source": ("cup",), "target": ("cat",)},
        "data.source_annotations": "masks.json",
        "data.source_images": "pictures",
        "data.target_tags": "tags.csv",
        "data.target_images": "photos",
    }
}
# What the configs were in the version that wrote them by ml_collections, with
# its names: files of that version are read by this one, too.
EARLIER = json.loads(
    (Path(__file__).parent / "configs_of_earlier_version.json").read_text()
)


@pytest.fixture(autouse=True)
def _no_folders(monkeypatch):
    monkeypatch.delenv("KERAS_WSSS_MINI", raising=False)
    monkeypatch.delenv("KERAS_WSSS_SHAPES", raising=False)


@pytest.mark.parametrize("name", NAMES)
def test_config_is_whole_and_says_how_it_is_run(name, tmp_path):
    config = load_config(name)
    assert config == load_config(f"configs/{name}.py")
    assert config.name == name
    assert split_of(config.replace(BASES.get(name, {}))).scored
    save_config(tmp_path / "config.json", config)
    assert load_run_config(tmp_path) == config
    # The docstring's commands name the config itself and phases that exist.
    text = importlib.import_module(f"keras_wsss.configs.{name}").__doc__
    assert f"--config {name} " in text or f"base: {name}\n" in text
    assert (f"base: {name}\n" in text) == (name in BASES)
    words = text.split()
    phases = [
        word
        for before, word in itertools.pairwise(words)
        if before == "--phase"
    ]
    assert phases
    assert set(phases) <= {phase.name for _, phase in phase_table()}
    assert "--workdir" in text
    for phase in phases:
        validate(config.replace(BASES.get(name, {})), phase)


# Configs that were called otherwise, and those that there were not.
EARLIER_NAMES = {"mini60_vgg": "mini60", "mini75_vgg": "mini75"}
NEW = {"mini60", "mini75", "transfernet_voc12_modern", *BASES}
# Those whose figures were made anew with another value.
CHANGED = {"shapes": {"model.tagger_sharpness": 0.1}}


@pytest.mark.parametrize("name", sorted(set(NAMES) - NEW))
def test_figures_are_those_of_the_same_values(name):
    values = {**EARLIER[EARLIER_NAMES.get(name, name)], "name": name}
    earlier = config_of_run(values, name)
    # Decides what the cache keeps, and no figure.
    earlier = earlier.replace({"cache.switches": True, **CHANGED.get(name, {})})
    assert differences(earlier, load_config(name)) == []


def test_there_is_a_config_for_every_protocol():
    earlier = {EARLIER_NAMES.get(name, name) for name in NAMES}
    earlier -= {"transfernet_voc12_modern", *BASES}
    assert earlier == EARLIER.keys() - {"default_config"}
    assert {
        "mini60",
        "mini60_published",
        "mini75",
        "shapes",
        "transfernet_voc12",
    } <= set(NAMES)


def test_published_form_differs_in_data_and_schedule_alone():
    config = to_json(load_config("mini60_published"))
    mini60 = to_json(load_config("mini60_vgg"))
    published = to_json(Config.published())
    # How often a run reports and saves changes no weight.
    for field in ("checkpoint_every", "heldout_every"):
        config["train"].pop(field)
        published["train"].pop(field)
    # Of tags, the defaults are this project's.
    published["inference"] |= {"tag_threshold": 0.6, "always_one_tag": True}
    for group in ("model", "train", "inference"):
        assert config[group] == published[group], group
    # The same pictures as mini60_vgg, of which small labels are asked for too.
    assert config["data"].pop("min_pixels") < mini60["data"].pop("min_pixels")
    assert config["data"] == mini60["data"]
    assert config["split"] == mini60["split"]
    assert config["image"] == mini60["image"]
    amounts = {"steps", "source_pictures", "target_pictures"}
    for phase in ("attention", "transfer"):
        here, there = config["phases"][phase], published["phases"][phase]
        for key in here.keys() - amounts:
            assert here[key] == there[key], (phase, key)
