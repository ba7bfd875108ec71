"""Small pictures for the report: right, described, and bounded."""

import io

import numpy as np
import pytest
from PIL import Image
from small_data import CAT, DOG, SPLIT

from keras_wsss.colours import bright_palette
from keras_wsss.evaluation.report.pictures import (
    LARGE,
    MAP_SIDE,
    Album,
    picture_iou,
)
from keras_wsss.pages import SIDE


def opened(data):
    return Image.open(io.BytesIO(data))


def scene(height=60, width=80, wrong=0.0, seed=0):
    """A picture, a truth with a cat, and a mask with a share of it wrong."""
    image = np.random.default_rng(seed).integers(
        0, 255, (height, width, 3), np.uint8
    )
    truth = np.zeros((height, width), np.uint8)
    truth[:, : width // 2] = CAT
    truth[0, :] = 255
    mask = np.where(truth == 255, 0, truth).astype(np.uint8)
    mask[: round(wrong * height), : width // 2] = 0
    return image, truth, mask


def test_score_is_the_mean_over_classes_of_truth_and_mask():
    truth = np.array([[0, 0, 1, 1], [0, 0, 1, 255]], np.uint8)
    mask = np.array([[0, 2, 1, 1], [0, 0, 0, 1]], np.uint8)
    # Background 3 of 5, cat 2 of 3, dog 0 of 1; the void pixel is not asked.
    assert picture_iou(truth, mask) == pytest.approx((3 / 5 + 2 / 3 + 0) / 3)
    assert picture_iou(truth, np.where(truth == 255, 7, truth)) == 1.0
    assert picture_iou(np.full((2, 2), 255, np.uint8), mask[:, :2]) == 1.0


def test_a_shot_has_room_for_detail_and_says_what_it_shows():
    album = Album(SPLIT)
    image, truth, mask = scene(900, 1200, wrong=0.5)
    maps = np.zeros((2, 20, 27), np.float32)
    maps[0, 2, 2] = 4
    maps[1, 18, 24] = 1
    album.add(
        "a",
        image,
        truth,
        {"oracle raw": mask},
        {"attention": ((CAT, DOG), maps)},
    )
    (shot,) = album.shots
    assert shot.size == (LARGE, LARGE * 3 // 4)
    for data in (shot.picture, shot.truth.png, shot.masks["oracle raw"].png):
        assert opened(data).size == shot.size
    assert shot.ids == (CAT,)
    # The first row is void.
    assert shot.truth.text == "cat 50%"
    assert shot.masks["oracle raw"].text == "cat 25%"
    assert shot.scores["oracle raw"] == picture_iou(truth, mask)
    text = shot.maps["attention"].text
    assert text == (
        "strongest for cat at the top left, dog at the bottom right"
    )
    assert max(opened(shot.maps["attention"].png).size) <= MAP_SIDE


def test_mask_layer_is_clear_where_nothing_is():
    album = Album(SPLIT)
    image, truth, mask = scene()
    album.add("a", image, truth, {"raw": mask}, {})
    layer = np.asarray(opened(album.shots[0].truth.png).convert("RGBA"))
    assert layer.shape == (60, 80, 4)
    assert layer[30, 70, 3] == 0
    assert layer[30, 10, 3] == 255
    assert layer[30, 10, :3] == pytest.approx(bright_palette()[CAT], abs=1)
    assert 0 < layer[0, 70, 3] < 255  # void


def test_an_empty_mask_says_so():
    album = Album(SPLIT)
    image, truth, _ = scene()
    album.add("a", image, truth, {"raw": np.zeros_like(truth)}, {})
    assert album.shots[0].masks["raw"].text == "nothing"


def test_the_worst_and_the_best_stay_within_the_budget():
    shares = [0.0, 0.9, 0.5, 0.3, 0.7, 0.1, 0.6, 0.4, 0.2, 0.8]
    one = Album(SPLIT)
    image, truth, mask = scene()
    one.add("x", image, truth, {"raw": mask}, {})
    album = Album(SPLIT, budget=round(4.5 * one.shots[0].num_bytes))
    for share in shares:
        image, truth, mask = scene(wrong=share)
        album.add(f"{share}", image, truth, {"raw": mask}, {})
    assert [shot.name for shot in album.shots] == ["0.9", "0.8", "0.1", "0.0"]
    assert album.left_out == 6
    assert sum(shot.num_bytes for shot in album.shots) <= album.budget


def test_without_room_medium_ones_get_smaller_before_any_is_left_out():
    """Noise: one large picture has the bytes of several small ones."""
    one = Album(SPLIT)
    image, truth, mask = scene(600, 800)
    one.add("x", image, truth, {"raw": mask}, {})
    (large,) = one.shots
    small = large.smaller()
    assert small.size == (SIDE, SIDE * 3 // 4)
    assert small.num_bytes < large.num_bytes / 3
    before, after = (
        np.asarray(opened(shot.masks["raw"].png).convert("RGBA"))
        for shot in (large, small)
    )
    np.testing.assert_array_equal(after[::24, ::24], before[1::60, 1::60])
    assert small.masks["raw"].text == large.masks["raw"].text

    def kept(budget):
        album = Album(SPLIT, round(budget))
        for wrong in (0.1, 0.5, 0.9, 0.3, 0.7):
            image, truth, mask = scene(600, 800, wrong)
            album.add(f"{wrong}", image, truth, {"raw": mask}, {})
        assert sum(shot.num_bytes for shot in album.shots) <= budget
        return {shot.name: max(shot.size) for shot in album.shots}

    sizes = kept(4.2 * large.num_bytes)
    assert sizes == {
        "0.9": 800,
        "0.7": 800,
        "0.5": SIDE,
        "0.3": 800,
        "0.1": 800,
    }
    assert kept(4.2 * small.num_bytes) == dict.fromkeys(
        ("0.9", "0.7", "0.3", "0.1"), SIDE
    )
