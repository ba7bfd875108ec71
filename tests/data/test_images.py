"""Pictures: kinds, sizes, orientation, and files that must be refused."""

import io
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from keras_wsss.data.images import (
    check_image,
    decode_image,
    largest_side,
    read_image,
)
from keras_wsss.data.orientation import exif_orientation
from keras_wsss.errors import DataError


@pytest.fixture
def colours() -> np.ndarray:
    """Smooth, so that JPEG keeps it, and without symmetry."""
    rows, columns = np.mgrid[0:20, 0:30]
    return np.stack([rows * 8, columns * 7, 255 - rows * 5], -1).astype(
        np.uint8
    )


def encode(image: Image.Image, kind: str, **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def png_with_size(width: int, height: int) -> bytes:
    ihdr = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    crc = struct.pack(">I", zlib.crc32(ihdr))
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + ihdr + crc


def test_png_is_read_exactly_and_as_rgb(tmp_path, colours):
    path = tmp_path / "a.png"
    Image.fromarray(colours).save(path)
    np.testing.assert_array_equal(read_image(path), colours)
    assert check_image(path) == (30, 20, "png")


def test_jpeg_is_read_as_rgb_whatever_its_name(tmp_path, colours):
    path = tmp_path / "a.png"
    path.write_bytes(encode(Image.fromarray(colours), "JPEG", quality=98))
    assert check_image(path) == (30, 20, "jpeg")
    difference = read_image(path).astype(int) - colours
    assert np.abs(difference).max() <= 12


@pytest.mark.parametrize("mode", ["L", "1", "P", "LA", "RGBA", "I;16"])
def test_other_png_modes_become_rgb(mode, colours):
    image = Image.fromarray(colours)
    if mode == "I;16":
        grey = np.asarray(image.convert("L"))
        image = Image.fromarray(grey.astype(np.uint16) * 256 + 77)
        expected = np.repeat(grey[..., None], 3, axis=2)
    elif mode == "RGBA":
        image.putalpha(Image.fromarray(colours[..., 0]))
        expected = colours  # alpha is dropped, not composited
    else:
        image = image.convert(mode)
        expected = np.asarray(image.convert("RGB"))
    found = decode_image(encode(image, "PNG"), "x")
    np.testing.assert_array_equal(found, expected)


def test_cmyk_jpeg_is_read(colours):
    data = encode(Image.fromarray(colours).convert("CMYK"), "JPEG")
    found = decode_image(data, "x")
    assert found.shape == (20, 30, 3)
    assert np.abs(found.astype(int) - colours).mean() < 40


def test_exif_orientation_is_honoured(colours):
    image = Image.fromarray(colours)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by 90 degrees
    data = encode(image, "JPEG", exif=exif, quality=98)
    upright = decode_image(data, "x")
    stored = decode_image(encode(image, "JPEG", quality=98), "x")
    assert stored.shape == (20, 30, 3)
    np.testing.assert_array_equal(upright, np.rot90(stored, -1))


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_every_truncation_is_refused(kind, colours):
    exif = Image.Exif()
    exif[0x010E] = "text"
    data = encode(Image.fromarray(colours), kind, exif=exif)
    decode_image(data, "whole")
    for length in range(0, len(data) - 2, 7):
        with pytest.raises(DataError, match=r"^cut\.jpg: "):
            decode_image(data[:length], "cut.jpg")


def test_truncation_is_seen_behind_a_thumbnail(colours):
    # A JPEG inside the EXIF data has an end mark of its own.
    thumbnail = encode(Image.fromarray(colours), "JPEG")
    data = encode(Image.fromarray(colours), "JPEG")
    segment = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    whole = data[:2] + segment + data[2:]
    decode_image(whole, "whole")
    with pytest.raises(DataError, match="truncated"):
        decode_image(whole[:-40], "cut")


def test_flipped_bit_in_a_png_is_refused(colours):
    data = bytearray(encode(Image.fromarray(colours), "PNG"))
    data[len(data) // 2] ^= 4
    with pytest.raises(DataError, match="checksum"):
        decode_image(bytes(data), "x.png")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (b"GIF89a" + bytes(20), "neither JPEG nor PNG"),
        (b"\xff\xd8\xff\xe0" + bytes(30), "JPEG header"),
        (b"\xff\xd8\xff\xd9", "JPEG header"),
        (png_with_size(0, 5), "0 x 5"),
    ],
)
def test_no_picture_is_refused(tmp_path, data, words):
    path = tmp_path / "bad.jpg"
    path.write_bytes(data)
    with pytest.raises(DataError, match=words) as caught:
        read_image(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_size_is_refused_from_the_header_alone(tmp_path):
    # Only the header exists: decoding it would fail in another way.
    path = tmp_path / "bomb.png"
    path.write_bytes(png_with_size(60_000, 60_000))
    with pytest.raises(DataError, match="60000 x 60000 is more than"):
        read_image(path)
    assert check_image(path, max_pixels=60_000**2).width == 60_000


def test_limit_counts_pixels(tmp_path, colours):
    path = tmp_path / "a.jpg"
    Image.fromarray(colours).save(path)
    assert read_image(path, max_pixels=600).shape == (20, 30, 3)
    with pytest.raises(DataError, match="--max_pixels"):
        read_image(path, max_pixels=599)


def test_a_strip_is_refused_whose_square_is_too_large(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(png_with_size(201, 1))
    with pytest.raises(DataError, match="no side may exceed 200 pixels"):
        read_image(path, max_pixels=10_000)
    assert check_image(path, max_pixels=10_201).width == 201


def test_largest_side_bounds_the_padded_square():
    assert largest_side(10_000) == 200
    assert largest_side(1) == 2


def test_what_is_no_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"gone\.jpg: no such file"):
        read_image(tmp_path / "gone.jpg")
    with pytest.raises(DataError, match="not a file"):
        read_image(tmp_path)
    os.mkfifo(tmp_path / "pipe.jpg")  # opening it would wait for ever
    with pytest.raises(DataError, match="not a file"):
        read_image(tmp_path / "pipe.jpg")


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_orientations_are_read_without_the_pixels(tmp_path, kind):
    path = tmp_path / "a"
    for orientation in (1, 3, 6):
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.new("RGB", (4, 2)).save(path, kind, exif=exif)
        assert exif_orientation(path) == orientation
    Image.new("RGB", (4, 2)).save(path, kind)
    assert exif_orientation(path) == 1
    path.write_bytes(path.read_bytes()[:40])
    assert exif_orientation(path) == 1
