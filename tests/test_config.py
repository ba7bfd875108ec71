"""Configs: defaults, files, differences."""

import json

import pytest
from tiny import tiny_config

from keras_wsss.config import (
    check_values,
    default_config,
    differences,
    load_config,
    save_config,
    split_of,
    to_json,
)
from keras_wsss.errors import ConfigError
from keras_wsss.training.identity import binding_differences


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


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("train.seed", -1),
        ("train.log_every", 0),
        ("train.checkpoint_every", 0),
        ("train.heldout_every", 0),
        ("train.keep_checkpoints", 0),
        ("transfer.steps", 0),
        ("inference.background_factor", 0.0),
    ],
)
def test_numbers_that_no_run_can_use_are_named(field, value):
    config = default_config()
    check_values(config)
    config.update_from_flattened_dict({field: value})
    with pytest.raises(ConfigError, match=rf"config\.{field} is {value}"):
        check_values(config)


@pytest.mark.parametrize(
    ("target", "other"), [("sofa", "couch"), ("couch", "sofa")]
)
def test_a_target_of_an_own_split_has_the_other_spelling_too(target, other):
    """Else its pixels would be taught as those of another category."""
    config = default_config()
    config.split.name, config.split.target = "own", (target,)
    config.split.source = ("dog",)
    split = split_of(config)
    assert split.find(other) == split.id_of(target)
    config.split.source = ("dog", other)  # then it is a category of its own
    assert split_of(config).find(other) != split.id_of(target)


def test_names_of_an_own_split(tmp_path):
    config = default_config()
    config.split.name, config.split.target = "own", ("forklift", "jack")
    config.split.scored = ("forklfit",)
    with pytest.raises(ConfigError, match="scored forklfit are not target"):
        split_of(config)
    config.split.scored = ()
    config.split.source = ("truck,car",)  # what --config...=truck,car gives
    with pytest.raises(ConfigError, match=r"write \('truck', 'car'\)"):
        split_of(config)


def test_a_config_of_an_earlier_version_can_be_read(tmp_path):
    values = to_json(default_config())
    values["inference"]["batch_size"] = 8  # had no effect
    (tmp_path / "config.json").write_text(json.dumps(values))
    assert to_json(load_config(tmp_path / "config.json")) == to_json(
        default_config()
    )


def test_an_earlier_run_keeps_what_it_did(tmp_path):
    """Its config lacks the fields, and today's defaults are others."""
    config = to_json(default_config())
    assert config["inference"].pop("always_one_tag") is False
    assert config["data"].pop("heldout_tags") > 0
    config["data"].pop("source_negatives")
    (tmp_path / "config.json").write_text(json.dumps(config))
    loaded = load_config(tmp_path / "config.json")
    assert loaded.inference.always_one_tag is True
    assert loaded.data.heldout_tags == 0
    assert loaded.data.source_negatives == "none"
    # Going on with it by today's defaults would be another run.
    assert len(binding_differences(config, to_json(default_config()))) == 3


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("data.source_negatives", "some"),
        ("data.heldout_tags", 1.0),
        ("inference.none_threshold", 1.5),
    ],
)
def test_what_no_run_can_use_is_named(field, value):
    config = default_config()
    group, name = field.split(".")
    config[group][name] = value
    with pytest.raises(ConfigError, match=f"config.{field} is"):
        check_values(config)
