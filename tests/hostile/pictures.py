"""Hostile, broken and odd picture files, made from scratch.

`picture_cases()` is the whole corpus; what it holds is independent of who
reads it, so that readers, commands and the served model can be driven
through the same list.
"""

import functools
import io
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, PngImagePlugin

HEIGHT, WIDTH = 20, 30
MEGAPIXELS_60 = (10_000, 6_000)
_MAGIC = b"\x89PNG\r\n\x1a\n"


class PictureCase(NamedTuple):
    """One file and what must come of it.

    Attributes:
        name: unique, for test ids.
        file_name: what the file is called.
        write: makes the file at the given path.
        problem: regular expression that the refusal must match; None when
            the file must be read.
        pixels: uint8 [height, width, 3] that reading must give, within
            `tolerance`; None when the file must be refused.
        tolerance: largest mean difference in grey levels.
    """

    name: str
    file_name: str
    write: Callable[[Path], object]
    problem: str | None
    pixels: np.ndarray | None = None
    tolerance: float = 0.0


def colours() -> np.ndarray:
    """Smooth, so that JPEG keeps it, and without symmetry."""
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    parts = [rows * 8, columns * 7, 255 - rows * 5]
    return np.stack(parts, -1).astype(np.uint8)


def encode(image: Image.Image | np.ndarray, kind: str, **options) -> bytes:
    """A picture file's bytes."""
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def chunk(kind: bytes, content: bytes = b"") -> bytes:
    """A PNG chunk with the right length and checksum."""
    checksum = zlib.crc32(kind + content)
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", checksum)
    )


def header(width: int, height: int, depth: int = 8, colour: int = 2) -> bytes:
    """PNG magic and header chunk for any claim of a size."""
    return _MAGIC + chunk(
        b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    )


def jpeg_with_size(width: int, height: int) -> bytes:
    """A small JPEG whose header claims another size."""
    data = bytearray(encode(colours(), "JPEG"))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def with_chunks(*chunks: bytes) -> bytes:
    """A good PNG with further chunks behind its header."""
    data = encode(colours(), "PNG")
    end = len(_MAGIC) + 25
    return data[:end] + b"".join(chunks) + data[end:]


def with_segment(marker: int, content: bytes) -> bytes:
    """A good JPEG with a further segment behind its start."""
    data = encode(colours(), "JPEG", quality=98)
    size = struct.pack(">H", len(content) + 2)
    return data[:2] + bytes((0xFF, marker)) + size + content + data[2:]


