"""What is written on pictures can be read in the font that writes it."""

import cv2
import numpy as np
import pytest

from keras_wsss import lettering
from keras_wsss.drawing import Panel, Row, draw_overlay, draw_sheet
from keras_wsss.lettering import font_of, writable

MORE = pytest.mark.skipif(
    not hasattr(cv2, "FontFace"), reason="OpenCV 4 brings no letters"
)


@pytest.fixture
def few_letters(monkeypatch):
    """Those of Pillow's font alone, as with OpenCV 4."""
    monkeypatch.setattr(lettering, "_HAS_MORE", False)
    lettering._has_letter.cache_clear()
    yield
    lettering._has_letter.cache_clear()


@pytest.mark.usefixtures("few_letters")
@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("cat", "cat"),
        ("Kühe & Höfe", "Kuhe & Hofe"),
        ("Ku\u0308he", "Kuhe"),  # as macOS writes file names
        ("Straße Łódź Ærø", "Strasse Lodz AEro"),
        ("…/a", "…/a"),
        ("дом.jpg", "….jpg"),
    ],
)
def test_texts_in_letters_of_the_font(text, written):
    assert writable(text) == written
    box = bytes(font_of(20).getmask("\u0378"))  # no letter at all
    for letter in set(written) - {" "}:
        assert bytes(font_of(20).getmask(letter)) != box, letter


@pytest.mark.usefixtures("few_letters")
def test_names_on_overlays_are_written_so():
    image = np.zeros((96, 96, 3), np.uint8)
    mask = np.ones((96, 96), np.uint8)
    umlaut, plain, other, number = (
        draw_overlay(image, mask, {1: name})
        for name in ("Kühe", "Kuhe", "дом", "1")
    )
    np.testing.assert_array_equal(umlaut, plain)
    np.testing.assert_array_equal(other, number)
    assert (umlaut != other).any()


@MORE
@pytest.mark.parametrize("text", ["Ku\u0308he Łódź ß", "Кошка", "Γάτα", "猫"])
def test_letters_of_most_languages_are_written(text):
    (written,) = {writable(text), writable(text, 7)}
    assert written == text.replace("u\u0308", "ü")
    image = np.zeros((96, 200, 3), np.uint8)
    mask = np.ones((96, 200), np.uint8)
    drawn = [
        draw_overlay(image, mask, {1: name})
        for name in (written, "?" * len(written), "1")
    ]
    assert (drawn[0] != drawn[1]).any()
    assert (drawn[0] != drawn[2]).any()
    white = (drawn[0] > 180).all(axis=2)[4:-4, 4:-4]  # within the outline
    assert white.any()
    assert not white[:, [0, -1]].any()  # in the middle


@MORE
@pytest.mark.parametrize("text", ["قطة", "חתול", "भालू", "แมว", "😀 Кошка"])
def test_what_no_font_can_write_is_the_number(text):
    assert writable(text, 7) == "7"
    assert "?" not in writable(text)


@MORE
def test_names_below_a_sheet_take_their_room():
    image = np.zeros((40, 40, 3), np.uint8)

    def below(*names):
        rows = [Row(image, (Panel("picture"),) * 4, tuple(names))]
        return draw_sheet(rows, tile=80)[-32:]

    alone, both = below(("猫", 1)), below(("猫", 1), ("дом", 2))
    end = 8 + 15 + int(lettering.length("猫", 13)) + 14
    np.testing.assert_array_equal(alone[:, :end], both[:, :end])
    assert (alone[:, end:] != both[:, end:]).any()
    assert (alone[:, 23:end] != 255).any()
