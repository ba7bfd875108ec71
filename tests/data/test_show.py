"""Contact sheets show masks in their colours and ignored pixels hatched."""

import numpy as np
import pytest
from PIL import Image
from small_data import (
    CUP,
    DOG,
    SPLIT,
    Places,
    annotation,
    box,
    document,
    write_coco,
    write_tags,
    write_voc,
)

from keras_wsss.colours import bright_palette
from keras_wsss.data.show import TILE, write_contact_sheet
from keras_wsss.drawing import draw_overlay
from keras_wsss.errors import ConfigError, DataError


@pytest.fixture
def locations(tmp_path):
    content = document(
        {1: (8, 8), 2: (8, 8)},
        [
            annotation(1, 1, "cup", [box(0, 0, 8, 8)]),
            annotation(2, 2, "cup", [box(0, 0, 8, 8)]),
        ],
    )
    annotations, images = write_coco(tmp_path, content)
    mask = np.full((6, 8), 1, np.uint8)
    write_voc(tmp_path, {"v": mask})
    (tmp_path / "classes.txt").write_text("dog\ncat\n")
    tags, tagged = write_tags(tmp_path, ["a,cat dog"], ["a.png"])
    return Places(annotations, images, tmp_path, tags, tagged)


def test_overlay_colours_hatches_and_leaves_background():
    image = np.full((40, 60, 3), 100, np.uint8)
    mask = np.zeros((40, 60), np.uint8)
    mask[:, 20:40] = DOG
    mask[:, 40:] = 255
    drawn = draw_overlay(image, mask)
    np.testing.assert_array_equal(drawn[:, :19], 100)
    inside = drawn[5:35, 22:38].astype(int)
    np.testing.assert_array_equal(
        inside, np.broadcast_to(inside[0, 0], inside.shape)
    )
    # Nearer to the category's colour than the picture was.
    colour = bright_palette()[DOG].astype(int)
    before, after = abs(100 - colour), abs(inside[0, 0] - colour)
    assert np.all(after <= before)
    assert after.sum() < before.sum()
    ignored = drawn[:, 42:]
    share = (ignored == 255).all(-1).mean()
    assert 0.15 < share < 0.4
    assert np.all((ignored == 255) | (ignored == 100))


def test_sheet_holds_every_part(locations, tmp_path):
    path = tmp_path / "out" / "sheet.png"
    write_contact_sheet(path, locations.data(), SPLIT, count=2, columns=3)
    with Image.open(path) as sheet:
        pixels = np.asarray(sheet)
    assert pixels.ndim == 3
    assert pixels.shape[1] > 3 * TILE
    assert pixels.shape[0] > 3 * TILE  # one row for each of three parts
    for label in (CUP, DOG):  # chips of the names
        chip = (pixels == bright_palette()[label].astype(int)).all(-1)
        assert chip.sum() >= 50


def test_choice_depends_on_the_seed_only(locations, tmp_path):
    sheets = []
    for seed in (0, 0, 1, 2, 3, 4):
        path = tmp_path / "sheet.png"
        write_contact_sheet(
            path, locations.data(), SPLIT, count=1, columns=1, seed=seed
        )
        sheets.append(path.read_bytes())
    assert sheets[0] == sheets[1]
    assert len(set(sheets)) == 2  # two source pictures to choose from


def test_many_long_names_stay_on_the_sheet(locations, tmp_path):
    names = [f"category with a long name {i}" for i in range(20)]
    (tmp_path / "classes.txt").write_text("\n".join(names))
    mask = np.repeat(np.arange(20, dtype=np.uint8), 20).reshape(20, 20)
    write_voc(tmp_path, {"v" * 80: mask})
    split = type(SPLIT)("long", tuple(names), (), tuple(names), tuple(names))
    path = tmp_path / "sheet.png"
    write_contact_sheet(
        path, Places(eval_root=tmp_path).data(), split, columns=1
    )
    with Image.open(path) as sheet:
        right = np.asarray(sheet)[:, -8:]
    assert np.all(right == 255)  # the margin is free


def test_faults_are_named_and_nothing_is_written(locations, tmp_path):
    path = tmp_path / "out" / "sheet.png"
    with pytest.raises(ConfigError, match="--count"):
        write_contact_sheet(path, locations.data(), SPLIT, count=0)
    Image.new("RGB", (5, 5)).save(locations.source_images / "1.png")
    with pytest.raises(DataError, match=r"1\.png: the picture is 5 x 5 but"):
        write_contact_sheet(path, locations.data(), SPLIT)
    assert not path.exists()
