"""Whole runs in this process: what they leave, and what they refuse."""

import shutil

import numpy as np
import pytest
import tensorflow as tf
from tiny import STEPS, read_json, tiny_config

from keras_wsss.checkpoints import Checkpoint, load_latest, save_checkpoint
from keras_wsss.config import to_json
from keras_wsss.errors import ConfigError, DataError
from keras_wsss.run_folder import (
    CHECKPOINTS,
    ENCODER,
    keep_encoder,
    load_run_encoder,
    read_phase,
)
from keras_wsss.training.claim import binding_differences
from keras_wsss.training.run import train
from keras_wsss.training.tally import NotFiniteError


def silent(line):
    pass


@pytest.fixture
def config(shapes_dir):
    return tiny_config(shapes_dir)


@pytest.fixture
def decoder_copy(decoder_run, tmp_path):
    return shutil.copytree(decoder_run[0], tmp_path / "decoder")


def test_run_folder_holds_what_identifies_the_run(decoder_run, shapes_dir):
    workdir = decoder_run[0]
    results = read_json(workdir / "results.json")
    assert results["phase"] == "decoder"
    assert results["steps"] == STEPS
    assert results["seed"] == 0
    assert {"keras", "tensorflow", "numpy"} <= results["versions"].keys()
    counts = results["data"]
    assert counts["source_pictures"] + counts["heldout_pictures"] == 30
    assert counts["heldout_pictures"] > 0
    assert counts["target_pictures"] == 0  # this phase reads none
    assert results["heldout"].keys() == {
        "mask_iou", "attention_on_object", "attention_on_padding",
    }  # fmt: skip
    about = read_json(workdir / "about.json")  # there from the beginning
    devices = about.pop("devices")
    assert f"Computing on {', '.join(devices)}." in decoder_run[1].stdout
    pictures = about.pop("pictures")
    assert pictures["source"]["pictures"] == counts["source_pictures"]
    assert about == {
        "data": counts,
        "versions": results["versions"],
        "compute_dtype": "float32",
    }
    saved = read_json(workdir / "config.json")
    assert saved["train"]["deterministic"] is True
    assert read_phase(workdir) == {"phase": "decoder", "init_from": None}


def test_tensorboard_scalars(transfer_run):
    tags = set()
    for path in (transfer_run[0] / "events").glob("*tfevents*"):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            tags |= {value.tag for value in event.summary.value}
    assert {
        "train/class_loss", "train/mask_loss", "train/tag_loss",
        "train/source_accuracy", "train/target_accuracy",
        "train/source_class_loss", "train/target_class_loss",
        "train/mask_accuracy", "train/learning_rate",
        "speed/pairs_per_second", "heldout_source/mask_iou",
    } <= tags  # fmt: skip


def test_progress_lines_tell_losses_rate_and_time(transfer_run):
    line = next(
        text for text in transfer_run[1] if text.startswith(f"step {STEPS}/")
    )
    for part in ("class_loss", "mask_loss", "pairs/s", "min left"):
        assert part in line
    assert any("held-out source: mask_iou" in text for text in transfer_run[1])


def test_runs_of_one_encoder_share_its_file(decoder_run, transfer_run):
    one, other = (
        next((run[0] / ENCODER).glob("*.npz"))
        for run in (decoder_run, transfer_run)
    )
    assert one.samefile(other)


@pytest.mark.parametrize("why", ["no links", "other weights", "no run before"])
def test_an_encoder_that_cannot_be_shared_is_copied(
    predictor, transfer_run, tmp_path, monkeypatch, why
):
    before = tmp_path / "before"
    shutil.copytree(transfer_run[0] / ENCODER, before / ENCODER)
    (path,) = (before / ENCODER).glob("*.npz")
    if why == "no links":

        def refuse(*paths):
            raise OSError("another device")

        monkeypatch.setattr("os.link", refuse)
    elif why == "other weights":
        arrays = {
            k: a + 1 for k, a in load_latest(before / ENCODER).arrays.items()
        }
        save_checkpoint(before / ENCODER, Checkpoint(0, arrays, {}))
    run = tmp_path / "run"
    keep_encoder(predictor.net, run, None if why == "no run before" else before)
    (own,) = (run / ENCODER).glob("*.npz")
    assert not own.samefile(path)
    shutil.rmtree(before)
    load_run_encoder(predictor.net, run)


