"""Silhouettes and scenes of the drawn pictures."""

import itertools

import numpy as np
import pytest

from benchmarks.glyphs import glyphs, likeness, silhouette_area
from keras_wsss.categories import SHAPES_SOURCE, SHAPES_TARGET
from keras_wsss.shapes.drawing import (
    Thing,
    blob,
    crowd_of,
    draw_scene,
    inside,
    silhouette,
    varied,
)
from keras_wsss.shapes.outlines import OUTLINES, Outline, rectangle


@pytest.fixture
def rng():
    return np.random.default_rng(11)


def test_every_category_has_an_outline_within_the_unit_disc():
    assert set(OUTLINES) == {*SHAPES_SOURCE, *SHAPES_TARGET}
    for name, outline in OUTLINES.items():
        points = np.concatenate(outline.parts)
        assert np.linalg.norm(points, axis=1).max() < 1.25, name
        assert silhouette_area(outline) > 0.4, name


def test_categories_can_be_told_apart():
    for one, other in itertools.combinations(OUTLINES, 2):
        assert likeness(OUTLINES[one], OUTLINES[other]) < 0.92, (one, other)


def test_silhouette_covers_what_the_outline_says():
    outline = Outline((rectangle(2, 3, 7, 6),), (rectangle(4, 4, 6, 5),))
    coverage = silhouette(outline, 10)
    assert coverage[3, 2:7].min() == coverage[4, 2:4].min() == 1
    assert coverage[4, 4:6].max() == 0
    assert coverage[:3].max() == coverage[:, :2].max() == 0
    assert coverage[7:].max() == coverage[:, 8:].max() == 0


def test_silhouettes_have_the_right_area_on_average(rng):
    side, found = 11.0, []
    for _ in range(200):
        corner = rng.uniform(3, 9, 2)
        square = Outline((rectangle(*corner, *(corner + side)),))
        found.append(inside(silhouette(square, 24)).sum())
    assert abs(np.sqrt(np.mean(found)) - side) < 0.1


def test_scene_is_a_function_of_the_random_state():
    pictures = []
    for seed in (1, 1, 2):
        rng = np.random.default_rng(seed)
        things = [Thing(OUTLINES["star"], 20.0, "star")]
        pictures.append(draw_scene(rng, 64, things)[0])
    np.testing.assert_array_equal(pictures[0], pictures[1])
    assert (pictures[0] != pictures[2]).mean() > 0.9


def test_occlusion_is_bounded_and_recorded(rng):
    covered = 0
    for _ in range(30):
        things = [Thing(OUTLINES["disc"], 18.0, "disc") for _ in range(5)]
        picture, instances = draw_scene(rng, 96, things)
        assert picture.shape == (96, 96, 3)
        assert picture.dtype == np.uint8
        owners = sum(instance.visible.astype(int) for instance in instances)
        assert owners.max() == 1  # a pixel shows one thing
        for instance in instances:
            visible, drawn = instance.visible.sum(), instance.drawn.sum()
            assert 0.75 * drawn <= visible <= drawn
            covered += visible < drawn
            if instance.whole:
                outline = inside(silhouette(instance.outline, 96))
                np.testing.assert_array_equal(outline, instance.visible)
    assert covered > 10


def test_variation_keeps_the_category(rng):
    for name in ("star", "ring", "fish"):
        for _ in range(5):
            assert likeness(OUTLINES[name], varied(rng, OUTLINES[name])) > 0.6


def test_blobs_differ_and_have_a_body(rng):
    areas = [silhouette_area(blob(rng)) for _ in range(20)]
    assert min(areas) > 0.2
    assert np.std(areas) > 0.05


def test_crowd_keeps_holes(rng):
    crowd = crowd_of(rng, OUTLINES["ring"])
    assert 5 <= len(crowd.parts) <= 8
    assert len(crowd.holes) == len(crowd.parts)


def test_likeness_ignores_turn_mirror_and_size():
    outline = OUTLINES["corner"]
    turned = outline.moved(lambda p: 0.6 * p[:, ::-1] * (1, -1))
    assert likeness(outline, outline) == 1
    assert likeness(outline, turned) > 0.85
    assert likeness(outline, OUTLINES["disc"]) < 0.7


def test_glyphs_look_like_no_target_category():
    target = [OUTLINES[name] for name in SHAPES_TARGET]
    found = glyphs(1, 16, target, 0.75)
    assert len(found) == 16
    for one, other in itertools.product(found.values(), target):
        assert likeness(one, other) < 0.75
    assert found.keys() == glyphs(1, 16, target, 0.75).keys()
