"""The gallery shows what the predictor said, in the colour of its label."""

import types

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from readers import read_voc

from keras_wsss.categories import SPLITS
from keras_wsss.config import Config
from keras_wsss.data.masks import write_palette_mask
from keras_wsss.drawing import draw_sheet
from keras_wsss.errors import ConfigError
from keras_wsss.evaluation.gallery import (
    TILE,
    choose_rows,
    gallery_rows,
    write_gallery,
)
from keras_wsss.inference.compiled import CompiledSteps
from keras_wsss.systems.steps import Steps

SPLIT = SPLITS["shapes"]
ARROW, CLOVER, FISH = (SPLIT.id_of(n) for n in ("arrow", "clover", "fish"))
SIDE = 32


def left_maps(ids):
    """1 in the left half, 0 elsewhere: float32 [K, SIDE, SIDE]."""
    left = tf.cast(tf.range(SIDE) < SIDE // 2, tf.float32)
    return tf.broadcast_to(left, [tf.size(ids), SIDE, SIDE])


class LeftSteps(Steps):
    """Steps that find every label in the left half of the picture."""

    method = "left"

    def encode(self, image, scale, mirror):
        return tf.zeros([1]), tf.zeros([1])

    def tag_scores(self, features, scale):
        return tf.zeros([SPLIT.num_categories])

    def foreground(self, features, mask_inputs, ids, scale):
        return 0.1 + 0.9 * left_maps(ids)

    def refine(self, image, probabilities):
        return probabilities[:, :, ::-1]

    def maps(self, features, ids):
        maps = left_maps(ids)
        return {"attention": maps * 1e-3, "densified_attention": maps * 50}


def left_half(steps=LeftSteps):
    """What `gallery_rows` needs of a predictor."""
    config = Config()
    net = types.SimpleNamespace(large_weights=[], compute_dtype="float32")
    made = steps(net, SPLIT, config)
    return types.SimpleNamespace(
        split=SPLIT,
        config=config,
        steps=made,
        compiled=CompiledSteps(made),
        tag_ids=tuple,
    )


@pytest.fixture
def records(tmp_path):
    """Five pictures: nothing, arrow, arrow + clover, clover, fish + clover."""
    held = [(), (ARROW,), (ARROW, CLOVER), (CLOVER,), (FISH, CLOVER)]
    names = []
    for number, ids in enumerate(held):
        mask = np.zeros((SIDE, SIDE), np.uint8)
        for row, category in enumerate(ids):
            mask[8 * row : 8 * row + 8, SIDE // 2 :] = category
        names.append(f"p{number}")
        path = tmp_path / "SegmentationClass" / f"p{number}.png"
        path.parent.mkdir(exist_ok=True)
        write_palette_mask(path, mask)
        image = np.full((SIDE, SIDE, 3), 128, np.uint8)
        (tmp_path / "JPEGImages").mkdir(exist_ok=True)
        Image.fromarray(image).save(tmp_path / "JPEGImages" / f"p{number}.jpg")
    folder = tmp_path / "ImageSets" / "Segmentation"
    folder.mkdir(parents=True)
    (folder / "val.txt").write_text("\n".join(names) + "\n")
    (tmp_path / "classes.txt").write_text("\n".join(SPLIT.target) + "\n")
    return read_voc(tmp_path, "val", SPLIT).records


def colour(sheet, column, share):
    """A pixel of a tile of the first row, `share` of its width from left."""
    width = (sheet.shape[1] - 8) // 5
    return sheet[40, 8 + column * width + round(TILE * share)].astype(int)


def test_tiles_show_attention_mask_and_truth_in_their_own_halves(records):
    sheet = draw_sheet(gallery_rows(left_half(), [records[1]]), TILE)
    grey = colour(sheet, 0, 0.25)
    assert np.allclose(grey, 128, atol=3)
    for column in (1, 2, 3):  # predictions: left, in the arrow's orange
        red, green, blue = colour(sheet, column, 0.25)
        assert red > 180 > blue + 100
        assert blue + 80 < green < red - 40
        assert colour(sheet, column, 0.75).max() < 60
    assert colour(sheet, 4, 0.25).max() < 60  # truth: right
    assert colour(sheet, 4, 0.75)[0] > 200


class RightSteps(LeftSteps):
    """As the prior system: two masks that teach; a CRF finds the right half."""

    has_crf = True

    def crf_foreground(self, mask_inputs, ids):
        return self.foreground(None, None, ids, 1.0)[:, :, ::-1]

    def maps(self, features, ids):
        maps = left_maps(ids)
        return {"class_maps": maps, "foreground": maps}

    def training_masks(self, image, ids):
        mask = self.merge(self.foreground(None, None, ids, 1.0), ids)
        return {
            "masks on line, no CRF": tf.zeros_like(mask),
            "masks on line": mask,
        }


def test_refined_masks_stand_beside_the_masks(records):
    (row,) = gallery_rows(left_half(), [records[1]], refine=True)
    panels = {panel.heading: panel for panel in row.panels}
    assert list(panels)[-3:] == ["mask", "refined", "truth"]
    assert (panels["mask"].mask[:, : SIDE // 2] == ARROW).all()
    assert not panels["refined"].mask[:, : SIDE // 2].any()
    assert (panels["refined"].mask[:, SIDE // 2 :] == ARROW).all()


def test_the_prior_system_has_its_masks_and_its_crf_in_the_row(records):
    (row,) = gallery_rows(left_half(RightSteps), [records[1]])
    panels = {panel.heading: panel for panel in row.panels}
    assert list(panels) == [
        "picture",
        "class map",
        "foreground",
        "mask",
        "mask + CRF",
        "prediction",
        "truth",
    ]
    assert not panels["mask"].mask.any()
    assert (panels["mask + CRF"].mask[:, : SIDE // 2] == ARROW).all()
    assert (panels["prediction"].mask[:, SIDE // 2 :] == ARROW).all()
    assert not panels["prediction"].mask[:, : SIDE // 2].any()


def test_a_picture_without_a_category_is_drawn_too(records):
    sheet = draw_sheet(gallery_rows(left_half(), [records[0]]), TILE)
    for column in (1, 2, 3, 4):
        assert colour(sheet, column, 0.25).max() < 60


def test_rows_cover_the_categories_and_keep_pictures_with_several_first(
    records,
):
    chosen = choose_rows(records, [ARROW, CLOVER, FISH], 2)
    assert [record.image_id for record in chosen] == ["p2", "p4"]


def test_as_many_rows_as_there_are_pictures_with_categories(records):
    chosen = choose_rows(records, [ARROW, CLOVER, FISH], 9)
    assert [r.image_id for r in chosen] == ["p2", "p4", "p1", "p3"]


@pytest.mark.parametrize(("suffix", "kind"), [("png", "PNG"), ("jpg", "JPEG")])
def test_the_suffix_decides_the_type_of_file(tmp_path, records, suffix, kind):
    path = tmp_path / f"results.{suffix}"
    write_gallery(path, gallery_rows(left_half(), records[1:3]))
    with Image.open(path) as image:
        assert image.format == kind


def test_another_suffix_is_refused_and_nothing_is_written(tmp_path, records):
    path = tmp_path / "results.gif"
    with pytest.raises(ConfigError, match=r"\.jpeg, \.jpg, \.png"):
        write_gallery(path, gallery_rows(left_half(), records[1:2]))
    assert not path.exists()
