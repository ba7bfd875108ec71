"""Index masks: palette files give indices, other files are explained."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from keras_wsss.categories import palette
from keras_wsss.data.masks import (
    mask_value_problem,
    read_mask_note,
    read_palette_mask,
    write_palette_mask,
)
from keras_wsss.errors import DataError


def test_all_indices_survive(tmp_path):
    mask = np.arange(256, dtype=np.uint8).reshape(8, 32)
    path = tmp_path / "mask.png"
    write_palette_mask(path, mask)
    np.testing.assert_array_equal(read_palette_mask(path), mask)
    # Other programs see the VOC colours.
    with Image.open(path) as image:
        rgb = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(rgb, palette()[mask])


def test_a_file_object_can_be_written_to():
    stream = io.BytesIO()
    write_palette_mask(stream, np.full((2, 3), 7, np.uint8))
    with Image.open(stream) as image:
        np.testing.assert_array_equal(np.asarray(image), 7)


def test_only_index_arrays_are_written(tmp_path):
    with pytest.raises(ValueError, match="int64"):
        write_palette_mask(tmp_path / "a.png", np.zeros((2, 2), np.int64))
    assert not (tmp_path / "a.png").exists()


def test_few_colours_are_packed_and_grey_is_taken_as_indices(tmp_path):
    mask = np.array([[0, 1], [1, 0]], np.uint8)
    packed = Image.fromarray(mask)
    packed.putpalette([0, 0, 0, 128, 0, 0])
    packed.save(tmp_path / "packed.png", bits=1)
    np.testing.assert_array_equal(
        read_palette_mask(tmp_path / "packed.png"), mask
    )
    Image.fromarray(mask).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(
        read_palette_mask(tmp_path / "grey.png"), mask
    )


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("RGB", "an RGB picture"),
        ("RGBA", "an RGBA picture"),
        ("LA", "grey with alpha"),
        ("1", "grey of 1 bits"),  # decoders stretch 1 to 255
        ("I;16", "grey of 16 bits"),
    ],
)
def test_files_without_indices_are_explained(tmp_path, mode, words):
    image = Image.fromarray(np.zeros((3, 3), np.uint8))
    if mode == "I;16":
        image = Image.fromarray(np.zeros((3, 3), np.uint16))
    else:
        image = image.convert(mode)
    path = tmp_path / "mask.png"
    image.save(path)
    with pytest.raises(DataError, match=words) as caught:
        read_palette_mask(path)
    assert str(path) in str(caught.value)
    assert "palette PNG" in str(caught.value)


def test_jpeg_and_damaged_masks_are_refused(tmp_path):
    path = tmp_path / "mask.png"
    Image.new("L", (8, 8)).save(path, "JPEG")
    with pytest.raises(DataError, match="JPEG cannot be a mask"):
        read_palette_mask(path)
    write_palette_mask(path, np.zeros((8, 8), np.uint8))
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(DataError, match="truncated"):
        read_palette_mask(path)


def test_values_are_explained(tmp_path):
    mask = np.array([[0, 1, 20, 255]], np.uint8)
    assert mask_value_problem(mask, 20) is None
    problem = mask_value_problem(mask, 19)
    assert problem.kind == "label out of range"
    assert "holds 20," in problem.text
    # What cv2 makes of a palette file, the usual mistake.
    path = tmp_path / "mask.png"
    write_palette_mask(path, mask)
    grey = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    problem = mask_value_problem(grey, 20)
    assert problem.kind == "palette read as grey"


def test_own_limits_of_pillow_do_not_count(tmp_path, monkeypatch):
    """`max_pixels` decides; a warning would be an error here."""
    mask = np.full((20, 30), 3, np.uint8)
    write_palette_mask(tmp_path / "a.png", mask, {"note": 1})
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    np.testing.assert_array_equal(read_palette_mask(tmp_path / "a.png"), mask)
    assert read_mask_note(tmp_path / "a.png") == {"note": 1}
