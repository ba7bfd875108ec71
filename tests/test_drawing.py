"""What panels show, pixel by pixel."""

import numpy as np
import pytest

from keras_wsss.categories import palette
from keras_wsss.colours import bright_palette
from keras_wsss.drawing import (
    STYLES,
    Panel,
    Row,
    draw_overlay,
    draw_panel,
    draw_sheet,
    glow_layer,
    shares,
)

IMAGE = np.full((40, 60, 3), 120, np.uint8)


def test_a_panel_without_mask_and_maps_is_the_picture():
    assert np.array_equal(draw_panel(IMAGE, Panel("picture")), IMAGE)


def test_mask_of_another_size_is_drawn_in_the_colour_of_its_id():
    mask = np.array([[0, 3], [255, 0]], np.uint8)
    drawn = draw_panel(IMAGE, Panel("mask", mask=mask)).astype(int)
    assert drawn.shape == IMAGE.shape
    expected = 0.15 * 120 + 0.85 * bright_palette()[3]
    assert drawn[5, 45] == pytest.approx(expected, abs=1)
    assert drawn[30, 10].tolist() == [190, 190, 190]  # ignored
    assert drawn[5, 5].tolist() == [36, 36, 36]  # background: dark


def test_every_value_is_painted_as_arithmetic_would():
    image = np.broadcast_to(
        np.arange(256, dtype=np.uint8)[:, None, None], (256, 254, 3)
    ).copy()
    mask = np.broadcast_to(np.arange(1, 255, dtype=np.uint8), (256, 254))
    expected = 0.15 * image + 0.85 * bright_palette()[mask]
    drawn = draw_panel(image, Panel("mask", mask=mask.copy()))
    # As pixels are stored: what lies behind the point is cut off.
    assert np.array_equal(drawn, expected.astype(np.float32).astype(np.uint8))


def test_maps_are_drawn_as_shares_of_their_own_maximum():
    """Two labels: left in one colour, right in another, however large."""
    maps = np.zeros((2, 2, 4), np.float32)
    maps[0, :, 0] = 1e-4
    maps[1, :, 3] = 500.0
    drawn = draw_panel(IMAGE, Panel("attention", maps=maps, ids=(1, 2)))
    left, right = drawn[20, 2].astype(int), drawn[20, 57].astype(int)
    assert left == pytest.approx(
        np.minimum(36 + 0.9 * bright_palette()[1], 255), abs=2
    )
    assert right == pytest.approx(
        np.minimum(36 + 0.9 * bright_palette()[2], 255), abs=2
    )


def test_no_map_leaves_the_dark_picture():
    empty = Panel("attention", maps=np.zeros((0, 4, 4), np.float32))
    assert (draw_panel(IMAGE, empty) == 36).all()


def test_shares_drop_what_is_negative():
    found = shares(np.array([[[-3.0, 2.0], [4.0, 0.0]]]))
    assert found.tolist() == [[[0.0, 0.5], [1.0, 0.0]]]
    assert shares(np.zeros((1, 2, 2))).tolist() == [[[0, 0], [0, 0]]]


def test_what_is_not_finite_is_drawn_as_nothing():
    maps = np.array([[[np.nan, 2.0], [np.inf, -np.inf]]])
    assert shares(maps).tolist() == [[[0, 1], [0, 0]]]
    spoiled = Panel("map", maps=np.full((1, 2, 2), np.nan), ids=(3,))
    assert draw_panel(IMAGE, spoiled).max() == 36  # the dark picture


def test_glow_layer_puts_brightness_into_opacity():
    layer = glow_layer(np.array([[[1.0, 0.5, 0.0]]]), [1])
    colour = bright_palette()[1]
    full = colour * 255 / colour.max()
    assert layer[0, 0, :3] == pytest.approx(full, abs=1)
    assert layer[0, 1, :3] == pytest.approx(full, abs=1)
    assert layer[0, :, 3].tolist() == [
        int(colour.max()),
        int(colour.max() / 2),
        0,
    ]


