"""What is written on pictures can be read in the font that writes it."""

import numpy as np
import pytest

from keras_wsss.drawing import draw_overlay
from keras_wsss.lettering import font_of, writable


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("cat", "cat"),
        ("Kühe & Höfe", "Kuhe & Hofe"),
        ("Ku\u0308he", "Kuhe"),  # as macOS writes file names
        ("Straße Łódź Ærø", "Strasse Lodz AEro"),
        ("…/a", "…/a"),
        ("дом", "???"),
    ],
)
def test_texts_in_letters_of_the_font(text, written):
    assert writable(text) == written
    box = bytes(font_of(20).getmask("\u0378"))  # no letter at all
    for letter in set(written) - {" "}:
        assert bytes(font_of(20).getmask(letter)) != box, letter


def test_names_on_overlays_are_written_so():
    image = np.zeros((96, 96, 3), np.uint8)
    mask = np.ones((96, 96), np.uint8)
    umlaut, plain, other = (
        draw_overlay(image, mask, {1: name}) for name in ("Kühe", "Kuhe", "K")
    )
    np.testing.assert_array_equal(umlaut, plain)
    assert (umlaut != other).any()
