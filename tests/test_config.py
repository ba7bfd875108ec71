"""Configs: defaults, files, differences."""

import json

import pytest
from tiny import tiny_config

from keras_wsss.config import (
    default_config,
    differences,
    load_config,
    save_config,
    split_of,
    to_json,
)
from keras_wsss.errors import ConfigError


def test_file_round_trip(tmp_path):
    config = tiny_config("data")
    config.split.target, config.split.name = ("cat", "dog"), "own"
    config.split.source = ("cup",)
    save_config(tmp_path / "config.json", config)
    loaded = load_config(tmp_path / "config.json")
    assert to_json(loaded) == to_json(config)
    assert split_of(loaded) == split_of(config)


def test_defaults_are_the_published_recipe():
    config = default_config()
    assert (config.image.size, config.image.resize) == (320, 330)
    assert config.attention.learning_rate == 1e-3
    assert config.transfer.learning_rate == 5e-4
    for phase in ("attention", "transfer"):
        assert config[phase].steps == 15_000
        assert config[phase].source_pairs == config[phase].target_pairs == 32
    assert config.model.attention == "dense"
    assert config.inference.tag_threshold == 0.6
    assert config.inference.background_factor == 0.5


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, "cannot be read .* is its folder the --workdir"),
        ("{", "not valid JSON"),
        ("[1]", "holds no fields"),
        ('{"train": {"sed": 1}, "x": 2}', "unknown fields train.sed, x"),
        ('{"train": {"seed": "a"}}', "a field has the wrong type"),
    ],
)
def test_damaged_files_are_named(tmp_path, content, text):
    path = tmp_path / "config.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError, match=f"config.json: {text}"):
        load_config(path)


def test_fields_of_later_versions_take_their_defaults(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"train": {"seed": 3}}))
    config = load_config(path)
    assert config.train.seed == 3
    assert config.image.size == 320


def test_differences_name_fields():
    one, other = to_json(tiny_config("data")), to_json(tiny_config("data"))
    assert differences(one, other) == []
    other["decoder"]["steps"] = 13
    del other["name"]
    assert differences(one, other) == [
        "decoder.steps is 12 there and 13 here",
        "name is 'tiny' there and None here",
    ]
