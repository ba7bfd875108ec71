"""Runs beside each other: paired differences, and the page of them."""

import math

import numpy as np
import pytest
from small_data import CAT, SPLIT

from keras_wsss.errors import ConfigError
from keras_wsss.evaluation.compare import (
    compare,
    comparison_note,
    comparison_text,
    evaluate_runs,
    used_columns,
)
from keras_wsss.evaluation.report.comparison import write_comparison
from keras_wsss.evaluation.report.pictures import Album

WAY = "predicted augmented"


def results(scores, mean_iou=0.5):
    row = {"inference": "augmented", "per_class": {"cat": {"iou": mean_iou}}}
    return {
        "rows": [
            {**row, "tags": "predicted", "mean_iou": mean_iou},
            {**row, "tags": "oracle", "mean_iou": mean_iou + 0.1},
        ],
        "tagging": {"mean_average_precision": 0.9, "exact": None},
        "per_picture": {
            "measure": "mean IoU",
            "first": WAY,
            "scores": {
                name: {"oracle raw": 0.0, WAY: value}
                for name, value in scores.items()
            },
        },
    }


FIRST = {"p": 0.5, "q": 0.5, "r": 0.5, "only here": 1.0}
OTHER = {"r": 0.1, "q": 0.5, "p": 0.6}


def test_differences_are_of_the_same_pictures():
    found = compare({"a": results(FIRST), "b": results(OTHER, 0.4)})
    assert found["pictures"] == 3
    assert found["left_out"] == {"a": 1, "b": 0}
    assert found["differences"] == {"b": {"p": 0.1, "q": 0.0, "r": -0.4}}
    first, other = found["rows"]
    assert "difference" not in first
    assert other["difference"] == pytest.approx(-0.1)
    expected = np.std([0.1, 0, -0.4], ddof=1) / math.sqrt(3)
    assert other["standard_error"] == pytest.approx(expected)
    assert (other["better"], other["worse"], other["same"]) == (1, 1, 1)
    assert (other["mean_iou"], other["oracle_mean_iou"]) == (0.4, 0.5)


def test_the_table_says_what_it_compares():
    text = comparison_text(compare({"a": results(FIRST), "b": results(OTHER)}))
    assert text.startswith("# 2 runs on 3 pictures")
    assert "-0.100" in text
    assert "left out of these: a 1" in text
    assert "exactly right" not in text  # undefined in all


def test_runs_without_a_common_picture_are_refused():
    with pytest.raises(ConfigError, match="--eval_root"):
        compare({"a": results(FIRST), "b": results({"z": 1.0})})
    with pytest.raises(ConfigError, match="at least two"):
        evaluate_runs(["a"])
    with pytest.raises(ConfigError, match="twice"):
        evaluate_runs(["a", "b/../a"])


def test_the_page_shows_the_mask_of_every_run(tmp_path):
    albums = {}
    hostile = '"><script>alert(1)</script>'
    for run in ("a", hostile):
        albums[run] = Album(SPLIT)
        for name in OTHER:
            truth = np.zeros((20, 30), np.uint8)
            truth[:, :9] = CAT
            image = np.full((20, 30, 3), 90, np.uint8)
            albums[run].add(name, image, truth, {WAY: truth}, {})
    runs = {"a": results(FIRST), hostile: results(OTHER)}
    found = compare(runs)
    path = tmp_path / "comparison.html"
    note, columns = comparison_note(found), used_columns(found)
    write_comparison(path, SPLIT, found, note, columns, runs, albums)
    text = path.read_text()
    assert hostile not in text
    # Picture, two masks and the truth of three pictures.
    assert text.count("<img ") == 3 * 4
    assert text.count('alt="Mask of a of p: cat 30%"') == 1
    assert "-0.100 ± 0.153" in text
