"""Evaluation without masks, and masks where nothing is."""

import shutil

import numpy as np
import pytest
from tiny import read_json, run_script

from keras_wsss.evaluation.report.page import html_of, run_report
from keras_wsss.evaluation.report.pictures import Album
from keras_wsss.evaluation.table import summary
from keras_wsss.evaluation.tagged import (
    FalsePositives,
    evaluate_tagged,
    known_negatives,
    score_negatives,
)
from keras_wsss.inference.predictor import Predictor
from keras_wsss.tagging import TagRule


@pytest.fixture(scope="module")
def heldout(transfer_run):
    return read_json(transfer_run[0] / "heldout.json")


@pytest.fixture(scope="module")
def evaluated(predictor, heldout):
    album = Album(predictor.split)
    return evaluate_tagged(predictor, heldout["tagged"], None, album), album


def _with_rule(predictor, rule):
    return Predictor(
        predictor.net, predictor.split, predictor.config, rule=rule
    )


def test_the_tagger_is_scored_as_it_is_asked(predictor, heldout, evaluated):
    results, _ = evaluated
    tagging = results["tagging"]
    assert results["rows"] == []
    assert results["pictures"] == len(heldout["tagged"])
    named = [predictor(entry["image"]).tags for entry in heldout["tagged"]]
    known = [
        tuple(sorted(map(predictor.split.id_of, entry["labels"])))
        for entry in heldout["tagged"]
    ]
    exact = [a == b for a, b in zip(named, known, strict=True)]
    assert tagging["exact"] == np.mean(exact)
    found = sum(row["predicted"] for row in tagging["per_category"].values())
    assert found == sum(map(len, named))


def test_the_page_shows_pictures_tags_and_no_truth(
    predictor, transfer_run, heldout, evaluated
):
    results, album = evaluated
    page = html_of(run_report(transfer_run[0], predictor, results, album))
    assert page.count('<article class="shot"') == len(heldout["tagged"])
    assert "tags right" in page
    assert "Calibration" in page
    assert "<figcaption>truth" not in page
    assert "only their tags" in page
    text = summary(results)
    assert "only their tags" in text
    assert "calibration error" in text


def test_masks_where_nothing_is_are_counted():
    counts = FalsePositives("plain")
    counts.add(np.zeros((2, 2), np.uint8))
    counts.add(np.array([[0, 3], [0, 0]], np.uint8))
    assert counts.result() == {
        "of": "plain", "pictures": 2, "with_mask": 1, "share": 0.125,
    }  # fmt: skip


def test_a_tagger_that_names_nothing_has_no_false_positive(
    predictor, shapes_dir, transfer_run
):
    folder = shapes_dir / "target" / "without"
    pictures = known_negatives(transfer_run[0], str(folder))
    assert [len(paths) for paths in pictures.values()] == [
        len(list((folder / "plain").iterdir())),
        len(list((folder / "source_shapes").iterdir())),
        read_json(transfer_run[0] / "results.json")["data"][
            "heldout_negatives"
        ],
    ]
    few = {heading: paths[:2] for heading, paths in pictures.items()}
    for row in score_negatives(_with_rule(predictor, TagRule(1, 1)), few):
        assert (row["pictures"], row["with_mask"], row["share"]) == (2, 0, 0)
    always = score_negatives(_with_rule(predictor, TagRule(1, 0)), few)
    assert all(row["with_mask"] > 0 for row in always)


def test_a_run_without_evaluation_masks_scores_its_tags(
    transfer_run, shapes_dir, tmp_path
):
    run = shutil.copytree(transfer_run[0], tmp_path / "run")
    text = (run / "config.json").read_text()
    root = f'"eval_root": "{shapes_dir}/target"'
    assert root in text
    (run / "config.json").write_text(text.replace(root, '"eval_root": ""'))
    done = run_script(
        "evaluate.py", f"--workdir={run}", "--limit=2", "--checkpoint=last"
    )
    assert done.returncode == 0, done.stderr
    results = read_json(run / "evaluation" / "results.json")
    assert results["truth"] == "tags"
    assert [row["of"] for row in results["without"]] == [
        "source pictures held out of training"
    ]
    assert (run / "evaluation" / "report.html").exists()
    (run / "heldout.json").write_text('{"tagged": [], "negatives": []}')
    done = run_script("evaluate.py", f"--workdir={run}", "--checkpoint=best")
    assert done.returncode == 2
    assert "keep_best=True" in done.stderr
    done = run_script("evaluate.py", f"--workdir={run}")
    assert done.returncode == 2
    assert "held no tagged picture out" in done.stderr
