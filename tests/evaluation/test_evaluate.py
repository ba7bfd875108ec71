"""Evaluation of a trained run against scores made by hand."""

import dataclasses
import json

import numpy as np
import pytest
from readers import read_voc
from tiny import read_json, run_script

from keras_wsss.data.images import read_image
from keras_wsss.errors import ConfigError, DataError
from keras_wsss.evaluation.baselines import BASELINE_THRESHOLDS
from keras_wsss.evaluation.evaluate import evaluate
from keras_wsss.evaluation.table import summary
from keras_wsss.inference.one_picture import OnePicture
from keras_wsss.inference.predictor import RAW, augmented_views


@pytest.fixture(scope="module")
def records(predictor, shapes_dir):
    return read_voc(shapes_dir / "target", "val", predictor.split).records[:3]


@pytest.fixture(scope="module")
def results(predictor, records):
    return evaluate(predictor, records, log=lambda _: None)


def row(results, **wanted):
    found = [r for r in results["rows"] if wanted.items() <= r.items()]
    assert len(found) == 1, wanted
    return found[0]


def mean_iou_by_hand(split, truths, masks):
    """Sums over all pictures; a class that is nowhere does not count."""
    scores = {}
    for category in (0, *split.scored_ids):
        common = union = 0
        for truth, mask in zip(truths, masks, strict=True):
            valid = truth != 255
            one, other = truth == category, mask == category
            common += (one & other & valid).sum()
            union += ((one | other) & valid).sum()
        if union:
            scores[category] = common / union
    return np.mean(list(scores.values()))


@pytest.mark.parametrize("tags", ["oracle", "predicted"])
@pytest.mark.parametrize(
    "inference", ["raw", "augmented", "raw + refined", "augmented + refined"]
)
def test_rows_equal_predictions_scored_by_hand(
    predictor, records, results, tags, inference
):
    split, config = predictor.split, predictor.config
    truths, masks = [], []
    scales = config.inference.scales if "augmented" in inference else ()
    for record in records:
        truths.append(record.mask.read())
        masks.append(
            predictor(
                record.image_path,
                tags=record.labels if tags == "oracle" else None,
                views=augmented_views(scales) or RAW,
                refine="refined" in inference,
            ).mask
        )
    found = row(results, tags=tags, inference=inference)
    assert found["method"] == "TransferNet"
    assert found["milliseconds"] > 0
    assert found["mean_iou"] == pytest.approx(
        mean_iou_by_hand(split, truths, masks), abs=1e-9
    )


def test_all_background_scores_its_share(predictor, records, results):
    truths = [record.mask.read() for record in records]
    masks = [np.zeros_like(truth) for truth in truths]
    expected = mean_iou_by_hand(predictor.split, truths, masks)
    found = row(results, method="all background")
    assert found["mean_iou"] == pytest.approx(expected)
    assert found["per_class"]["background"]["recall"] == 1


def test_class_maps_get_their_best_threshold(predictor, records, results):
    scores = []
    for threshold in BASELINE_THRESHOLDS:
        truths, masks = [], []
        for record in records:
            image = read_image(record.image_path)
            truths.append(record.mask.read())
            picture = OnePicture(predictor, image)
            maps = np.maximum(picture.maps(record.labels)["class_maps"], 0)
            maps /= np.maximum(maps.max((1, 2), keepdims=True), 1e-12)
            maps = picture.enlarge(maps)
            ids = np.array(record.labels)[maps.argmax(0)]
            masks.append(np.where(maps.max(0) > threshold, ids, 0))
        scores.append(mean_iou_by_hand(predictor.split, truths, masks))
    found = row(results, method="class activation maps")
    assert found["mean_iou"] == pytest.approx(max(scores), abs=1e-9)
    assert found["threshold"] == BASELINE_THRESHOLDS[int(np.argmax(scores))]


