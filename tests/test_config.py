"""Configs: defaults, changes, files, differences."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import tiny_config

from keras_wsss.config import (
    Config,
    TrainConfig,
    differences,
    save_config,
    split_of,
    to_json,
)
from keras_wsss.config_docs import page
from keras_wsss.config_fields import fields_of, flat, range_problems
from keras_wsss.config_files import (
    config_of_run,
    current_name,
    load_config,
    load_run_config,
    old_names,
    parse_override,
)
from keras_wsss.errors import ConfigError
from keras_wsss.training.claim import binding_differences

REPOSITORY = Path(__file__).resolve().parents[1]
EARLIER = json.loads(
    (Path(__file__).parent / "configs_of_earlier_version.json").read_text()
)


def test_file_round_trip(tmp_path):
    config = tiny_config("data").replace(
        {
            "split.target": ("cat", "dog"),
            "split.name": "own",
            "split.source": ("cup",),
        }
    )
    save_config(tmp_path / "config.json", config)
    loaded = load_run_config(tmp_path)
    assert to_json(loaded) == to_json(config)
    assert loaded == config
    assert split_of(loaded) == split_of(config)


def test_published_values_are_the_papers():
    config = Config.published()
    assert (config.image.size, config.image.resize) == (320, 330)
    assert config.phases.attention.learning_rate == 1e-3
    assert config.phases.transfer.learning_rate == 5e-4
    for phase in ("attention", "transfer"):
        group = config.phases[phase]
        assert group.steps == 15_000
        assert group.source_pictures == group.target_pictures == 32
    assert config.model.attention == "dense"
    assert config.inference.background_factor == 0.5
    earlier = config_of_run(EARLIER["default_config"])
    # What the cache keeps changes nothing but the time.
    assert differences(earlier, config) == [
        "cache.switches is False there and True here"
    ]
    prior = Config.published("prior")
    assert (prior.system, prior.image.size, prior.image.resize) == (
        "prior", 321, 513,
    )  # fmt: skip


def test_defaults_are_what_is_recommended_for_photographs():
    """The config mini60, but for its split, its data and its cache."""
    told = {
        text.split()[0] for text in differences(load_config("mini60"), Config())
    }
    assert all(
        name == "name" or name.split(".")[0] in ("split", "data", "cache")
        for name in told
    )


def test_nobody_changes_a_config_in_place():
    config = Config()
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.train.seed = 1
    other = config.replace({"train.seed": 1, "image": {"size": 320}})
    assert (other.train.seed, other.image.size) == (1, 320)
    assert config == Config()
    assert other != config
    assert other.replace({"train": TrainConfig(), "image.size": 448}) == config
    assert {config: 1}[Config()] == 1  # may be a key


def test_values_take_the_types_of_their_fields(tmp_path):
    config = Config().replace(
        {
            "train.tag_weight": 1,
            "split.source": ["a", "b"],
            "data.eval_root": tmp_path,
            "inference.tag_threshold": None,
        }
    )
    assert isinstance(config.train.tag_weight, float)
    assert config.split.source == ("a", "b")
    assert config.data.eval_root == str(tmp_path)
    assert config.inference["tag_threshold"] is None
    with pytest.raises(KeyError):
        config.inference["tag"]
    with pytest.raises(
        ConfigError, match=r"TrainConfig.seed is 'x', not a who"
    ):
        TrainConfig(seed="x")


def test_all_that_is_wrong_is_told_at_once():
    with pytest.raises(ConfigError) as caught:
        Config().replace(
            {
                "train": {"sed": 1, "seed": 0.5, "keep_best": 1},
                "image.sise": 3,
                "split.target": "cat",
                "model": 3,
            }
        )
    text = str(caught.value)
    for part in (
        "unknown fields image.sise, train.sed ",
        "did you mean train.seed, image.size?",
        "train.seed is 0.5, not a whole number",
        "train.keep_best is 1, not True or False",
        "split.target is 'cat', not a list of texts",
        "model is 3, not a group of fields",
    ):
        assert part in text


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, "cannot be read .* is its folder the --workdir"),
        ("{", "not valid JSON"),
        ("[1]", "holds no fields"),
        ('{"train": {"sed": 1}, "x": 2}', "unknown fields train.sed, x"),
        ('{"train": {"seed": "a"}}', "a field has the wrong type"),
        (
            '{"name": "a", "name": "b"}',
            r"not valid JSON \(name stands there twice",
        ),
    ],
)
def test_damaged_files_are_named(tmp_path, content, text):
    path = tmp_path / "config.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError, match=f"config.json: {text}"):
        load_run_config(tmp_path)


def test_fields_of_later_versions_are_as_they_were_then(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"train": {"seed": 3}}))
    config = load_run_config(tmp_path)
    assert config.train.seed == 3
    assert config.image.size == 320
    # A folder with phase.json is a run's; the same file elsewhere is not.
    (tmp_path / "phase.json").write_text('{"phase": "decoder"}')
    assert load_config(path) == config


def test_differences_name_fields():
    one = tiny_config("data")
    assert differences(one, tiny_config("data")) == []
    other = one.replace({"phases.decoder.steps": 13, "name": "other"})
    assert differences(one, other) == [
        "name is 'tiny' there and 'other' here",
        "phases.decoder.steps is 12 there and 13 here",
    ]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("train.seed", -1),
        ("train.seed", 2**32),
        ("train.log_every", 0),
        ("train.checkpoint_every", 0),
        ("train.heldout_every", 0),
        ("train.keep_checkpoints", 0),
        ("train.mask_weight", float("nan")),
        ("phases.transfer.steps", 0),
        ("phases.decoder.source_pictures", -16),
        ("phases.decoder.learning_rate", float("inf")),
        ("inference.background_factor", 0.0),
        ("inference.scales", ()),
        ("inference.scales", (1.0, 0.0)),
        ("data.source_negatives", "some"),
        ("data.heldout_tags", 1.0),
        ("inference.none_threshold", 1.5),
        ("model.output_stride", 8),
        ("prior.fusion_streams", ("clean", "dirty")),
    ],
)
def test_what_no_run_can_use_is_named(field, value):
    config = Config()
    assert range_problems(config) == []
    (text,) = range_problems(config.replace({field: value}))
    shown = f"'{value}'" if isinstance(value, str) else value
    assert text.startswith(f"config.{field} is {shown}; use ")


def test_defaults_and_published_values_are_in_their_ranges():
    for config in (Config(), Config.published(), Config.published("prior")):
        assert range_problems(config) == []


@pytest.mark.parametrize(
    ("target", "other"), [("sofa", "couch"), ("couch", "sofa")]
)
def test_a_target_of_an_own_split_has_the_other_spelling_too(target, other):
    """Else its pixels would be taught as those of another category."""
    config = Config().replace(
        {
            "split.name": "own",
            "split.target": (target,),
            "split.source": ("dog",),
        }
    )
    split = split_of(config)
    assert split.find(other) == split.id_of(target)
    # Then it is a category of its own.
    config = config.replace({"split.source": ("dog", other)})
    assert split_of(config).find(other) != split.id_of(target)


def test_names_of_an_own_split():
    config = Config().replace(
        {
            "split.name": "own",
            "split.target": ("forklift", "jack"),
            "split.scored": ("forklfit",),
        }
    )
    with pytest.raises(ConfigError, match="scored forklfit are not target"):
        split_of(config)
    config = config.replace(
        {"split.scored": (), "split.source": ("truck,car",)}
    )
    with pytest.raises(ConfigError, match=r"write \('truck', 'car'\)"):
        split_of(config)
    config = config.replace({"split.source": ("Jack", "truck")})
    with pytest.raises(ConfigError, match="'jack' and 'Jack' differ in their"):
        split_of(config)
    config = config.replace({"split.source": (), "split.aliases": ("a",)})
    with pytest.raises(ConfigError, match="not of the form other=name"):
        split_of(config)


def test_a_config_of_an_earlier_version_can_be_read(tmp_path):
    values = dict(EARLIER["default_config"])
    values["inference"] = {**values["inference"], "batch_size": 8}  # no effect
    (tmp_path / "config.json").write_text(json.dumps(values))
    expected = Config.published().replace({"cache.switches": False})
    assert load_run_config(tmp_path) == expected


def test_an_earlier_run_keeps_what_it_did(tmp_path):
    """Its config lacks the fields, and today's defaults are others."""
    config = to_json(Config.published())
    assert config["inference"].pop("always_one_tag") is False
    assert config["data"].pop("heldout_tags") > 0
    config["data"].pop("source_negatives")
    config["model"].pop("judge")
    (tmp_path / "config.json").write_text(json.dumps(config))
    loaded = load_run_config(tmp_path)
    assert loaded.inference.always_one_tag is True
    assert loaded.data.heldout_tags == 0
    assert loaded.data.source_negatives == "none"
    assert loaded.model.judge == "classifier"
    # Going on with it by today's defaults would be another run.
    assert len(binding_differences(config, to_json(Config.published()))) == 3


