"""Boundary IoU against a brute-force definition and planted shifts."""

import numpy as np
import pytest

from keras_wsss.categories import get_split
from keras_wsss.errors import DataError
from keras_wsss.evaluation.metrics.boundary import BoundaryIou, boundary_region
from keras_wsss.evaluation.metrics.confusion import ConfusionMatrix


def slow_boundary(mask, distance):
    """Pixels with a non-mask pixel within the chessboard distance."""
    height, width = mask.shape
    framed = np.pad(mask, distance)
    band = np.zeros_like(mask)
    side = 2 * distance + 1
    for y in range(height):
        for x in range(width):
            window = framed[y : y + side, x : x + side]
            band[y, x] = mask[y, x] and not window.all()
    return band


def square(shift=0, size=200, low=50, high=150):
    mask = np.zeros((size, size), np.uint8)
    mask[low:high, low + shift : high + shift] = 1
    return mask


@pytest.mark.parametrize("distance", [1, 2, 4])
def test_region_equals_the_definition(distance):
    rng = np.random.default_rng(distance)
    mask = rng.random((20, 24)) < 0.97
    np.testing.assert_array_equal(
        boundary_region(mask, distance), slow_boundary(mask, distance)
    )


def test_equal_masks_score_one():
    metric = BoundaryIou(3)
    metric.update(square(), square())
    np.testing.assert_array_equal(metric.iou(), [1, 1, np.nan])


def test_a_shift_by_one_pixel_is_seen():
    shifted = square(1)
    boundary, pixels = BoundaryIou(2, 0.004), ConfusionMatrix(2)
    boundary.update(square(), shifted)
    pixels.update(square(), shifted)
    # The band is one pixel wide, so the two vertical sides are lost.
    assert pixels.iou()[1] > 0.97
    assert boundary.iou()[1] == pytest.approx(198 / 594)
    wide = BoundaryIou(2)
    wide.update(square(), shifted)
    assert boundary.iou()[1] < wide.iou()[1] < pixels.iou()[1]


def test_distance_is_two_percent_of_the_diagonal():
    # Diagonal 500 pixels, so the band is 10 wide.
    truth = np.ones((300, 400), np.uint8)
    metric = BoundaryIou(2)
    metric.update(truth, truth)
    assert metric.unions[1] == 300 * 400 - 280 * 380


def test_ignored_pixels_change_nothing():
    truth = square()
    truth[45:55] = 255
    first, second = BoundaryIou(2), BoundaryIou(2)
    first.update(truth, square())
    other = square()
    other[45:55] = 1 - other[45:55]
    second.update(truth, other)
    np.testing.assert_array_equal(first.iou(), [1, 1])
    np.testing.assert_array_equal(second.iou(), [1, 1])


def test_sums_over_the_set():
    pictures = [(square(), square(2)), (square(low=20, high=40), square(1))]
    whole = BoundaryIou(2)
    parts = [BoundaryIou(2), BoundaryIou(2)]
    for (truth, prediction), part in zip(pictures, parts, strict=True):
        whole.update(truth, prediction)
        part.update(truth, prediction)
    for name in ("intersections", "unions"):
        total = getattr(parts[0], name) + getattr(parts[1], name)
        np.testing.assert_array_equal(total, getattr(whole, name))
    assert whole.intersections.dtype == np.int64


def test_predicted_only_counts_zero_and_absent_is_left_out():
    split = get_split("own", [], ["cat", "cow", "dog"])
    metric = BoundaryIou(4)
    metric.update(np.zeros((30, 30), np.uint8), square(size=30, low=3, high=9))
    result = metric.result(split)
    scores = {k: v["boundary_iou"] for k, v in result["per_class"].items()}
    assert scores["cat"] == 0
    assert scores["cow"] is None
    assert result["boundary_iou"] == pytest.approx(
        (scores["background"] + 0) / 2
    )


def test_bad_labels_and_sizes_are_errors():
    metric = BoundaryIou(2)
    with pytest.raises(DataError, match="picture: holds label 2"):
        metric.update(square() * 2, square(), "picture")
    with pytest.raises(DataError, match="shape"):
        metric.update(square(), square()[:10])


def test_bands_of_a_true_mask_are_those_of_this_mask():
    """What is kept of one that cannot change belongs to it alone."""
    kept, other = square(), square(20)
    for truth in (kept, other):
        truth.flags.writeable = False
    found, expected = BoundaryIou(2), BoundaryIou(2)
    for truth in (kept, other, kept):
        for shift in (0, 3):
            found.update(truth, square(shift))
            expected.update(truth.copy(), square(shift))
    np.testing.assert_array_equal(found.intersections, expected.intersections)
    np.testing.assert_array_equal(found.unions, expected.unions)