def test_tagging_is_scored_over_scored_categories(predictor, records, results):
    tagging = results["tagging"]
    assert tagging["pictures"] == len(records)
    assert list(tagging["per_category"]) == list(predictor.split.scored)
    for name, scores in tagging["per_category"].items():
        present = predictor.split.id_of(name)
        assert scores["positives"] == sum(
            present in record.labels for record in records
        )


def test_results_are_plain_json_and_readable(results):
    assert json.loads(json.dumps(results, allow_nan=False)) is not None
    text = summary(results)
    assert text.startswith("# Results on 3 pictures")
    for part in ("class activation maps", "augmented + refined", "all backgr"):
        assert part in text
    assert "## Tagger, augmented scores" in text
    text = summary({**results, "absent_categories": ["star", "disc"]})
    assert (
        text.splitlines()[2] == "No picture shows star, disc: not in any mean."
    )


def test_parts_can_be_left_out(predictor, records):
    lean = evaluate(
        predictor,
        records[:1],
        augment=False,
        refine=False,
        baselines=False,
        log=lambda _: None,
    )
    assert [r["inference"] for r in lean["rows"]] == ["raw", "raw"]
    assert "Results on 1 pictures" in summary(lean)


def test_nothing_is_computed_twice_between_rows(
    predictor, records, monkeypatch
):
    made = []  # holds the pictures, so that none gets the id of another
    once = OnePicture._once

    def noting(self, key, work):
        def working():
            made.append((self, key))
            return work()

        return once(self, key, working)

    monkeypatch.setattr(OnePicture, "_once", noting)
    evaluate(predictor, records, baselines=False, log=lambda _: None)
    assert len(made) == len(set(made)) > 0


def test_no_picture_is_an_error(predictor):
    with pytest.raises(DataError, match="no picture to evaluate"):
        evaluate(predictor, [])


def test_mask_of_another_size_is_named(predictor, records):
    class Small:
        def read(self):
            return np.zeros((3, 4), np.uint8)

    record = dataclasses.replace(records[0], mask=Small())
    with pytest.raises(DataError, match=r"val_\d+\.jpg: .* its mask \(3, 4\)"):
        evaluate(predictor, [record])


def test_evaluate_command(transfer_run, shapes_dir, tmp_path):
    """The whole command, from the run folder alone."""
    done = run_script(
        "evaluate.py",
        f"--workdir={transfer_run[0]}",
        f"--out={tmp_path}",
        "--limit=2",
        "--noaugment",
        "--norefine",
        "--config=tests/tiny.py",
        "--config.inference.tag_threshold=0.01",
        data=shapes_dir,
    )
    assert done.returncode == 0, done.stderr
    written = read_json(tmp_path / "results.json")
    assert written["inference"]["tag_threshold"] == 0.01
    assert written["tagging"]["threshold"] == 0.01
    assert written["pictures"] == 2
    text = (tmp_path / "results.md").read_text()
    assert text.startswith("# Results on 2 pictures")
    assert text in done.stdout
    report = (tmp_path / "report.html").read_text()
    assert report.count('<article class="shot"') == 2
    assert f"{tmp_path}/report.html" in done.stdout


def test_crf_is_the_networks_own_and_the_published_one_is_dense_crf(
    predictor, records, monkeypatch
):
    with pytest.raises(ConfigError, match="--dense_crf"):
        evaluate(predictor, records[:1], own_crf=True)
    # One that changes nothing gives what was before it.
    monkeypatch.setattr(
        "keras_wsss.inference.dense_crf.dense_crf", lambda image, before: before
    )
    found = evaluate(
        predictor, records[:1], augment=False, refine=False, dense_crf=True,
        baselines=False, log=lambda _: None,
    )  # fmt: skip
    for tags in ("oracle", "predicted"):
        raw = row(found, tags=tags, inference="raw")
        dense = row(found, tags=tags, inference="raw + dense CRF")
        assert dense["mean_iou"] == raw["mean_iou"]
        assert dense["milliseconds"] > 0
        assert not dense["default"]
