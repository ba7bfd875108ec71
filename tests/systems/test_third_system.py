"""A system that nobody knew goes through the same code as the others."""

from pathlib import Path

import numpy as np
import pytest
import toy_system
from readers import read_voc
from tiny import tiny_config

from keras_wsss import systems
from keras_wsss.config import Config
from keras_wsss.config_files import load_config
from keras_wsss.errors import ConfigError
from keras_wsss.evaluation.evaluate import evaluate
from keras_wsss.evaluation.gallery import gallery_rows
from keras_wsss.inference.predictor import Predictor
from keras_wsss.serving.build import export_model
from keras_wsss.serving.options import ServingOptions
from keras_wsss.training.run import train


@pytest.fixture(scope="module")
def config(shapes_dir):
    systems.register_system(toy_system.ToySystem())
    joint = {
        "steps": 6,
        "warmup_steps": 0,
        "learning_rate": 0.1,
        "final_learning_rate": 0.1,
        "target_pictures": 4,
    }
    return tiny_config(shapes_dir).replace(
        {"system": "toy", "phases": {"joint": joint}}
    )


@pytest.fixture(scope="module")
def run(config, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("toy") / "run"
    lines = []
    results = train(config, "joint", workdir, log=lines.append)
    return workdir, results, lines


@pytest.fixture(scope="module")
def toy_predictor(run):
    return Predictor.from_workdir(run[0])


def test_it_is_short():
    assert len(Path(toy_system.__file__).read_text().splitlines()) < 80


def test_it_is_trained(run, config):
    workdir, results, lines = run
    assert results["steps"] == 6
    losses = [line for line in lines if "tag_loss" in line]
    first, last = (float(line.split()[3]) for line in (losses[0], losses[-1]))
    assert last < first
    assert (workdir / "encoder").exists()
    again = train(config, "joint", workdir, log=lines.append)
    assert again["steps"] == 6
    assert "nothing to do" in lines[-1]


def test_it_predicts_and_is_scored(toy_predictor, config):
    root = config.data.eval_root
    records = read_voc(root, "val", toy_predictor.split).records
    results = evaluate(toy_predictor, records, log=print)
    assert {row["method"] for row in results["rows"]} >= {"Toy"}
    assert results["pictures"] == len(records)
    mask = toy_predictor(np.full((40, 60, 3), 99, np.uint8), ["star"]).mask
    assert mask.shape == (40, 60)
    assert set(np.unique(mask)) <= {0, toy_predictor.split.find("star")}
    (row,) = gallery_rows(toy_predictor, records[:1])
    assert [panel.heading for panel in row.panels] == [
        "picture", "class map", "mask", "truth",
    ]  # fmt: skip


def test_it_is_served(toy_predictor, tmp_path):
    options = ServingOptions(max_pixels=40_000, max_tags=3, max_batch=4)
    manifest = export_model(toy_predictor, tmp_path / "1", options, log=print)
    assert manifest["check"]["masks"] > 0


def test_a_file_without_a_base_starts_from_what_the_system_says(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text("system: toy\ntrain.seed: 1\n")
    changes = {"system": "toy", "name": "own", "train.seed": 1}
    try:
        for start in ({}, {"phases.joint.steps": 7}):
            system = toy_system.ToySystem()
            system.start = start
            systems.register_system(system)
            assert load_config(path) == Config().replace({**changes, **start})
    finally:
        systems.register_system(toy_system.ToySystem())
    with pytest.raises(ConfigError, match="Nothing is published for"):
        Config.published("toy")


def test_its_phase_belongs_to_it(config, tmp_path):
    with pytest.raises(ConfigError, match="use --phase joint"):
        train(config, "decoder", tmp_path / "run")


def test_a_run_of_another_system_is_no_start(run, prior_data, tmp_path):
    from tiny_prior import tiny_prior_config

    with pytest.raises(ConfigError, match="system"):
        train(tiny_prior_config(prior_data), "joint", tmp_path / "run", run[0])
