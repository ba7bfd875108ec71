"""Writing on pictures: the font, and what it can write."""

import functools
import unicodedata

from PIL import ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
# Letters that are no letter with a mark.
_OTHERS = str.maketrans(
    {"ß": "ss", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE"}
    | dict(zip("øØłŁđĐ", "oOlLdD", strict=True))
)


@functools.cache
def font_of(size: int) -> Font:
    """Pillow's own font, which is the same on every machine."""
    return ImageFont.load_default(size)


def writable(text: str) -> str:
    """A text in letters that the font has: those of ASCII, and the ellipsis.

    It would draw a box for any other; so marks are left out ("Kühe" becomes
    "Kuhe"), and what is no Latin letter is a question mark.
    """
    written = ""
    for letter in text.translate(_OTHERS):
        parts = letter
        if letter != "…":
            parts = unicodedata.normalize("NFKD", letter)
        for part in parts:
            if part.isascii() or part == "…":
                written += part
            elif not unicodedata.combining(part):
                written += "?"
    return written
