"""Tag scores against a slow reference and hand-made rankings."""

import json

import numpy as np
import pytest

from keras_wsss.config import Config
from keras_wsss.errors import DataError
from keras_wsss.tagging import (
    TagRule,
    average_precision,
    calibration,
    choose_rule,
    rule_of,
    tag_scores,
)


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
    result = tag_scores(truth, p, ["cat", "dog"], TagRule(0.6, 0.6))
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
    truth, scores = np.array([[True], [False]]), np.array([[0.1], [0.1]])
    result = tag_scores(truth, scores, ["cat"])
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


def test_a_rule_names_what_is_sure_or_the_best_or_nothing():
    scores = np.array([[0.7, 0.6], [0.4, 0.3], [0.2, 0.1]])
    chosen = TagRule(0.5, 0.25).choose(scores)
    np.testing.assert_array_equal(chosen, [[1, 1], [1, 0], [0, 0]])
    always = TagRule(0.5, 0.0).choose(scores)
    np.testing.assert_array_equal(always[2], [1, 0])


def test_the_rule_is_chosen_between_pictures_with_and_without_a_tag():
    rng = np.random.default_rng(0)
    truth = np.zeros((60, 2), bool)
    truth[:40, 0] = True
    truth[:10, 1] = True
    scores = np.where(truth, 0.8, 0.3) + rng.uniform(-0.05, 0.05, truth.shape)
    scores[40:] = rng.uniform(0.0, 0.1, (20, 2))
    rule = choose_rule(truth, scores)
    np.testing.assert_array_equal(rule.choose(scores), truth)
    assert 0.36 < rule.tag_threshold < 0.74
    assert 0.1 < rule.none_threshold <= scores[:40].max(axis=1).min()


def test_an_answer_of_none_is_worth_what_it_costs():
    rng = np.random.default_rng(1)
    truth = np.zeros((200, 1), bool)
    truth[:100] = True
    scores = rng.uniform(0, 1, (200, 1))  # says nothing
    rule = choose_rule(truth, scores)
    # To name everything has an F1 of 2/3, and no threshold a better one.
    assert (scores[:100] < rule.none_threshold).mean() < 0.1
    # Eleven pictures without a tag, all of which would be named.
    scores[:100] = rng.uniform(0.4, 1, (100, 1))
    scores[100:] = 0.45
    few = choose_rule(truth[:111], scores[:111])
    assert 0.45 < few.none_threshold < 0.55
    # Without any picture to choose by, a twentieth is turned away.
    rule = choose_rule(truth[:100], scores[:100])
    turned_away = (scores[:100] < rule.none_threshold).mean()
    assert 0.02 < turned_away <= 0.05


def test_three_pictures_of_nothing_do_not_turn_away_a_tenth():
    truth = np.zeros((151, 1), bool)
    truth[:138] = True
    scores = np.full((151, 1), 0.1)
    scores[:138] = 0.95
    scores[:14] = 0.5
    scores[-3:] = 0.7
    assert choose_rule(truth, scores).choose(scores[:138]).all()
    # Thirty of 130 are as large a share, and do.
    truth = np.vstack([truth[:138], np.zeros((130, 1), bool)])
    scores = np.vstack([scores[:138], np.repeat(scores[138:], 10, axis=0)])
    assert choose_rule(truth, scores).none_threshold > 0.7


@pytest.mark.parametrize(("low", "expected"), [(1, 0.9), (2, 0.5)])
def test_none_is_the_highest_of_what_is_nearly_as_good(low, expected):
    truth = np.zeros((200, 1), bool)
    truth[:100] = True
    scores = np.full((200, 1), 0.2)
    scores[:100] = 0.9
    scores[:low] = 0.5  # two of them are 0.01 of F1
    rule = choose_rule(truth, scores)
    assert rule.none_threshold == pytest.approx(expected)


def test_unknown_tags_choose_nothing_and_count_nowhere():
    truth = np.ones((12, 2), bool)
    truth[10:, 0] = False
    scores = np.tile([0.95, 0.1], (12, 1))
    known = np.tile([True, False], (12, 1))
    assert choose_rule(truth, scores, known) is None
    result = tag_scores(truth, scores, ["cat", "dog"], TagRule(), known)
    assert result["recall"] == 1
    assert result["precision"] == pytest.approx(10 / 12)
    assert result["per_category"]["dog"]["positives"] == 0
    assert result["exact"] is None
    assert result["bins"] == [[pytest.approx(0.95), pytest.approx(10 / 12), 12]]


def test_positives_alone_give_no_figure_that_could_only_be_perfect():
    truth = np.eye(3, dtype=bool).repeat(10, 0)
    scores = np.random.default_rng(0).random(truth.shape)
    result = tag_scores(truth, scores, ["a", "b", "c"], TagRule(), known=truth)
    for figure in ("precision", "recall", "f1", "mean_average_precision"):
        assert result[figure] is None
    assert result["expected_calibration_error"] is None


def test_too_few_pictures_choose_nothing():
    assert choose_rule(np.ones((9, 1), bool), np.ones((9, 1))) is None


def test_calibration_of_two_bins():
    truth = np.array([[True], [False], [True], [True]])
    scores = np.array([[0.25], [0.25], [0.95], [0.95]])
    found = calibration(truth, scores)
    # Half of the first bin is true, all of the last.
    assert found["expected_calibration_error"] == pytest.approx(
        (0.25 + 0.05) / 2
    )
    brier = np.mean((scores - truth) ** 2)
    assert found["brier"] == pytest.approx(brier)


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        ({}, TagRule(0.4, 0.2)),
        ({"tag_threshold": 0.7}, TagRule(0.7, 0.7)),
        ({"none_threshold": 0.1}, TagRule(0.4, 0.1)),
        ({"tag_threshold": 0.7, "none_threshold": 0.3}, TagRule(0.7, 0.3)),
        ({"always_one_tag": True}, TagRule(0.4, 0.0)),
    ],
)
def test_the_config_overrules_what_was_chosen(fields, rule):
    inference = Config.published().replace({"inference": fields}).inference
    assert rule_of(inference, TagRule(0.4, 0.2)) == rule
    assert rule_of(Config.published().inference) == TagRule(0.5, 0.5)
