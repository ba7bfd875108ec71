"""Small generated pictures for warm-up requests and for the check."""

import io

import numpy as np
from PIL import Image

_ORIENTATION = 0x0112  # EXIF tag


def sample_files() -> list[bytes]:
    """Files of different sizes and kinds, the same ones at every call.

    Returns:
        A JPEG, a JPEG that EXIF turns by 90 degrees, and a PNG with alpha.
    """
    plain, turned, transparent = (
        _picture(seed, size)
        for seed, size in enumerate([(160, 120), (150, 100), (91, 130)])
    )
    exif = Image.Exif()
    exif[_ORIENTATION] = 6
    transparent.putalpha(128)
    return [
        _file(plain, "JPEG"),
        _file(turned, "JPEG", exif=exif),
        _file(transparent, "PNG"),
    ]


def forbidden_files() -> list[bytes]:
    """Files that must be refused without being decoded.

    Returns:
        A GIF, and the head of a PNG of 10 billion pixels.
    """
    gif = _file(_picture(0, (8, 8)), "GIF")
    side = (100_000).to_bytes(4, "big")
    png = bytearray(_file(_picture(0, (8, 8)), "PNG"))
    png[16:24] = side + side
    return [gif, bytes(png)]


def _picture(seed: int, size: tuple[int, int]) -> Image.Image:
    """Smooth colours; `size` is width and height."""
    rng = np.random.default_rng(seed)
    cells = rng.integers(0, 256, (4, 5, 3), np.uint8)
    return Image.fromarray(cells).resize(size, Image.Resampling.BICUBIC)


def _file(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()