def test_old_names_mean_the_new_fields():
    assert current_name("decoder.steps") == "phases.decoder.steps"
    assert current_name("feature_cache") == "cache.folder"
    now = "phases.transfer.target_pictures"
    for name in (
        "transfer.target_pairs",
        "phases.transfer.target_pairs",
        "transfer.target_pictures",
    ):
        assert current_name(name) == now
        assert name in old_names()
        assert parse_override(name, "8") == (now, 8)
    assert not set(old_names()) & set(flat(Config()))


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("train.seed", "3", 3),
        ("train.tag_weight", "1e-3", 1e-3),
        ("train.keep_best", "True", True),
        ("train.keep_best", "false", False),
        ("inference.tag_threshold", "None", None),
        ("inference.tag_threshold", "0.5", 0.5),
        ("inference.scales", "1,0.5", (1.0, 0.5)),
        ("inference.scales", "(1.0, 2)", (1.0, 2.0)),
        ("split.source", "('a', 'b c')", ("a", "b c")),
        ("split.source", "a,b c", ("a", "b c")),
        ("split.source", "()", ()),
        ("data.eval_root", "", ""),
    ],
)
def test_values_of_the_command_line(name, text, value):
    assert parse_override(name, text) == (name, value)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("train.seed", "3.5", "--config.train.seed=3.5: .* not a whole number"),
        ("train.keep_best", "yes", "not True or False"),
        ("split.source", "('a'", "not a list of texts"),
        ("inference.scales", "('a',)", "not a number"),
        ("train.sed", "3", r"no field 'sed' there \(did you mean train.seed"),
        ("transfer.target_pair", "3", "mean phases.transfer.target_pictures"),
        ("train", "3", "no field 'train'"),
    ],
)
def test_wrong_values_of_the_command_line(name, text, told):
    with pytest.raises(ConfigError, match=told):
        parse_override(name, text)


