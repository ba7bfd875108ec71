"""In-graph decoding equals `read_image`, and refuses before it decodes."""

import io
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_wsss.data.images import decode_image
from keras_wsss.inference.decode import decode_picture, upright_size

LIMIT = 10_000


@pytest.fixture(scope="module")
def decode():
    return tf.function(
        lambda data: decode_picture(data, LIMIT, 1000),
        autograph=False,
        input_signature=[tf.TensorSpec([], tf.string)],
    )


def picture(mode: str = "RGB", size=(37, 21)) -> Image.Image:
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (5, 7, 3), np.uint8)
    smooth = Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)
    if mode == "RGBA":
        smooth.putalpha(Image.fromarray(np.asarray(smooth)[..., 0]))
        return smooth
    if mode == "I;16":
        grey = np.asarray(smooth.convert("L")).astype(np.uint16)
        return Image.fromarray(grey * 256 + 17)
    return smooth.convert(mode)


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def exif(orientation: int, endian: str = "<") -> bytes:
    """A TIFF header with an unrelated entry and the orientation."""
    mark = b"II" if endian == "<" else b"MM"
    entries = struct.pack(endian + "HHII", 0x010F, 3, 1, 0)
    entries += struct.pack(endian + "HHIHH", 0x0112, 3, 1, orientation, 0)
    head = mark + struct.pack(endian + "HI", 42, 8)
    return b"Exif\0\0" + head + struct.pack(endian + "H", 2) + entries


@pytest.mark.parametrize(
    ("mode", "kind", "options"),
    [
        ("RGB", "JPEG", {"quality": 80}),
        ("RGB", "JPEG", {"quality": 95, "subsampling": 0}),
        ("RGB", "JPEG", {"progressive": True}),
        ("L", "JPEG", {}),
        ("RGB", "PNG", {}),
        ("RGBA", "PNG", {}),
        ("P", "PNG", {}),
        ("L", "PNG", {}),
        ("1", "PNG", {}),
        ("I;16", "PNG", {}),
    ],
)
def test_pixels_are_those_of_read_image(decode, mode, kind, options):
    data = encoded(picture(mode), kind, **options)
    np.testing.assert_array_equal(
        decode(data).numpy(), decode_image(data, "it")
    )


@pytest.mark.parametrize("endian", ["<", ">"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_that_of_read_image(decode, orientation, endian):
    data = encoded(picture(), "JPEG", exif=exif(orientation, endian))
    found, expected = decode(data).numpy(), decode_image(data, "it")
    np.testing.assert_array_equal(found, expected)
    assert (found.shape[0] == 37) == (orientation >= 5)
    assert tuple(upright_size(data, LIMIT, 1000)) == found.shape[:2]


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_orientation_of_a_png(decode, orientation):
    data = encoded(picture(), "PNG", exif=exif(orientation))
    np.testing.assert_array_equal(
        decode(data).numpy(), decode_image(data, "it")
    )


@pytest.mark.parametrize("orientation", [0, 9, 60000])
def test_unknown_orientation_is_upright(decode, orientation):
    data = encoded(picture(), "JPEG", exif=exif(orientation))
    assert decode(data).shape == (21, 37, 3)


def test_fill_bytes_between_segments_are_passed_over(decode):
    data = encoded(picture(), "JPEG", exif=exif(6))
    filled = data[:2] + b"\xff\xff\xff" + data[2:]
    assert decode(filled).shape == (37, 21, 3)


def huge_png(width: int, height: int) -> bytes:
    """A few bytes that promise many pixels."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + body
    return b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", zlib.crc32(body))


def huge_jpeg(width: int, height: int) -> bytes:
    data = bytearray(encoded(picture(), "JPEG"))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "neither JPEG nor PNG"),
        (b"\xff", "neither JPEG nor PNG"),
        (b"GIF89a" + bytes(100), "neither JPEG nor PNG"),
        (b"BM" + bytes(100), "neither JPEG nor PNG"),
        (b"<svg>", "neither JPEG nor PNG"),
        (b"\x89PNG\r\n\x1a\n", "damaged header"),
        (huge_png(0, 5), "damaged header"),
        (huge_png(101, 100), "more than 10000 pixels"),
        (huge_png(2**31 - 1, 2**31 - 1), "longer than 1000 pixels"),
        (huge_png(1001, 1), "longer than 1000 pixels"),
        (huge_jpeg(200, 100), "more than 10000 pixels"),
        (huge_jpeg(65_000, 65_000), "longer than 1000 pixels"),
    ],
)
def test_refused_before_decoding(decode, data, text):
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        decode(data)
    words = str(caught.value).replace("[", " ").replace("]", " ")
    assert text in " ".join(words.split())


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_truncated_pixels_are_an_error(decode, kind):
    data = encoded(picture(), kind)
    for length in (len(data) // 2, len(data) - 40, 20):
        with pytest.raises(tf.errors.InvalidArgumentError):
            decode(data[:length])


def test_many_scans_are_refused(decode):
    data = encoded(picture(), "JPEG", progressive=True)
    start = data.index(b"\xff\xda")
    scan = data[start : data.index(b"\xff\xda", start + 2)]
    many = data[:start] + 101 * scan + data[start:]
    with pytest.raises(tf.errors.InvalidArgumentError, match="JPEG scans"):
        decode(many)


def test_an_orientation_behind_the_pixels_counts(decode):
    """ImageMagick writes it there."""
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(picture(), "PNG", exif=exif)
    start = data.index(b"eXIf") - 4
    length = 12 + int.from_bytes(data[start : start + 4], "big")
    chunk, rest = data[start : start + length], data[start + length :]
    end = rest.index(b"IEND") - 4
    data = data[:start] + rest[:end] + chunk + rest[end:]
    upright = np.rot90(np.asarray(picture()), -1)
    np.testing.assert_array_equal(decode_image(data, "a"), upright)
    np.testing.assert_array_equal(decode(data).numpy(), upright)
