"""Categories that come, go and move between two runs."""

import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
from tiny import read_json, tiny_config
from tiny_prior import tiny_prior_config

from keras_wsss.categories import SHAPES_SOURCE, SHAPES_TARGET
from keras_wsss.checkpoints import Checkpoint, load_latest, save_checkpoint
from keras_wsss.config import split_of
from keras_wsss.config_files import load_run_config
from keras_wsss.data.formats.voc import read_classes
from keras_wsss.errors import ConfigError, DataError
from keras_wsss.inference.predictor import Predictor
from keras_wsss.run_folder import CHECKPOINTS
from keras_wsss.systems import get_system
from keras_wsss.systems.network import (
    build_network,
    named_variables,
    read_arrays,
)
from keras_wsss.training.run import train

# The data's annotations and tags know all of these names.
KNOWN = {*SHAPES_SOURCE, *SHAPES_TARGET}


def silent(line):
    pass


def with_split(config, source, target, aliases=()):
    """A split of one's own that ignores what else the data know."""
    config = config.replace(
        {
            "split.name": "own",
            "split.source": source,
            "split.target": target,
            "split.aliases": aliases,
        }
    )
    return config


def tags_of(config, names, path):
    """The pictures' tags, of some categories alone."""
    lines = Path(config.data.target_tags).read_text().splitlines()
    rows = [line.split(",") for line in lines[1:]]
    kept = [(i, [n for n in t.split(";") if n in names]) for i, t in rows]
    path.write_text(
        "image,labels\n" + "".join(f"{i},{';'.join(t)}\n" for i, t in kept if t)
    )
    return config.replace({"data.target_tags": path})


def as_it_starts(config, phase):
    """So that a run ends with the weights that it begins with."""
    config = config.replace(
        {
            "train.examples": 0,
            f"phases.{phase}.steps": 1,
            f"phases.{phase}.warmup_steps": 0,
            f"phases.{phase}.learning_rate": 0.0,
            f"phases.{phase}.final_learning_rate": 0.0,
        }
    )
    return config


def weights(run):
    arrays = load_latest(run / CHECKPOINTS).arrays
    return {
        name.removeprefix("model/"): array
        for name, array in arrays.items()
        if name.startswith("model/")
    }


def entry(arrays, config, variable, name):
    """What a variable holds of a category."""
    split = split_of(config)
    axis = get_system(config.system).category_axes(config, split)[variable]
    return np.take(arrays[variable], axis.keys.index(name), axis.axis)


def check_entries(config, run, start, renamed, new):
    """Every entry is that of its name in `start`, or the fresh network's."""
    before, after = weights(start), weights(run)
    keras.utils.set_random_seed(config.train.seed)
    split = split_of(config)
    net = build_network(config, split)
    fresh = read_arrays(named_variables(net, net.trained_parts))
    there = load_run_config(start)
    axes = get_system(config.system).category_axes(config, split)
    assert before.keys() == after.keys() == fresh.keys()
    for variable, axis in axes.items():
        for key in axis.keys:
            found = entry(after, config, variable, key)
            if key in new:
                expected = entry(fresh, config, variable, key)
            else:
                name = renamed.get(key, key)
                expected = entry(before, there, variable, name)
            np.testing.assert_array_equal(found, expected, f"{variable} {key}")
    for variable in before.keys() - axes.keys():
        if "seed_generator" not in variable:
            np.testing.assert_array_equal(after[variable], before[variable])


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("phase", ["decoder", "attention", "transfer"])
def test_weights_of_categories_follow_their_names(
    shapes_dir, decoder_run, transfer_run, tmp_path, phase
):
    """One more, two gone, two on the other side, all in a new order."""
    start = (transfer_run if phase == "transfer" else decoder_run)[0]
    if phase == "attention":
        start = shutil.copytree(start, tmp_path / "attention")
        text = (start / "phase.json").read_text()
        (start / "phase.json").write_text(text.replace("decoder", "attention"))
    # "arch" was a source and goes, "comet" is new; "fish" had tags and gets
    # masks, in the place of "disc", which has tags from now on.
    source = (*SHAPES_SOURCE[:0:-1][1:], "fish")
    target = ("comet", "star", "disc", "toadstool", "clover", "arrow")
    config = as_it_starts(tiny_config(shapes_dir), "transfer")
    config = with_split(config, source, target, ("mushroom=toadstool",))
    config = tags_of(config, {"star", "clover", "arrow"}, tmp_path / "tags.csv")
    lines = []
    run = tmp_path / "run"
    train(config, "transfer", run, start, log=lines.append)
    check_entries(config, run, start, {"toadstool": "mushroom"}, {"comet"})
    line = next(text for text in lines if text.startswith("Categories of"))
    assert "18 carried over (toadstool as mushroom, " in line
    assert line.endswith("; new: comet; left out: heart, arch.")
    about = read_json(run / "about.json")["categories"]
    assert about["carried"]["toadstool"] == "mushroom"
    assert about["carried"]["fish"] == "fish"
    assert (about["new"], about["left_out"]) == (["comet"], ["heart", "arch"])
    # The split of the run is what its ids mean.
    assert read_classes(run) == (*target, *source)
    assert Predictor.from_workdir(run).split.categories == (*target, *source)