def test_a_shared_encoder_outlives_the_first_run(
    predictor, transfer_run, tmp_path
):
    before, run = tmp_path / "before", tmp_path / "run"
    shutil.copytree(transfer_run[0] / ENCODER, before / ENCODER)
    keep_encoder(predictor.net, run, before)
    expected = load_latest(before / ENCODER).arrays
    shutil.rmtree(before)
    found = load_latest(run / ENCODER).arrays
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.usefixtures("eager")
def test_transfer_starts_from_the_decoders_weights(
    config, decoder_run, tmp_path
):
    """With a learning rate of 0, it also ends with them."""
    config = config.replace(
        {
            "phases.transfer.steps": 1,
            "phases.transfer.learning_rate": 0.0,
            "phases.transfer.final_learning_rate": 0.0,
        }
    )
    train(config, "transfer", tmp_path / "t", decoder_run[0], log=silent)
    one = load_latest(decoder_run[0] / CHECKPOINTS).arrays
    other = load_latest(tmp_path / "t" / CHECKPOINTS).arrays
    names = [name for name in one if name.startswith("model/")]
    assert len(names) > 10
    for name in names:
        np.testing.assert_array_equal(one[name], other[name])


@pytest.mark.usefixtures("eager")
def test_transfer_runs_without_any_target_mask(
    config, shapes_dir, decoder_run, tmp_path
):
    """No mask of a target picture can have been read: there is none."""
    target = tmp_path / "target"
    shutil.copytree(shapes_dir / "target" / "JPEGImages", target / "images")
    shutil.copy(shapes_dir / "target" / "train_tags.csv", target)
    config = config.replace(
        {
            "data.target_images": str(target / "images"),
            "data.target_tags": str(target / "train_tags.csv"),
            "data.eval_root": "",
            "phases.transfer.steps": 1,
        }
    )
    results = train(
        config, "transfer", tmp_path / "run", decoder_run[0], log=silent
    )
    counts = results["data"]
    assert counts["target_pictures"] + counts["heldout_tagged_pictures"] == 16
    assert "mask_loss" in results["last"]


def test_finished_run_is_left_alone(shapes_dir, transfer_run, decoder_run):
    workdir = transfer_run[0]
    before = (workdir / "results.json").read_bytes()
    lines = []
    again = train(
        tiny_config(shapes_dir),
        "transfer",
        workdir,
        decoder_run[0],
        log=lines.append,
    )
    assert again == read_json(workdir / "results.json")
    assert (workdir / "results.json").read_bytes() == before
    assert lines == [
        f"{workdir} holds the finished run; there is nothing to do."
    ]


def test_another_configuration_in_the_same_folder(config, decoder_run):
    config = config.replace(
        {
            "train.deterministic": True,
            "train.seed": 5,
            "train.log_every": 99,  # changes no result, so it may differ
        }
    )
    with pytest.raises(
        ConfigError,
        match=r"another configuration: train.seed is 0 there and 5 here\. ",
    ):
        train(config, "decoder", decoder_run[0], log=silent)


def test_a_cache_that_the_run_did_not_begin_with(config, decoder_run):
    """Mirroring would be drawn otherwise; which folder does not matter."""
    config = config.replace(
        {
            "train.deterministic": True,
            "cache.folder": "cache",
        }
    )
    with pytest.raises(
        ConfigError, match=r"cache\.folder is 'not used' there and 'used' here"
    ):
        train(config, "decoder", decoder_run[0], log=silent)
    other = config.replace({"cache.folder": "b"})
    assert not binding_differences(to_json(config), to_json(other))


def test_another_phase_in_the_same_folder(config, decoder_run):
    config = config.replace({"train.deterministic": True})
    with pytest.raises(ConfigError, match="phase is 'decoder' there"):
        train(config, "attention", decoder_run[0], log=silent)


