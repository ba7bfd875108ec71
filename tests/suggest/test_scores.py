"""Which pictures come first, by values that can be checked by hand."""

import numpy as np
import pytest

from keras_wsss.suggest.scores import (
    MASKS,
    TAGS,
    TEACHING,
    Look,
    competition,
    expected_iou,
    rank,
)


def look(tags=(), scores=(0.0, 0.0), unknown=(), **changes):
    """A picture of two categories with masks that are sure of themselves."""
    values = {
        "image": "a.jpg",
        "tags": tuple(tags),
        "unknown": tuple(unknown),
        "is_given": True,
        "predicted": (),
        "scores": np.array(scores, np.float32),
        "areas": dict.fromkeys(tags, 0.25),
        "sureness": dict.fromkeys(tags, 0.9),
        "competition": 0.0,
    }
    return Look(**{**values, **changes})


def order(looks, by, first=0):
    return rank(looks, (1, 2), first)[by].order.tolist()


def test_doubt_goes_both_ways_and_not_where_nothing_is_known():
    found = look(tags=[1], scores=[0.3, 0.8])
    np.testing.assert_allclose(found.doubts((1, 2)), [0.7, 0.8], rtol=1e-6)
    unknown = look(tags=[1], unknown=[2], scores=[0.3, 0.8])
    np.testing.assert_allclose(unknown.doubts((1, 2)), [0.7, 0.0], rtol=1e-6)


def test_wrong_tags_come_first_both_ways():
    right = look(tags=[1], scores=[0.95, 0.05])
    wrong = look(tags=[1], scores=[0.02, 0.05])
    missing = look(tags=[], scores=[0.9, 0.05])
    assert order([right, missing, wrong], TAGS) == [2, 1, 0]
    values = rank([wrong], (1, 2), 0)[TAGS].values
    np.testing.assert_allclose(values, [-np.log(0.02) - np.log(0.95)], 1e-5)


def test_what_is_predicted_weighs_by_its_area():
    """The same doubt costs more where it decides more of a category."""
    small = look([1], [0.6, 0.0], is_given=False, areas={1: 0.01})
    large = look([1], [0.6, 0.0], is_given=False, areas={1: 0.50})
    found = rank([small, large], (1, 2), 0)[TAGS]
    assert found.order.tolist() == [1, 0]
    np.testing.assert_allclose(
        found.values, [0.4 * 0.01 / 0.51, 0.4 * 0.5 / 0.51], rtol=1e-5
    )


def test_unsure_and_competing_masks_come_first():
    sure = look([1], [0.9, 0.0])
    unsure = look([1, 2], [0.9, 0.9], sureness={1: 0.9, 2: 0.2})
    competing = look([1, 2], [0.9, 0.9], competition=0.5)
    assert order([sure, competing, unsure], MASKS) == [2, 1, 0]


def test_a_taught_category_counts_less():
    """Two of category 1 need more each, but the second comes third."""
    first = look([1], [1.0, 0.0], sureness={1: 0.2})
    second = look([1], [1.0, 0.0], sureness={1: 0.3})
    other = look([2], [0.0, 1.0], sureness={2: 0.5})
    looks = [second, other, first]
    assert order(looks, TEACHING, first=0) == [2, 0, 1]
    assert order(looks, TEACHING, first=3) == [2, 1, 0]
    # A mask of what is not there teaches nothing.
    doubtful = look([1], [0.05, 0.0], sureness={1: 0.0})
    assert order([doubtful, other], TEACHING, first=2) == [1, 0]


def test_expected_iou_of_masks_that_are_known():
    sure = np.zeros((4, 4))
    sure[:2] = 1.0
    assert expected_iou(sure) == 1.0
    # 8 pixels of 0.75 in the mask, 8 of 0.25 outside.
    assert expected_iou(np.where(sure, 0.75, 0.25)) == pytest.approx(6 / 10)
    assert expected_iou(np.full((4, 4), 0.4)) == 0.0
    assert expected_iou(np.zeros((4, 4))) == 0.0


def test_masks_compete_where_both_fire():
    one, two = np.zeros((2, 2, 4))
    one[:, :2], two[:, 2:] = 0.9, 0.9
    assert competition(np.array([one, two])) == 0.0
    two[:, :2] = 0.6
    share = competition(np.array([one, two]))
    assert share == pytest.approx(0.5 * 0.6 / 0.9)
    assert competition(np.array([one])) == 0.0
    assert competition(np.zeros((2, 2, 4))) == 0.0