@pytest.mark.usefixtures("eager")
def test_the_column_of_absent_labels_is_no_category(
    shapes_dir, decoder_run, tmp_path
):
    """A run with them starts from one without: that column begins fresh."""
    config = as_it_starts(tiny_config(shapes_dir), "transfer")
    config = config.replace({"train.absent_per_image": 1})
    train(config, "transfer", tmp_path / "a", decoder_run[0], log=silent)
    name = "attention/classifier_logits/bias"
    before, after = weights(decoder_run[0])[name], weights(tmp_path / "a")[name]
    np.testing.assert_array_equal(after[:-1], before)
    again = as_it_starts(tiny_config(shapes_dir), "transfer")
    again = again.replace({"train.absent_per_image": 1})
    again = with_split(again, SHAPES_SOURCE[1:], ("comet", *SHAPES_TARGET))
    train(again, "transfer", tmp_path / "b", tmp_path / "a", log=silent)
    check_entries(again, tmp_path / "b", tmp_path / "a", {}, {"comet"})


@pytest.mark.usefixtures("eager")
def test_the_prior_system_carries_its_categories_over_too(
    prior_run, prior_data, tmp_path
):
    config = as_it_starts(tiny_prior_config(prior_data), "joint")
    config = config.replace({"prior.segment_start": "file"})
    target = ("star", "comet", *SHAPES_TARGET[:-1])
    config = with_split(config, SHAPES_SOURCE, target)
    config = config.replace({"data.eval_root": ""})
    train(config, "joint", tmp_path / "run", prior_run[0], log=silent)
    check_entries(config, tmp_path / "run", prior_run[0], {}, {"comet"})
    about = read_json(tmp_path / "run" / "about.json")["categories"]
    assert about["left_out"] == []  # it has no weights of source categories


def test_a_run_goes_on_with_its_own_categories_only(
    shapes_dir, decoder_run, transfer_run
):
    config = with_split(tiny_config(shapes_dir), SHAPES_SOURCE, SHAPES_TARGET)
    with pytest.raises(
        ConfigError, match=r"another configuration: split\.name"
    ):
        train(config, "transfer", transfer_run[0], decoder_run[0], log=silent)


@pytest.mark.usefixtures("eager")
def test_pictures_may_have_another_size(shapes_dir, decoder_run, tmp_path):
    """No shape of the conv attention depends on it, nor of the decoder."""
    config = as_it_starts(tiny_config(shapes_dir), "transfer")
    config = config.replace(
        {
            "image.size": 80,
            "image.resize": 80,
            "model.normalization": "max",
        }
    )
    lines = []
    run = tmp_path / "run"
    train(config, "transfer", run, decoder_run[0], log=lines.append)
    before, after = weights(decoder_run[0]), weights(run)
    for name, array in before.items():
        np.testing.assert_array_equal(after[name], array, name)
    told = [line for line in lines if "were trained otherwise" in line]
    assert told == [
        f"The weights of {decoder_run[0]} were trained otherwise: "
        "model.normalization is 'none' there and 'max' here."
    ]


def test_weights_that_are_not_those_of_the_runs_categories(
    shapes_dir, decoder_run, tmp_path
):
    """A config.json of another split beside the checkpoint, say."""
    start = shutil.copytree(decoder_run[0], tmp_path / "start")
    found = load_latest(start / CHECKPOINTS)
    name = "model/attention/att/cls_embed/kernel"
    arrays = {**found.arrays, name: found.arrays[name][:-1]}
    save_checkpoint(
        start / CHECKPOINTS, Checkpoint(found.step + 1, arrays, found.meta)
    )
    config = tiny_config(shapes_dir)
    with pytest.raises(DataError, match=r"cls_embed/kernel' has shape \(19, 1"):
        train(config, "transfer", tmp_path / "t", start, log=silent)
    assert not (tmp_path / "t").exists()


def test_names_of_the_tests_are_those_of_the_data():
    assert "comet" not in KNOWN
    assert "toadstool" not in KNOWN
