"""Large pictures by strips: the same as at once, in less memory."""

import tracemalloc

import numpy as np
import pytest

from keras_wsss import strips
from keras_wsss.drawing import STYLES, draw_overlay
from keras_wsss.evaluation.metrics.confusion import count_pairs
from keras_wsss.inference.prediction import Prediction
from keras_wsss.strips import count_values

SIZE = (150, 90)
NAMES = {3: "sea cucumber", 7: "a", 9: "not there"}


@pytest.fixture
def mask():
    """Blobs of three values, 255 among them, uint8 [150, 90]."""
    rng = np.random.default_rng(1)
    small = rng.choice(np.array([0, 0, 3, 7, 255], np.uint8), (15, 9))
    return small.repeat(10, axis=0).repeat(10, axis=1)


@pytest.fixture
def image():
    return np.random.default_rng(2).integers(0, 256, (*SIZE, 3), np.uint8)


@pytest.fixture
def narrow(monkeypatch):
    """Makes strips of a few rows, from when it is called."""
    return lambda: monkeypatch.setattr(strips, "_PIXELS", 20 * SIZE[1])


def test_strips_are_all_rows_once(narrow):
    narrow()
    for multiple in (1, 8, 64):
        found = list(strips.strips(*SIZE, multiple))
        assert len(found) > 1
        assert all(rows.start % multiple == 0 for rows in found)
        rows = np.concatenate([np.arange(150)[each] for each in found])
        np.testing.assert_array_equal(rows, np.arange(150))


def test_counts(mask, narrow):
    narrow()
    expected = np.bincount(mask.ravel(), minlength=256)
    np.testing.assert_array_equal(count_values(mask), expected)
    other = mask[::-1]
    pairs = count_pairs(mask, other)
    assert pairs[3, 7] == ((mask == 3) & (other == 7)).sum() > 0
    assert pairs.sum() == mask.size


@pytest.mark.parametrize("style", STYLES)
def test_overlays(image, mask, narrow, style):
    """Outlines and hatches have no seams; the picture itself may be used."""
    expected = draw_overlay(image, mask, NAMES, style)
    narrow()
    np.testing.assert_array_equal(
        draw_overlay(image, mask, NAMES, style), expected
    )
    drawn = draw_overlay(image, mask, NAMES, style, out=image)
    assert drawn is image
    np.testing.assert_array_equal(image, expected)


def test_region_scores(image, mask, narrow):
    narrow()
    foreground = np.random.default_rng(3).random(SIZE).astype(np.float16)
    scores = np.full(9, 0.5, np.float32)
    found = Prediction(
        mask, (3, 7, 9), scores, None, ("x",) * 9, image, True, foreground
    ).region_scores
    assert set(found) == {3, 7}
    for number, score in found.items():
        mean = foreground[mask == number].mean(dtype=np.float64)
        assert score == pytest.approx(0.5 * mean, abs=1e-5)


def test_an_overlay_takes_little_memory(monkeypatch):
    """Less than the picture's own 3 bytes a pixel, where it may be used."""
    monkeypatch.setattr(strips, "_PIXELS", 1 << 15)
    side = 1000
    mask = np.zeros((side, side), np.uint8)
    mask[200:700, 100:900] = 3
    image = np.full((side, side, 3), 90, np.uint8)
    tracemalloc.start()
    try:
        draw_overlay(image, mask, NAMES, out=image)
        count_values(mask)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2.5 * side**2