def many_scans(width: int, height: int, scans: int) -> bytes:
    """A small progressive JPEG that asks for the same work again and again.

    Every scan refines nothing but makes the decoder visit all blocks.
    """
    data = encode(np.zeros((16, 16), np.uint8), "JPEG", progressive=True)
    frame = data.index(b"\xff\xc2")
    start = data.index(b"\xff\xda")
    head = bytearray(data[:start])
    head[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    end_of_blocks = b"\xff\xda\x00\x08\x01\x01\x00\x01\x3f\x00"
    table = b"\xff\xc4" + struct.pack(">H", 20) + b"\x10\x01" + bytes(16)
    return bytes(head) + table + end_of_blocks * scans + b"\xff\xd9"


def bomb(side: tuple[int, int], kind: str, **options) -> bytes:
    """A flat picture: a small file and many pixels."""
    image = Image.new("RGB" if kind == "JPEG" else "P", side)
    return encode(image, kind, **options)


def _truncated() -> Iterator[PictureCase]:
    exif = Image.Exif()
    exif[0x010E] = "text"
    for kind, ending in (("JPEG", "jpg"), ("PNG", "png")):
        data = encode(colours(), kind, exif=exif)
        for tenth in range(10):
            part = data[: len(data) * tenth // 10]
            words = "is truncated|is empty|damaged"
            yield _bytes(f"{ending}_{tenth}_tenths", f"a.{ending}", part, words)


def _bytes(
    name: str,
    file_name: str,
    data: bytes,
    problem: str | None,
    pixels: np.ndarray | None = None,
    tolerance: float = 0.0,
) -> PictureCase:
    def write(path: Path) -> None:
        path.write_bytes(data)

    return PictureCase(name, file_name, write, problem, pixels, tolerance)


def _other_kinds() -> Iterator[PictureCase]:
    kinds = "neither JPEG nor PNG"
    for kind in ("GIF", "BMP", "TIFF", "WEBP", "PPM", "ICO"):
        data = encode(colours(), kind)
        yield _bytes(kind.lower(), f"a.{kind.lower()}.jpg", data, kinds)
    frames = [Image.fromarray(colours())] * 3
    animated = encode(frames[0], "GIF", save_all=True, append_images=frames)
    yield _bytes("gif_animated", "a.png", animated, kinds)
    yield _bytes("zeros", "a.jpg", bytes(1000), kinds)
    yield _bytes("empty", "b.jpg", b"", "is empty")
    yield _bytes("text", "a.jpg", b"<svg onload='x'></svg>", kinds)
    yield _bytes("zip", "a.png", b"PK\x03\x04" + bytes(60), kinds)
    yield _bytes("hdf5", "a.png", b"\x89HDF\r\n\x1a\n" + bytes(60), kinds)
    page = b"<!DOCTYPE html><title>404</title>"
    yield _bytes("error_page", "a.jpg", page, kinds)


def _sizes() -> Iterator[PictureCase]:
    limit = "is more than the limit"
    for width, height in (
        (1, 500_000_000),
        (500_000_000, 1),
        (65_500, 65_500),
        (2**31 - 1, 2**31 - 1),
        (2**32 - 1, 2**32 - 1),
    ):
        data = header(width, height) + chunk(b"IDAT") + chunk(b"IEND")
        yield _bytes(f"png_{width}x{height}", "a.png", data, limit)
    yield _bytes(
        "jpeg_65500x65500", "a.jpg", jpeg_with_size(65_500, 65_500), limit
    )
    strip = encode(Image.new("P", (60_000, 100)), "PNG")
    yield _bytes("png_strip", "a.png", strip, "too long a strip")
    for width, height in ((0, 20), (20, 0)):
        data = header(width, height) + chunk(b"IEND")
        yield _bytes(f"png_{width}x{height}", "a.png", data, "gives the size")
    yield _bytes("jpeg_no_rows", "a.jpg", jpeg_with_size(30, 0), "the size")
    yield _bytes("png_bomb", "a.png", bomb((10_000, 9_000), "PNG"), limit)


def _broken() -> Iterator[PictureCase]:
    png, jpeg = encode(colours(), "PNG"), encode(colours(), "JPEG")
    flipped = bytearray(png)
    flipped[len(png) // 2] ^= 4
    yield _bytes("png_bit", "a.png", bytes(flipped), "checksum is wrong")
    corrupt = "corrupt|damaged|truncated"
    rows = zlib.compress(bytes((WIDTH * 3 + 1) * HEIGHT))
    start, end = header(WIDTH, HEIGHT), chunk(b"IEND")
    for name, middle in (
        ("png_no_data", b""),
        ("png_empty_data", chunk(b"IDAT")),
        ("png_data_is_noise", chunk(b"IDAT", bytes(range(100)))),
        ("png_data_too_short", chunk(b"IDAT", rows[: len(rows) // 2])),
        ("png_few_rows", chunk(b"IDAT", zlib.compress(bytes(500)))),
        ("png_bad_filter", chunk(b"IDAT", zlib.compress(b"\x09" * 1820))),
    ):
        yield _bytes(name, "a.png", start + middle + end, corrupt)
    data = chunk(b"IDAT", rows)
    for name, first in (
        ("png_bad_depth", header(WIDTH, HEIGHT, 7)),
        ("png_bad_colour", header(WIDTH, HEIGHT, 8, 5)),
        ("png_no_palette", header(WIDTH, HEIGHT, 8, 3)),
        ("png_two_headers", start + start[8:]),
        ("png_short_header", _MAGIC + chunk(b"IHDR", bytes((0, 0, 0, 9) * 2))),
    ):
        yield _bytes(name, "a.png", first + data + end, f"{corrupt}|header")
    yield _bytes(
        "png_two_sizes",
        "a.png",
        start + header(60_000, 60_000)[8:] + data + end,
        corrupt,
    )
    empty = chunk(b"teXt") * 200_000
    yield _bytes(
        "png_many_chunks", "a.png", png[:33] + empty + png[33:], "chunks"
    )
    yield _bytes(
        "jpeg_fill", "a.jpg", b"\xff\xd8" + b"\xff" * 3_000_000, "header"
    )
    yield _bytes(
        "jpeg_empty_segments",
        "a.jpg",
        b"\xff\xd8" + b"\xff\xe0\x00\x02" * 1_000_000,
        "header",
    )
    yield _bytes(
        "jpeg_bare_markers", "a.jpg", b"\xff\xd8" + b"\xff\x01" * 900_000,
        "header",
    )  # fmt: skip
    yield _bytes(
        "jpeg_thousand_scans", "a.jpg", many_scans(8_000, 7_900, 1000), "scans"
    )
    yield _bytes(
        "jpeg_no_scan", "a.jpg", jpeg[:300] + b"\xff\xd9", "header|corr"
    )
    yield _bytes("jpeg_only_marks", "a.jpg", b"\xff\xd8\xff\xd9", "header")
    yield _bytes(
        "jpeg_magic_only", "a.jpg", b"\xff\xd8\xff" + bytes(99), "header"
    )


def _text_bombs() -> Iterator[PictureCase]:
    packed = zlib.compress(bytes(100_000_000), 1)
    good = colours()
    for name, extra in (
        ("zTXt", b"key\0\0" + packed),
        ("iTXt", b"key\0\1\0\0\0" + packed),
        ("iCCP", b"profile\0\0" + packed),
    ):
        data = with_chunks(chunk(name.encode(), extra))
        # The text is no part of the picture: nothing may unpack it.
        yield _bytes(f"png_{name}_bomb", "a.png", data, None, good)


def _odd_but_good() -> Iterator[PictureCase]:
    good = colours()
    image = Image.fromarray(good)
    grey = np.asarray(image.convert("L"))
    as_rgb = np.repeat(grey[..., None], 3, axis=2)
    yield _bytes("png_as_jpg", "a.jpg", encode(good, "PNG"), None, good)
    yield _bytes("grey", "a.png", encode(grey, "PNG"), None, as_rgb)
    deep = grey.astype(np.uint16) * 256 + 77
    yield _bytes("png_16_bit", "a.png", encode(deep, "PNG"), None, as_rgb)
    for mode in ("RGBA", "LA", "P", "1"):
        other = image.convert(mode)
        expected = np.asarray(other.convert("RGB"))
        yield _bytes(
            f"png_{mode}", "a.png", encode(other, "PNG"), None, expected
        )
    palette = image.convert("P")
    yield _bytes(
        "palette_with_transparency",
        "a.png",
        encode(palette, "PNG", transparency=3),
        None,
        np.asarray(palette.convert("RGB")),
    )
    frames = [Image.fromarray(255 - good)] * 2
    for name, apart in (("png_animated", False), ("png_animated_apart", True)):
        data = encode(
            image,
            "PNG",
            save_all=True,
            append_images=frames,
            default_image=apart,
        )
        yield _bytes(name, "a.png", data, "animated")
    for name, options in (
        ("jpeg_progressive", {"progressive": True}),
        ("jpeg_444", {"subsampling": 0}),
    ):
        data = encode(good, "JPEG", quality=98, **options)
        yield _bytes(name, "a.jpg", data, None, good, 4)
    ink = image.convert("CMYK")
    yield _bytes(
        "jpeg_cmyk", "a.jpg", encode(ink, "JPEG", quality=98), None, good, 25
    )
    for turn, quarters in ((3, 2), (6, -1), (8, 1)):
        exif = Image.Exif()
        exif[0x0112] = turn
        data = encode(good, "JPEG", exif=exif, quality=98)
        upright = np.rot90(good, quarters)
        yield _bytes(f"jpeg_exif_{turn}", "a.jpg", data, None, upright, 4)
    for name, content in (
        ("garbage", b"Exif\0\0" + bytes(range(200))),
        ("endless", b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\xff" * 100),
        ("loop", b"Exif\0\0II*\0\x08\0\0\0\0\0\x08\0\0\0"),
    ):
        data = with_segment(0xE1, content)
        yield _bytes(f"jpeg_exif_{name}", "a.jpg", data, None, good, 4)
    behind = encode(good, "JPEG", quality=98) + b"GIF89a" * 50
    yield _bytes("jpeg_with_tail", "a.jpg", behind, None, good, 4)
    behind = encode(good, "PNG") + b"PK\x03\x04" * 50
    yield _bytes("png_with_tail", "a.png", behind, None, good)
    notes = PngImagePlugin.PngInfo()
    notes.add_text("note", "../../etc/passwd\x1b[2J")
    data = encode(image, "PNG", pnginfo=notes)
    yield _bytes("png_with_text", "a.png", data, None, good)


def _no_files() -> Iterator[PictureCase]:
    def sparse(path: Path) -> None:
        path.write_bytes(encode(colours(), "JPEG"))
        os.truncate(path, 50_000_000_000)

    def loop(path: Path) -> None:
        path.symlink_to(path.name)

    gone, odd = "no such file", "not a file|cannot be read"
    yield PictureCase("sparse_50_gb", "a.jpg", sparse, "MB|bytes")
    yield PictureCase("symlink_loop", "a.jpg", loop, f"{odd}|{gone}")
    yield PictureCase(
        "symlink_dangling", "a.jpg", lambda p: p.symlink_to("gone"), gone
    )
    yield PictureCase(
        "symlink_device", "a.jpg", lambda p: p.symlink_to("/dev/zero"), odd
    )
    yield PictureCase("folder", "a.jpg", lambda path: path.mkdir(), odd)
    yield PictureCase("pipe", "a.jpg", os.mkfifo, odd)


@functools.cache
def picture_cases() -> tuple[PictureCase, ...]:
    """The corpus, at least 60 files, the same ones at every call."""
    return (
        *_truncated(),
        *_other_kinds(),
        *_sizes(),
        *_broken(),
        *_text_bombs(),
        *_odd_but_good(),
        *_no_files(),
    )
