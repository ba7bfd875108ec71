"""Tag scores against a slow reference and hand-made rankings."""

import json

import numpy as np
import pytest

from keras_wsss.errors import DataError
from keras_wsss.evaluation.tagging import average_precision, tag_scores


def slow_average_precision(truth, scores):
    """Sums, over recall levels, the best precision at or beyond each."""
    points = []
    for threshold in sorted(set(scores), reverse=True):
        chosen = scores >= threshold
        hits = np.sum(truth & chosen)
        points.append((hits / truth.sum(), hits / chosen.sum()))
    area, reached = 0.0, 0.0
    for recall, _ in points:
        best = max(p for r, p in points if r >= recall)
        area += (recall - reached) * best
        reached = recall
    return area


@pytest.mark.parametrize("seed", range(8))
def test_equals_the_slow_reference_with_ties(seed):
    rng = np.random.default_rng(seed)
    truth = rng.random(40) < 0.3
    truth[0] = True
    scores = rng.random(40).round(1)
    assert average_precision(truth, scores) == pytest.approx(
        slow_average_precision(truth, scores)
    )


def test_hand_made_ranking():
    # Ranked: hit, miss, hit -> 1/2 * 1 + 1/2 * 2/3.
    truth = np.array([True, False, True])
    scores = np.array([0.9, 0.8, 0.7])
    assert average_precision(truth, scores) == pytest.approx(5 / 6)
    assert average_precision(truth, -scores) == pytest.approx(5 / 6)
    assert average_precision(~truth, scores) == pytest.approx(1 / 2)


def test_order_of_pictures_with_equal_scores_does_not_matter():
    scores = np.full(4, 0.5)
    for truth in ([1, 0, 0, 0], [0, 0, 0, 1]):
        assert average_precision(np.array(truth), scores) == 0.25


def test_no_positives_is_undefined():
    assert np.isnan(average_precision(np.zeros(3, bool), np.arange(3.0)))
    assert np.isnan(average_precision(np.zeros(0, bool), np.zeros(0)))


def test_scores_of_two_categories():
    truth = np.array([[1, 0], [1, 0], [0, 0], [1, 0]], bool)
    p = np.array([[0.9, 0.2], [0.6, 0.7], [0.6, 0.1], [0.1, 0.3]])
    result = tag_scores(truth, p, ["cat", "dog"], threshold=0.6)
    cat, dog = (result["per_category"][name] for name in ("cat", "dog"))
    # A probability equal to the threshold is a predicted tag.
    assert (cat["predicted"], cat["positives"]) == (3, 3)
    assert cat["precision"] == cat["recall"] == pytest.approx(2 / 3)
    assert cat["f1"] == pytest.approx(2 / 3)
    assert dog["average_precision"] is None
    assert dog["recall"] is None
    assert (dog["precision"], dog["f1"]) == (0, 0)
    # Together: 2 hits, 4 predicted, 3 true.
    assert result["precision"] == pytest.approx(2 / 4)
    assert result["recall"] == pytest.approx(2 / 3)
    assert result["f1"] == pytest.approx(4 / 7)
    # Means leave out the category that no picture has.
    assert result["mean_average_precision"] == cat["average_precision"]
    assert result["mean_f1"] == cat["f1"]
    json.dumps(result, allow_nan=False)


def test_nothing_predicted_has_no_precision():
    result = tag_scores(np.array([[True]]), np.array([[0.1]]), ["cat"])
    assert result["precision"] is None
    assert result["recall"] == 0


def test_bad_input_is_named():
    with pytest.raises(DataError, match="probability of 'dog' in picture 1"):
        tag_scores(
            np.ones((2, 2), bool),
            np.array([[0, 0], [0, np.nan]]),
            ["cat", "dog"],
        )
    with pytest.raises(DataError, match=r"\[pictures, 2\]"):
        tag_scores(np.ones((2, 3), bool), np.ones((2, 2)), ["cat", "dog"])