def write(path, text):
    path.write_text(text)
    return path


def test_a_file_of_ones_own(tmp_path):
    path = write(
        tmp_path / "own.yaml",
        "base: mini60\n"
        "split: {name: own, source: [truck], target: [cat, dog]}\n"
        "data.source_images: pictures\n"
        "train: {seed: 3}\n"
        "transfer: {target_pairs: 4, learning_rate: 1e-3}\n"
        "feature_cache: ''\n",
    )
    config = load_config(path)
    assert config.name == "own"
    assert config.split.target == ("cat", "dog")
    assert config.data.source_images == "pictures"
    assert config.data.min_pixels == 1500  # of mini60
    assert config.phases.transfer.target_pictures == 4
    assert config.phases.transfer.learning_rate == 1e-3
    assert config.cache.folder == ""
    same = write(tmp_path / "own.json", json.dumps(to_json(config)))
    assert load_config(same) == config
    # Beside another, which it changes; without a base, on the defaults.
    again = write(tmp_path / "again.yaml", "base: own.yaml\nname: x\n")
    assert load_config(again) == config.replace({"name": "x"})
    alone = load_config(write(tmp_path / "alone.yml", "train.seed: 1\n"))
    assert alone == Config().replace({"train.seed": 1, "name": "alone"})
    prior = load_config(write(tmp_path / "prior.yaml", "system: prior\n"))
    assert prior == Config.published("prior").replace({"name": "prior"})


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.yaml", "train: {sed: 1}\n", r"a.yaml: unknown field train.sed \(d"),
        ("a.yaml", "split: {source: [yes]}\n", "split.source is True, not a t"),
        ("a.yaml", "train: [1\n", "a.yaml: not valid YAML"),
        ("a.yaml", "train: {seed: 1, seed: 2}\n", "seed stands there twice"),
        ("a.yaml", "a: &a [1]\nb: *a\n", r"\*a: write it out"),
        ("a.yaml", "- train\n", "a.yaml: holds no fields"),
        ("a.yaml", "base: minni60\n", "minni60: there is no such file, and no"),
        ("a.yaml", "base: 3\n", "base is 3, not a text"),
        ("a.yaml", "base: a.yaml\n", "names itself"),
        ("a.yaml", "a: &a [*a]\n", "a.yaml: "),
        ("a.json", '{"train": ', "a.json: not valid JSON"),
        ("a.toml", "", "a.toml: a config is a file in .yaml"),
        ("a.py", "import nothing_of_that_name", "a.py: cannot be loaded"),
        ("a.py", "x = 1", r"a.py: has no function get_config\(\)"),
        ("a.py", "def get_config():\n  return {}", "must return a keras_wsss"),
    ],
)
def test_files_of_ones_own_that_cannot_be(tmp_path, name, content, told):
    path = write(tmp_path / name, content)
    with pytest.raises(ConfigError, match=told):
        load_config(path)


def test_a_config_is_read_and_checked_without_tensorflow():
    program = (
        "import sys, keras_wsss.config, keras_wsss.config_files; "
        "assert not {'tensorflow', 'keras', 'numpy'} & set(sys.modules); "
        "import keras_wsss.systems.problems as problems; "
        "config = keras_wsss.config_files.load_config('mini60'); "
        "problems.validate(config, 'decoder'); "
        "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=REPOSITORY)


def test_every_field_says_what_it_means():
    for name, own in fields_of(Config).items():
        text = own.metadata["text"]
        assert text.endswith("."), name


def test_the_page_of_all_fields_is_current():
    written = (REPOSITORY / "docs" / "config.md").read_text(encoding="utf-8")
    assert written == page(), "python -m keras_wsss.config > docs/config.md"
