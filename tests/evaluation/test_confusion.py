"""Confusion matrix: exact counts, absent classes, planted bad labels."""

import json

import numpy as np
import pytest

from keras_wsss.categories import SPLITS, get_split
from keras_wsss.errors import DataError
from keras_wsss.evaluation.metrics.confusion import ConfusionMatrix, scored_view


def random_masks(classes=5, shape=(3, 17, 11), seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, classes, shape).astype(np.uint8)
    truth[rng.random(shape) < 0.1] = 255
    prediction = rng.integers(0, classes, shape).astype(np.uint8)
    return truth, prediction


def slow_counts(truth, prediction, classes):
    counts = np.zeros((classes, classes), np.int64)
    for t, p in zip(truth.flat, prediction.flat, strict=True):
        if t != 255:
            counts[t, p] += 1
    return counts


def filled(counts):
    matrix = ConfusionMatrix(len(counts))
    matrix.counts += np.array(counts)
    return matrix


def test_counts_equal_the_slow_reference():
    truth, prediction = random_masks()
    matrix = ConfusionMatrix(5)
    for t, p in zip(truth, prediction, strict=True):
        matrix.update(t, p)
    np.testing.assert_array_equal(
        matrix.counts, slow_counts(truth, prediction, 5)
    )
    assert matrix.counts.dtype == np.int64
    assert matrix.ignored == np.sum(truth == 255)


def test_the_largest_number_of_classes_does_not_overflow():
    truth = np.array([254, 0, 254], np.uint8)
    prediction = np.array([254, 254, 0], np.uint8)
    matrix = ConfusionMatrix(255)
    matrix.update(truth, prediction)
    assert matrix.counts[254, 254] == 1
    assert matrix.counts[0, 254] == 1
    assert matrix.counts[254, 0] == 1


def test_exact_beyond_two_to_the_24():
    matrix = filled([[2**24, 0], [0, 2**53]])
    matrix.update(np.array([0, 1]), np.array([0, 1]))
    assert matrix.counts[0, 0] == 2**24 + 1
    assert matrix.counts[1, 1] == 2**53 + 1


def test_iou_and_mean_follow_their_definition():
    # Class 2 is neither in the truth nor predicted; class 3 is predicted
    # only.
    matrix = filled([[6, 1, 0, 1], [2, 4, 0, 0], [0] * 4, [0] * 4])
    np.testing.assert_allclose(matrix.iou(), [6 / 10, 4 / 7, np.nan, 0])
    assert matrix.mean_iou() == pytest.approx((6 / 10 + 4 / 7 + 0) / 3)
    assert matrix.mean_iou([0, 2]) == pytest.approx(6 / 10)
    assert np.isnan(matrix.mean_iou([2]))
    assert matrix.pixel_accuracy() == pytest.approx(10 / 14)
    np.testing.assert_allclose(matrix.precision(), [6 / 8, 4 / 5, np.nan, 0])
    np.testing.assert_allclose(matrix.recall(), [6 / 8, 4 / 6, np.nan, np.nan])


def test_nothing_counted_is_undefined_and_not_zero():
    matrix = ConfusionMatrix(3)
    matrix.update(np.full((2, 2), 255), np.zeros((2, 2), int))
    assert np.isnan(matrix.mean_iou())
    assert np.isnan(matrix.pixel_accuracy())


def test_a_perfect_prediction_scores_one():
    truth, _ = random_masks()
    matrix = ConfusionMatrix(5)
    matrix.update(truth, np.where(truth == 255, 0, truth))
    np.testing.assert_array_equal(matrix.iou(), 1.0)
    assert matrix.mean_iou() == matrix.pixel_accuracy() == 1.0


def test_what_is_predicted_on_ignored_pixels_does_not_matter():
    truth, prediction = random_masks()
    other = np.where(truth == 255, (prediction + 1) % 5, prediction)
    a, b = ConfusionMatrix(5), ConfusionMatrix(5)
    a.update(truth, prediction)
    b.update(truth, other)
    np.testing.assert_array_equal(a.counts, b.counts)


@pytest.mark.parametrize(
    ("truth", "prediction", "message"),
    [
        ([[5]], [[0]], "a.png: the truth holds label 5"),
        ([[0]], [[5]], "a.png: the prediction holds label 5"),
        ([[0]], [[255]], "the prediction holds label 255"),
        ([[-1]], [[0]], "the truth holds label -1"),
        ([[0.0]], [[0]], "float64"),
        ([[0, 0]], [[0]], "shape"),
    ],
)
def test_bad_labels_are_errors_and_count_nothing(truth, prediction, message):
    matrix = ConfusionMatrix(5)
    with pytest.raises(DataError, match=message):
        matrix.update(np.array(truth), np.array(prediction), name="a.png")
    assert matrix.counts.sum() == 0


def test_result_names_background_and_scored_classes_only():
    split = get_split("own", ["cup"], ["cat", "cow", "dog"], ["dog", "cat"])
    matrix = ConfusionMatrix(split.num_categories + 1)
    matrix.update(np.array([0, 1, 1, 255]), np.array([0, 1, 0, 0]))
    result = json.loads(json.dumps(matrix.result(split), allow_nan=False))
    assert list(result["per_class"]) == ["background", "cat", "dog"]
    assert result["per_class"]["dog"]["iou"] is None
    assert result["mean_iou"] == pytest.approx(0.5)
    assert (result["pixels"], result["ignored_pixels"]) == (3, 1)


def test_scored_view_maps_the_rest_to_background():
    split = SPLITS["mini60"]
    cat, chair = split.id_of("cat"), split.id_of("chair")
    mask = np.array([[0, cat, chair, 80, 255]], np.uint8)
    view = scored_view(mask, split)
    assert view.dtype == np.uint8
    np.testing.assert_array_equal(view, [[0, cat, 0, 0, 255]])
    # "person" is scored in mini60, and background in mini75.
    person = np.array([[split.id_of("person")]], np.uint8)
    assert scored_view(person, split) == person
    assert scored_view(person, SPLITS["mini75"]) == 0


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.array([[81]], np.uint8), "a.png: the mask holds label 81"),
        (np.array([[300]]), "300"),
        (np.array([[0.5]]), "float64"),
    ],
)
def test_scored_view_refuses_unknown_labels(mask, message):
    with pytest.raises(DataError, match=message):
        scored_view(mask, SPLITS["mini60"], "a.png")
