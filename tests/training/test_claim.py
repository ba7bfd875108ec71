"""Whether a folder holds the run that a command describes."""

import hashlib
import json
import os
import shutil

import pytest
from tiny import STEPS, read_json, tiny_config

from keras_wsss.checkpoints import list_checkpoints
from keras_wsss.config_files import load_run_config
from keras_wsss.data.pseudo_masks import MANIFEST
from keras_wsss.errors import ConfigError
from keras_wsss.run_folder import CHECKPOINTS
from keras_wsss.training.claim import pictures_of
from keras_wsss.training.inputs import read_training_data
from keras_wsss.training.run import train


def silent(line):
    pass


def interrupted(run, folder):
    """A copy of a finished run as it was before its last checkpoint."""
    copy = shutil.copytree(run, folder)
    (copy / "results.json").unlink()
    list_checkpoints(copy / CHECKPOINTS)[-1].unlink()
    return copy


def moved(shapes_dir, folder):
    """A config of a copy of the data, but for the encoder's weights."""
    data = shutil.copytree(shapes_dir, folder)
    there = tiny_config(shapes_dir)
    config = tiny_config(data).replace(
        {
            "model.encoder_weights": there.model.encoder_weights,
            "train.examples": 0,
        }
    )
    return config, data


@pytest.mark.parametrize("form", ["{}/", "relative", "{}/../{name}"])
def test_a_start_may_be_written_in_several_ways(
    shapes_dir, decoder_run, transfer_run, form
):
    start = decoder_run[0]
    given = form.format(start, name=start.name)
    if form == "relative":
        given = os.path.relpath(start)
    lines = []
    results = train(
        tiny_config(shapes_dir),
        "transfer",
        transfer_run[0],
        given,
        log=lines.append,
    )
    assert results["phase"] == "transfer"
    assert "nothing to do" in lines[-1]


def test_another_start_is_another_run(
    shapes_dir, decoder_run, transfer_run, tmp_path
):
    other = shutil.copytree(decoder_run[0], tmp_path / "other")
    with pytest.raises(ConfigError, match=r"init_from is '.*' there and '.*/o"):
        train(
            tiny_config(shapes_dir),
            "transfer",
            transfer_run[0],
            other,
            log=silent,
        )


@pytest.mark.usefixtures("eager")
def test_data_may_have_moved(shapes_dir, decoder_run, transfer_run, tmp_path):
    run = interrupted(transfer_run[0], tmp_path / "run")
    config, data = moved(shapes_dir, tmp_path / "data")
    results = train(config, "transfer", run, decoder_run[0], log=silent)
    assert results["steps"] == STEPS
    # The other commands find them where they are now.
    noted = load_run_config(run)
    assert noted.data.target_images == str(data / "target" / "JPEGImages")
    assert noted.data.eval_root == str(data / "target")
    assert noted.train.examples == 6  # all else is as it began


def test_what_a_run_has_read_may_be_elsewhere(
    shapes_dir, decoder_run, tmp_path
):
    """The folder of pictures to score, and the weights that it keeps."""
    run = interrupted(decoder_run[0], tmp_path / "run")
    places = {
        "data.eval_images": str(tmp_path),
        "model.encoder_weights": str(tmp_path / "gone.h5"),
    }
    config = tiny_config(shapes_dir).replace(
        {**places, "train.deterministic": True}
    )
    lines = []
    assert train(config, "decoder", run, log=lines.append)["steps"] == STEPS
    assert f"{run} keeps its encoder; {tmp_path / 'gone.h5'} is not read." in (
        lines
    )
    noted = load_run_config(run)
    assert noted.data.eval_images == places["data.eval_images"]
    assert noted.model.encoder_weights == places["model.encoder_weights"]


def test_data_that_changed_are_told(
    shapes_dir, decoder_run, transfer_run, tmp_path
):
    run = interrupted(transfer_run[0], tmp_path / "run")
    config, data = moved(shapes_dir, tmp_path / "data")
    path = data / "target" / "train_tags.csv"
    lines = path.read_text().splitlines()
    known = read_json(run / "about.json")["pictures"]["target"]["pictures"]
    path.write_text("\n".join(lines[:-5]) + "\n")
    with pytest.raises(ConfigError, match=f"target: {known} pictures there"):
        train(config, "transfer", run, decoder_run[0], log=silent)
    # As many pictures, of which one has another label; in the old place, too.
    words = lines[1].split(",")
    changed = "star" if words[1] != "star" else "heart"
    lines[1] = ",".join([words[0], changed, *words[2:]])
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(ConfigError, match=r"read other data .target: as many"):
        train(config, "transfer", run, decoder_run[0], log=silent)


def test_pseudo_labels_of_another_model_are_other_data(shapes_dir, tmp_path):
    """Wherever they lie, and whatever pictures they are of."""
    config = tiny_config(shapes_dir)
    data = read_training_data(config, with_target=True)
    found = []
    for number, model in enumerate("aab"):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / MANIFEST).write_text(json.dumps({"made_by": model}))
        with_masks = config.replace({"data.target_masks": folder})
        found.append(pictures_of(data, with_masks))
    assert found[0] == found[1]
    assert found[0]["target"] != found[2]["target"]
    assert found[0]["source"] == found[2]["source"]


def test_the_digest_of_pictures_is_that_of_one_text(shapes_dir):
    """Runs of earlier versions have noted it."""
    config = tiny_config(shapes_dir)
    data = read_training_data(config, with_target=True)
    for part, records in (("source", data.source), ("target", data.target)):
        named = [[r.image_id, r.labels, r.uncertain] for r in records]
        text = json.dumps([named, None], sort_keys=True)
        assert pictures_of(data, config)[part] == {
            "pictures": len(records),
            "digest": hashlib.sha256(text.encode()).hexdigest(),
        }


def test_a_run_that_noted_no_pictures_keeps_its_places(
    shapes_dir, decoder_run, tmp_path
):
    """It is of an earlier version."""
    run = interrupted(decoder_run[0], tmp_path / "run")
    about = read_json(run / "about.json")
    about.pop("pictures")
    (run / "about.json").write_text(json.dumps(about))
    config, _ = moved(shapes_dir, tmp_path / "data")
    config = config.replace({"train.deterministic": True})
    with pytest.raises(ConfigError, match=r"data\.source_images is '.*' there"):
        train(config, "decoder", run, log=silent)


def test_more_steps_of_a_finished_run(shapes_dir, decoder_run, transfer_run):
    """The sentence says how to train longer."""
    config = tiny_config(shapes_dir)
    longer = config.replace({"phases.transfer.steps": STEPS + 1})
    run = transfer_run[0]
    with pytest.raises(
        ConfigError, match=f"to train longer, .* --init_from {run}"
    ):
        train(longer, "transfer", run, decoder_run[0], log=silent)
    longer = config.replace(
        {"phases.decoder.steps": STEPS + 1, "train.deterministic": True}
    )
    with pytest.raises(ConfigError, match="longer, give another --workdir"):
        train(longer, "decoder", decoder_run[0], log=silent)