def test_start_from_the_wrong_phase(config, decoder_copy, tmp_path):
    text = (decoder_copy / "phase.json").read_text()
    (decoder_copy / "phase.json").write_text(text.replace("decoder", "joint"))
    with pytest.raises(ConfigError, match="is a run of --phase joint; --phase"):
        train(config, "transfer", tmp_path / "t", decoder_copy, log=silent)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model.attention_units", 8),
        ("model.guide_maps", True),
        ("model.judge", "tagger"),
    ],
)
def test_start_from_another_network(
    config, decoder_run, tmp_path, field, value
):
    group, name = field.split(".")
    config = config.replace({f"{group}.{name}": value})
    with pytest.raises(
        ConfigError, match=f"differs .*{field} is .* Give them the values of"
    ):
        train(config, "transfer", tmp_path / "t", decoder_run[0], log=silent)
    assert not (tmp_path / "t").exists()


def test_start_from_what_is_no_run(config, tmp_path):
    with pytest.raises(ConfigError, match="is the folder a training run"):
        train(config, "transfer", tmp_path / "t", tmp_path, log=silent)


def test_start_from_a_run_without_checkpoint(config, decoder_copy, tmp_path):
    shutil.rmtree(decoder_copy / CHECKPOINTS)
    with pytest.raises(ConfigError, match="holds no sound checkpoint"):
        train(config, "transfer", tmp_path / "t", decoder_copy, log=silent)
    assert not (tmp_path / "t").exists()


def test_wrong_weights_path_does_not_claim_the_folder(config, tmp_path):
    config = config.replace({"model.encoder_weights": "missing.h5"})
    with pytest.raises(
        ConfigError, match=r"missing.h5 does not exist; check the path, or"
    ):
        train(config, "decoder", tmp_path / "d", log=silent)
    assert not (tmp_path / "d").exists()


def test_transfer_needs_target_pictures(config, decoder_run, tmp_path):
    config = config.replace({"phases.transfer.target_pictures": 0})
    with pytest.raises(ConfigError, match=r"transfer\.target_pictures is 0"):
        train(config, "transfer", tmp_path / "t", decoder_run[0])


def test_locations_are_asked_for(config, tmp_path):
    config = config.replace({"data.source_images": ""})
    with pytest.raises(ConfigError, match=r"data\.source_images is empty; set"):
        train(config, "decoder", tmp_path / "d", log=silent)


def test_bad_picture_is_named(config, shapes_dir, tmp_path):
    images = tmp_path / "images"
    shutil.copytree(shapes_dir / "source" / "images", images)
    for path in images.iterdir():
        path.write_bytes(path.read_bytes()[:400])
    config = config.replace(
        {
            "data.source_images": str(images),
            "data.heldout": 0.0,
        }
    )
    with pytest.raises(DataError, match=r"source_\d+\.jpg"):
        train(config, "decoder", tmp_path / "d", log=silent)


@pytest.mark.usefixtures("eager")
def test_loss_that_is_not_finite_names_step_and_pictures(
    config, decoder_copy, tmp_path
):
    """The start is spoiled: one weight is not a number."""
    start = load_latest(decoder_copy / CHECKPOINTS)
    arrays = dict(start.arrays)
    arrays["model/attention/att/att_w/kernel"] = np.full_like(
        arrays["model/attention/att/att_w/kernel"], np.nan
    )
    save_checkpoint(
        decoder_copy / CHECKPOINTS,
        Checkpoint(start.step + 1, arrays, start.meta),
    )
    with pytest.raises(NotFiniteError) as caught:
        train(config, "transfer", tmp_path / "t", decoder_copy, log=silent)
    text = str(caught.value)
    assert "loss is not finite at step 0" in text
    assert text.count("source_") == text.count("train_") == 4
    assert "Lower the learning rate" in text
    assert load_latest(tmp_path / "t" / CHECKPOINTS) is None
    assert not (tmp_path / "t" / "results.json").exists()
