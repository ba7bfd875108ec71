"""Writing on pictures: the fonts, and what they can write."""

import functools
import math
import re
import unicodedata

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
# Letters that are no letter with a mark.
_OTHERS = str.maketrans(
    {"ß": "ss", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE"}
    | dict(zip("øØłŁđĐ", "oOlLdD", strict=True))
)
# OpenCV 5 brings letters of most languages, 4 none that Pillow has not.
_HAS_MORE = hasattr(cv2, "FontFace")
_WEIGHT = 400  # of a letter's lines: regular


@functools.cache
def font_of(size: int) -> Font:
    """Pillow's own font, which is the same on every machine.

    It has the letters of ASCII, and the ellipsis.
    """
    return ImageFont.load_default(size)


def writable(text: str, number: int | None = None) -> str:
    """A text in letters that there are, so that no box or ? stands for one.

    Where OpenCV is older than 5, that is ASCII: marks are left out ("Kühe"
    becomes "Kuhe"). What even then has a letter that is missing (of scripts
    whose letters change with their neighbours or run from right to left, and
    emoji) is written as a number.

    Args:
        text: a name.
        number: of the category that has the name, to be written instead.
            Without it an ellipsis stands for what is missing.
    """
    text = unicodedata.normalize("NFC", text)
    if all(map(_has_letter, text)):
        return text
    parts = unicodedata.normalize("NFKD", text.translate(_OTHERS))
    plain = "".join(c for c in parts if not unicodedata.combining(c))
    if all(map(_has_letter, plain)):
        return plain
    if number is not None:
        return str(number)
    shown = (c if _has_letter(c) else "…" for c in plain)
    return re.sub("…+", "…", "".join(shown))


def length(text: str, size: int) -> float:
    """Width of a writable text, in pixels."""
    if _is_plain(text):
        return font_of(size).getlength(text)
    return _letters(text, size).width


def write(
    draw: ImageDraw.ImageDraw,
    place: tuple[float, float],
    text: str,
    ink: tuple[int, int, int],
    size: int,
    outline: tuple[int, int, int] | None = None,
) -> None:
    """Writes a writable text; its line's upper left corner is at `place`.

    Args:
        draw: of an RGB picture.
        place: x and y.
        text: see `writable`.
        ink: colour.
        size: of the font, pixels.
        outline: colour of two pixels around the letters.
    """
    if _is_plain(text):
        width = 2 if outline else 0
        font = font_of(size)
        draw.text(
            place, text, ink, font, stroke_width=width, stroke_fill=outline
        )
        return
    letters = _letters(text, size)
    x, y = round(place[0]), round(place[1])
    if outline:
        wide = np.pad(np.asarray(letters), 2)
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
        around = Image.fromarray(cv2.dilate(wide, kernel))
        draw.bitmap((x - 2, y - 2), around, outline)
    draw.bitmap((x, y), letters, ink)


def box_of(text: str, size: int) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of a writable text with its outline."""
    if not _is_plain(text):
        width, height = _letters(text, size).size
        return -2, -2, width + 2, height + 2
    measure = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    return measure.textbbox((0, 0), text, font_of(size), stroke_width=2)


def _is_plain(text: str) -> bool:
    """Whether Pillow's font has all letters."""
    return all(letter.isascii() or letter == "…" for letter in text)


@functools.cache
def _has_letter(letter: str) -> bool:
    """Whether one of the fonts has a letter, as it is alone."""
    if _is_plain(letter):
        return True
    alone = unicodedata.bidirectional(letter) not in ("R", "AL")
    if not _HAS_MORE or not alone or unicodedata.combining(letter):
        return False
    # OpenCV writes a question mark for a letter that it has not.
    drawn = _letters(letter, 24), _letters("?", 24)
    return drawn[0].size != drawn[1].size or drawn[0] != drawn[1]


def _letters(text: str, size: int) -> Image.Image:
    """A line of letters, white on black, by OpenCV's font."""
    font, weight = cv2.FontFace("sans"), {"weight": _WEIGHT}
    above, below = size, math.ceil(size / 4)
    line = np.zeros((above + below, 1), np.uint8)
    # What is returned is where a next letter would stand.
    (width, _), _ = cv2.putText(
        line, text, (0, above), 255, font, size, **weight
    )
    line = np.zeros((above + below, max(1, width)), np.uint8)
    cv2.putText(line, text, (0, above), 255, font, size, **weight)
    return Image.fromarray(line)
