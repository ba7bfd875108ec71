"""What HTML pages that need nothing beside them are made of.

Templates that escape all that comes from data, a policy that lets nothing be
loaded, and pictures small enough to stand in the file.
"""

import base64
import hashlib
import io
from collections.abc import Iterable
from importlib import resources

import cv2
import jinja2
import numpy as np
from PIL import Image

from keras_wsss.categories import IGNORE
from keras_wsss.colours import bright_palette

SIDE = 320  # pixels, longest side of a picture in a page
_QUALITY = 78  # of JPEG
_VOID = (200, 200, 200)
_VOID_OPACITY = 110  # of 255


def environment(package: str) -> jinja2.Environment:
    """Where the templates of a package's pages are found.

    Args:
        package: has them in its folder `templates`.
    """
    templates = jinja2.Environment(
        loader=jinja2.PackageLoader(package),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters["base64"] = in_base64
    return templates


def read_part(package: str, name: str) -> str:
    """The text of a file beside the templates: a style or a script."""
    folder = resources.files(package) / "templates"
    return (folder / name).read_text(encoding="utf-8")


def policy(style: str, script: str) -> str:
    """Content of the page's Content-Security-Policy.

    Nothing may be loaded, and only our own style and script may run, even if
    a name of a picture should ever get past the escaping.
    """
    return (
        "default-src 'none'; img-src data:; base-uri 'none'; "
        f"form-action 'none'; style-src {_hash(style)}; "
        f"script-src {_hash(script)}"
    )


def colour_rules(ids: Iterable[int]) -> str:
    """Style rules `.cID` for the colours of categories."""
    rules = []
    for number in ids:
        red, green, blue = (int(v) for v in bright_palette()[number])
        rules.append(f".c{number}{{background:rgb({red},{green},{blue})}}")
    return "\n".join(rules)


def in_base64(data: bytes) -> str:
    """Bytes as text, for addresses of the kind `data:`."""
    return base64.b64encode(data).decode()


def small_jpeg(
    image: np.ndarray, side: int = SIDE
) -> tuple[bytes, tuple[int, int]]:
    """A small copy of a picture.

    Args:
        image: uint8 [H, W, 3], RGB.
        side: its longest side at most, pixels.

    Returns:
        A JPEG, and its width and height.
    """
    scale = min(1.0, side / max(image.shape[:2]))
    width, height = (max(1, round(scale * n)) for n in image.shape[1::-1])
    small = cv2.resize(image, (width, height), None, 0, 0, cv2.INTER_AREA)
    buffer = io.BytesIO()
    Image.fromarray(small).save(buffer, "JPEG", quality=_QUALITY, optimize=True)
    return buffer.getvalue(), (width, height)


def png(image: np.ndarray) -> bytes:
    """An image, uint8 [h, w, 3 or 4], as a PNG."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def mask_png(mask: np.ndarray) -> bytes:
    """A mask, uint8 [h, w], in colours; transparent where it is background."""
    values = np.flatnonzero(np.bincount(mask.ravel(), minlength=256))
    numbers = np.zeros(256, np.uint8)
    numbers[values] = np.arange(len(values))
    colours = bright_palette()[values].round().astype(np.uint8)
    colours[values == IGNORE] = _VOID
    opacity = np.where(values == 0, 0, 255)
    opacity[values == IGNORE] = _VOID_OPACITY
    image = Image.fromarray(numbers[mask])
    image.putpalette(colours.ravel().tolist())
    buffer = io.BytesIO()
    image.save(buffer, "PNG", transparency=bytes(opacity.tolist()))
    return buffer.getvalue()


def smaller_png(data: bytes, size: tuple[int, int]) -> bytes:
    """A PNG of `mask_png` at another size, width and height."""
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(data)) as image:
        opacity = image.info["transparency"]
        small = image.resize(size, Image.Resampling.NEAREST)
    small.save(buffer, "PNG", transparency=opacity)
    return buffer.getvalue()


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{in_base64(digest)}'"
