"""Pseudo labels of the prior system: gate by the tags, then its own CRF."""

import numpy as np
import pytest
from tiny import read_json, run_script
from tiny_prior import tiny_prior_config

from keras_wsss.config import split_of
from keras_wsss.data.images import read_image
from keras_wsss.data.masks import read_palette_mask
from keras_wsss.data.pseudo_masks import MANIFEST, mask_path, with_pseudo_masks
from keras_wsss.data.records import Dataset
from keras_wsss.inference.one_picture import OnePicture
from keras_wsss.inference.predictor import Predictor
from keras_wsss.inference.pseudo_labels import (
    PseudoLabelOptions,
    write_pseudo_labels,
)
from keras_wsss.systems.quality import Quality, View
from keras_wsss.training.inputs import read_target_records

VIEWS = (View(), View(mirror=True))
SETTINGS = PseudoLabelOptions(Quality(VIEWS, own_crf=True), margin=0.1)
MADE_BY = {"weights": "w"}


@pytest.fixture(scope="module")
def predictor(prior_run):
    """With class scores that differ from cell to cell."""
    predictor = Predictor.from_workdir(prior_run[0])
    scores = predictor.net.segmenter.get_layer("segment_scores")
    rng = np.random.default_rng(0)
    scores.set_weights([rng.normal(0, 1, w.shape) for w in scores.weights])
    return predictor


@pytest.fixture(scope="module")
def records(prior_data):
    config = tiny_prior_config(prior_data)
    return read_target_records(config, split_of(config)).records[:5]


@pytest.fixture(scope="module")
def folder(predictor, records, tmp_path_factory):
    out = tmp_path_factory.mktemp("pseudo") / "labels"
    write_pseudo_labels(predictor, records, out, SETTINGS, MADE_BY)
    return out


def masks_in(folder, records):
    return [read_palette_mask(mask_path(folder, r.image_id)) for r in records]


def test_masks_are_those_after_gate_and_crf(predictor, records, folder):
    drawn = changed = 0
    for record, mask in zip(records, masks_in(folder, records), strict=True):
        picture = OnePicture(predictor, read_image(record.image_path))
        after, before = (
            np.mean(
                [
                    picture.probabilities(record.labels, (view,), own_crf)
                    for view in VIEWS
                ],
                axis=0,
            )
            for own_crf in (True, False)
        )
        ids = np.array(record.labels)
        expected = np.where(
            after.max(axis=0) > 0.5, ids[after.argmax(axis=0)], 0
        )
        unsure = np.abs(after.max(axis=0) - 0.5) < 0.1
        np.testing.assert_array_equal(mask, np.where(unsure, 255, expected))
        drawn += np.count_nonzero(expected)
        changed += np.abs(after - before).max() > 0.1
    assert drawn
    assert changed


def test_everything_is_counted(records, folder):
    manifest = read_json(folder / MANIFEST)
    assert manifest["complete"] is True
    assert manifest["pictures"] == manifest["written"] == len(records)
    masks = np.stack(masks_in(folder, records))
    assert manifest["pixels"]["background"] == np.count_nonzero(masks == 0)
    assert manifest["ignored"] == pytest.approx(np.mean(masks == 255))


def test_an_interrupted_folder_is_finished(
    predictor, records, folder, tmp_path
):
    def interrupted(items):
        for number, item in enumerate(items):
            if number == 3:
                raise KeyboardInterrupt
            yield item

    out = tmp_path / "labels"
    with pytest.raises(KeyboardInterrupt):
        write_pseudo_labels(
            predictor, records, out, SETTINGS, MADE_BY, watch=interrupted
        )
    assert read_json(out / MANIFEST)["complete"] is False
    begun = len(list(out.rglob("*.png")))
    assert 0 < begun <= 3  # the last may have been under way
    manifest = write_pseudo_labels(predictor, records, out, SETTINGS, MADE_BY)
    assert manifest["written"] == len(records) - begun
    for one, other in zip(
        masks_in(out, records), masks_in(folder, records), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_they_can_be_trained_on(predictor, records, folder):
    read = with_pseudo_masks(
        Dataset(tuple(records)), folder, predictor.split, 10**7
    )
    for record, mask in zip(
        read.records, masks_in(folder, records), strict=True
    ):
        np.testing.assert_array_equal(record.mask.read(), mask)


def test_command(prior_run, prior_data, tmp_path):
    out = tmp_path / "labels"
    done = run_script(
        "pseudo_labels.py",
        f"--workdir={prior_run[0]}",
        f"--out={out}",
        "--noaugment",
        data=prior_data,
    )
    assert done.returncode == 0, done.stderr
    manifest = read_json(out / MANIFEST)
    assert manifest["pictures"] == len(list(out.rglob("*.png"))) == 16
    assert manifest["made_by"]["own_crf"] is True
    assert manifest["made_by"]["refine"] is False
