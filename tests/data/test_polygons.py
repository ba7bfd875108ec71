"""Outlines lose nothing: painted again they are the mask."""

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask

from keras_wsss.data.polygons import mask_polygons


def painted(mask):
    polygons = [p.ravel().tolist() for p in mask_polygons(mask)]
    codes = coco_mask.frPyObjects(polygons, *mask.shape)
    return coco_mask.decode(coco_mask.merge(codes)).astype(bool)


def random_mask(seed):
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 40, 2)
    noise = rng.random((height, width)).astype(np.float32)
    if seed % 2:
        noise = cv2.GaussianBlur(noise, (5, 5), 0)
    mask = noise > np.quantile(noise, rng.random())
    mask.flat[0] = True  # at least one pixel, on the border
    return mask


@pytest.mark.parametrize("seed", range(20))
def test_painted_again_they_are_the_mask(seed):
    mask = random_mask(seed)
    np.testing.assert_array_equal(painted(mask), mask)


def test_a_ring_is_one_polygon_with_its_hole():
    mask = np.ones((9, 9), bool)
    mask[3:6, 3:6] = False
    (polygon,) = mask_polygons(mask)
    x, y = polygon.T
    area = abs(x @ np.roll(y, 1) - y @ np.roll(x, 1)) / 2
    assert area == mask.sum()  # the hole is walked the other way
    np.testing.assert_array_equal(painted(mask), mask)


def test_a_pixel_is_a_square_and_nothing_is_no_polygon():
    mask = np.zeros((4, 6), bool)
    assert mask_polygons(mask) == []
    mask[2, 3] = True
    (polygon,) = mask_polygons(mask)
    assert {tuple(p) for p in polygon} == {(3, 2), (4, 2), (4, 3), (3, 3)}


def test_pixels_that_touch_by_corners_are_polygons_of_their_own():
    mask = np.eye(5, dtype=bool)
    assert len(mask_polygons(mask)) == 5
    np.testing.assert_array_equal(painted(mask), mask)