def test_sheet_has_a_row_for_each_picture_and_a_place_for_each_panel():
    mask = np.ones((40, 60), np.uint8)
    panels = (Panel("picture"), Panel("mask", mask=mask))
    rows = [Row(IMAGE, panels, (("cat", 1),)), Row(IMAGE, panels[:1])]
    sheet = draw_sheet(rows, tile=60)
    assert sheet.shape == (30 + 2 * (60 + 24 + 8), 8 + 2 * 68, 3)
    first, second = 30 + 30, 30 + 92 + 30  # middles of the rows
    assert sheet[first, 38].tolist() == [120, 120, 120]
    assert sheet[first, 106].max() > 200  # the mask's colour
    assert sheet[second, 38].tolist() == [120, 120, 120]
    assert sheet[second, 106].tolist() == [255, 255, 255]  # no second panel


def test_other_panels_get_headings_of_their_own():
    rows = [
        Row(IMAGE, (Panel("picture"), Panel("one"))),
        Row(IMAGE, (Panel("picture"),)),
        Row(IMAGE, (Panel("picture"), Panel("two"))),
    ]
    sheet = draw_sheet(rows, tile=60)
    assert sheet.shape[0] == 2 * 30 + 3 * (60 + 24 + 8)
    line = sheet[30 + 2 * 92 : 60 + 2 * 92]
    assert (line < 100).any()  # ink
    assert (sheet[30 + 92 - 8 : 30 + 92] > 250).all()


def as_dichromat(colours, kind):
    """sRGB as seen without cones for red or green (Vienot et al., 1999).

    Another model than the one that the colours were chosen by.
    """
    linear = (np.asarray(colours, float) / 255) ** 2.2
    matrix = {
        "red": [[0.1124, 0.8876, 0], [0.1124, 0.8876, 0], [0.004, -0.004, 1]],
        "green": [[0.2928, 0.7072, 0], [0.2928, 0.7072, 0], [-0.022, 0.022, 1]],
    }[kind]
    return 255 * np.clip(linear @ np.transpose(matrix), 0, 1) ** (1 / 2.2)


@pytest.mark.parametrize("kind", ["red", "green"])
def test_colours_stay_apart_for_the_colour_blind(kind):
    colours = as_dichromat(bright_palette()[1:21], kind)
    apart = np.linalg.norm(colours[:, None] - colours[None], axis=2)
    nearest = apart[~np.eye(20, dtype=bool)].min()
    assert nearest > 15
    # In the VOC palette, red and green are nearly one.
    voc = as_dichromat(palette()[1:21], kind)
    apart = np.linalg.norm(voc[:, None] - voc[None], axis=2)
    assert apart[~np.eye(20, dtype=bool)].min() < nearest


def test_all_colours_differ():
    assert len(np.unique(bright_palette(), axis=0)) == 256


def test_styles_draw_the_same_region():
    mask = np.zeros((40, 60), np.uint8)
    mask[10:30, 20:40] = 3
    drawn = {s: draw_overlay(IMAGE, mask, style=s).astype(int) for s in STYLES}
    colour = bright_palette()[3]
    assert drawn["colour"][20, 30] == pytest.approx(
        0.45 * 120 + 0.55 * colour, abs=1
    )
    assert drawn["colour"][2, 2].tolist() == [120, 120, 120]
    assert drawn["colour"][10, 30].tolist() == [255, 255, 255]
    assert drawn["outline"][20, 30].tolist() == [120, 120, 120]
    assert drawn["outline"][10, 30] == pytest.approx(colour, abs=1)
    assert drawn["dark"][2, 2].tolist() == [36, 36, 36]


def test_names_are_written_on_their_regions():
    image = np.full((200, 300, 3), 120, np.uint8)
    mask = np.zeros((200, 300), np.uint8)
    mask[:, 250:] = 3  # at the border, narrower than the name
    plain = draw_overlay(image, mask)
    named = draw_overlay(image, mask, {3: "sea cucumber", 4: "not there"})
    changed = np.argwhere((plain != named).any(axis=2))
    low, high = changed.min(axis=0), changed.max(axis=0)
    assert 60 < low[0] <= high[0] < 140
    assert 150 < low[1] <= high[1] < 300
