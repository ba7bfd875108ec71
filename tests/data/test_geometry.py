"""Annotations that mark nothing, or what their boxes contradict."""

import json

import numpy as np
import pytest
from small_data import SPLIT, Places, annotation, box, document, write_coco

from keras_wsss.data.verify import verify

WIDTH, HEIGHT = 40, 30
OUTLINE = (4, 6, 24, 14)  # left, top, right, bottom


def problems(tmp_path, changes, **fields):
    """What verify says of one changed annotation beside a sound one."""
    entry = annotation(7, 1, "cup", [box(*OUTLINE)])
    entry |= changes
    content = document(
        {1: (WIDTH, HEIGHT), 2: (WIDTH, HEIGHT)},
        [entry, annotation(8, 2, "cup", [box(*OUTLINE)])],
    )
    annotations, images = write_coco(tmp_path, content)
    data = Places(annotations, images).data(**fields)
    return verify(data, SPLIT)


def runs(by_rows: bool) -> dict:
    mask = np.zeros((HEIGHT, WIDTH), int)
    left, top, right, bottom = OUTLINE
    mask[top:bottom, left:right] = 1
    flat = mask.ravel("C" if by_rows else "F")
    ends = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff([0, *ends, flat.size]).tolist()
    return {"size": [HEIGHT, WIDTH], "counts": counts}


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        (
            {"segmentation": [box(6, 4, 14, 24)]},
            "contradicts its bbox",
            "x and y are swapped",
        ),
        (
            {"segmentation": [box(6, 9, 36, 21)]},
            "contradicts its bbox",
            "1.5 times as large",
        ),
        (
            {"segmentation": runs(by_rows=True)},
            "contradicts its bbox",
            "go along the rows",
        ),
        (
            {"bbox": [0, 0, 1, 1]},
            "contradicts its bbox",
            "one of them is wrong",
        ),
        (
            {"segmentation": [box(8, 12, 60, 44)], "bbox": [8, 12, 52, 32]},
            "wrong scale",
            "drawn on a larger one",
        ),
        (
            {"segmentation": [box(0.1, 0.1, 0.9, 0.8)]},
            "wrong scale",
            "between 0 and 1, as shares",
        ),
        (
            {"segmentation": [box(50, 6, 60, 14)]},
            "paints nothing",
            "outside of the 40 x 30 picture",
        ),
        (
            {"segmentation": [[4, 6, 14, 6, 24, 6]]},
            "paints nothing",
            "enclose no area",
        ),
    ],
)
def test_wrong_geometry_is_a_problem_with_its_reason(
    tmp_path, changes, kind, words
):
    changes = {"bbox": [4, 6, 20, 8], **changes}
    (problem,) = problems(tmp_path, changes).problems
    assert problem.kind == kind
    assert problem.record == "annotation 7 (image 1)"
    assert words in problem.text


@pytest.mark.parametrize(
    "changes",
    [
        {"bbox": [4, 6, 20, 8]},
        {"bbox": [3, 5, 22, 10]},  # rounded outwards
        {"segmentation": [box(30, 6, 60, 14)], "bbox": [30, 6, 10, 8]},
        {"segmentation": [box(30, 6, 41, 14)], "bbox": [30, 6, 11, 8]},
        {"bbox": []},
        {"bbox": None},
        {"bbox": "none"},
        {"bbox": [0, 0, 0, 0]},
        {"segmentation": runs(by_rows=False), "bbox": [4, 6, 20, 8]},
        {"iscrowd": 0.0},
        {"id": 7.0, "image_id": "1"},
    ],
)
def test_what_is_right_or_says_nothing_is_none(tmp_path, changes):
    findings = problems(tmp_path, changes)
    assert findings.problems == []
    assert findings.counts["source"].pairs == 2


def test_crumbs_are_dropped_and_counted(tmp_path):
    findings = problems(
        tmp_path, {"segmentation": [box(*OUTLINE), [1, 1], [2, 2, 3, 3]]}
    )
    assert findings.problems == []
    dropped = findings.counts["source"].dropped
    assert dropped == {"parts of fewer than three points": 2}


def test_faulty_annotations_can_be_left_out_and_are_counted(tmp_path):
    findings = problems(tmp_path, {"segmentation": [[1, 1]]})
    assert [problem.kind for problem in findings.problems] == ["bad polygon"]
    findings = problems(
        tmp_path, {"segmentation": [[1, 1]]}, skip_bad_annotations=True
    )
    assert findings.problems == []
    assert findings.counts["source"].pairs == 1
    assert findings.counts["source"].dropped == {"annotations with a fault": 1}


def test_crowds_are_counted_and_can_be_objects(tmp_path):
    crowd = {"iscrowd": 1, "segmentation": runs(by_rows=False)}
    counts = problems(tmp_path, crowd).counts["source"]
    assert counts.pairs == 1
    assert counts.dropped == {"crowds of cup, ignored in masks": 1}
    content = json.loads((tmp_path / "instances.json").read_text())
    content["annotations"][1] |= crowd
    (tmp_path / "instances.json").write_text(json.dumps(content))
    data = Places(tmp_path / "instances.json", tmp_path / "images").data()
    kinds = {problem.kind for problem in verify(data, SPLIT).problems}
    assert kinds == {"crowds only", "nothing to use"}
    data = data.replace({"crowds_as_instances": True})
    findings = verify(data, SPLIT)
    assert findings.problems == []
    assert findings.counts["source"].pairs == 2
