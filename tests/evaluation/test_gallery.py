"""The gallery shows what the predictor said, in the colour of its label."""

import types

import numpy as np
import pytest
from PIL import Image

from keras_wsss.categories import SPLITS
from keras_wsss.data.formats.voc import read_voc
from keras_wsss.data.masks import write_palette_mask
from keras_wsss.drawing import draw_sheet
from keras_wsss.errors import ConfigError
from keras_wsss.evaluation.gallery import (
    TILE,
    choose_rows,
    gallery_rows,
    write_gallery,
)

SPLIT = SPLITS["shapes"]
ARROW, CLOVER, FISH = (SPLIT.id_of(n) for n in ("arrow", "clover", "fish"))
SIDE = 32


class LeftHalf:
    """A predictor that finds every label in the left half of the picture."""

    split = SPLIT
    config = types.SimpleNamespace(data=types.SimpleNamespace(max_pixels=10**6))
    steps = types.SimpleNamespace(has_crf=False)

    def encode(self, image):
        return image

    def probabilities(self, encoded, ids):
        maps = np.zeros((len(ids), *encoded.shape[:2]), np.float32)
        maps[:, :, : SIDE // 2] = 1
        return maps

    def merge(self, probabilities, ids, refined=None):
        if not ids:
            return np.zeros(probabilities.shape[1:], np.uint8)
        decisive = probabilities if refined is None else refined
        return (decisive.max(0) * max(ids)).astype(np.uint8)

    def refine(self, image, probabilities):
        return probabilities[:, :, ::-1]

    def densified(self, encoded, ids):
        maps = self.probabilities(encoded, ids)
        return {"attention": maps * 1e-3, "densified_attention": maps * 50}

    def training_masks(self, image, ids):
        return {}

    def square_to_picture(self, maps, height, width):
        assert maps.shape[1:] == (height, width)
        return maps


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
    sheet = draw_sheet(gallery_rows(LeftHalf(), [records[1]]), TILE)
    grey = colour(sheet, 0, 0.25)
    assert np.allclose(grey, 128, atol=3)
    for column in (1, 2, 3):  # predictions: left, in the arrow's red
        red, green, blue = colour(sheet, column, 0.25)
        assert red > 200 > green
        assert green == blue
        assert colour(sheet, column, 0.75).max() < 60
    assert colour(sheet, 4, 0.25).max() < 60  # truth: right
    assert colour(sheet, 4, 0.75)[0] > 200


class RightHalf(LeftHalf):
    """As the prior system: two masks that teach; a CRF finds the right half."""

    steps = types.SimpleNamespace(has_crf=True)

    def crf_probabilities(self, encoded, ids):
        return self.probabilities(encoded, ids)[:, :, ::-1]

    def densified(self, encoded, ids):
        maps = self.probabilities(encoded, ids)
        return {"class_maps": maps, "foreground": maps}

    def training_masks(self, image, ids):
        mask = self.merge(self.probabilities(image, ids), ids)
        return {
            "masks on line, no CRF": np.zeros_like(mask),
            "masks on line": mask,
        }


def test_refined_masks_stand_beside_the_masks(records):
    (row,) = gallery_rows(LeftHalf(), [records[1]], refine=True)
    panels = {panel.heading: panel for panel in row.panels}
    assert list(panels)[-3:] == ["mask", "refined", "truth"]
    assert (panels["mask"].mask[:, : SIDE // 2] == ARROW).all()
    assert not panels["refined"].mask[:, : SIDE // 2].any()
    assert (panels["refined"].mask[:, SIDE // 2 :] == ARROW).all()


def test_the_prior_system_has_its_masks_and_its_crf_in_the_row(records):
    (row,) = gallery_rows(RightHalf(), [records[1]])
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
    sheet = draw_sheet(gallery_rows(LeftHalf(), [records[0]]), TILE)
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
    write_gallery(path, gallery_rows(LeftHalf(), records[1:3]))
    with Image.open(path) as image:
        assert image.format == kind


def test_another_suffix_is_refused_and_nothing_is_written(tmp_path, records):
    path = tmp_path / "results.gif"
    with pytest.raises(ConfigError, match=r"\.jpeg, \.jpg, \.png"):
        write_gallery(path, gallery_rows(LeftHalf(), records[1:2]))
    assert not path.exists()
