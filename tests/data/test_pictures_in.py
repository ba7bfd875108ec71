"""Every form of a picture is the picture, or is refused in a sentence."""

import io
import struct

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from keras_wsss.data.images import upright_size
from keras_wsss.data.orientation import exif_orientation
from keras_wsss.data.pictures_in import as_picture
from keras_wsss.errors import DataError
from keras_wsss.serving import client_edge


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).integers(0, 256, (7, 9, 3), np.uint8)


@pytest.fixture
def png(pixels, tmp_path):
    path = tmp_path / "p.png"
    Image.fromarray(pixels).save(path)
    return path


def with_alpha(pixels):
    return np.concatenate([pixels, np.full((7, 9, 1), 7, pixels.dtype)], 2)


def closed_file():
    file = io.BytesIO(b"x")
    file.close()
    return file


FORMS = {
    "path": lambda pixels, png: png,
    "text path": lambda pixels, png: str(png),
    "bytes": lambda pixels, png: png.read_bytes(),
    "bytearray": lambda pixels, png: bytearray(png.read_bytes()),
    "file": lambda pixels, png: io.BytesIO(png.read_bytes()),
    "pillow": lambda pixels, png: Image.open(png),
    "pillow with alpha": lambda pixels, png: Image.fromarray(
        with_alpha(pixels)
    ),
    "array": lambda pixels, png: pixels,
    "array with alpha": lambda pixels, png: with_alpha(pixels),
    "float": lambda pixels, png: pixels / 255,
    "float32": lambda pixels, png: pixels.astype(np.float32) / 255,
    "uint16": lambda pixels, png: pixels.astype(np.uint16) * 257,
    "int64": lambda pixels, png: pixels.astype(np.int64),
    "turned in memory": lambda pixels, png: pixels[::-1][::-1],
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_the_picture(form, pixels, png):
    found = as_picture(FORMS[form](pixels, png))
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, pixels)


@pytest.mark.parametrize("shape", [(7, 9), (7, 9, 1)])
@pytest.mark.parametrize("scale", [1, 257, 1 / 255])
def test_grey_is_repeated(pixels, shape, scale):
    kind = {1: np.uint8, 257: np.uint16}.get(scale, np.float32)
    grey = (pixels[..., :1] * np.float64(scale)).astype(kind).reshape(shape)
    expected = np.repeat(pixels[..., :1], 3, 2)
    np.testing.assert_array_equal(as_picture(grey), expected)


def test_pillow_is_turned_as_files_are(pixels, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "turned.png"
    Image.fromarray(pixels).save(path, exif=exif)
    with Image.open(path) as image:
        np.testing.assert_array_equal(as_picture(image), as_picture(path))


XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf='
    b'"http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
    b'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/>'
    b"</rdf:RDF></x:xmpmeta>"
)


def long_exif(order: str) -> bytes:
    """Orientation 6 as a number of four bytes."""
    head = {"<": b"II*\0", ">": b"MM\0*"}[order]
    entry = struct.pack(f"{order}IHHHII", 8, 1, 0x0112, 4, 1, 6)
    return b"Exif\0\0" + head + entry + bytes(4)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize(
    "case",
    [*range(1, 9), "xmp", "profile", "<", ">"],
)
def test_all_turn_a_picture_alike(pixels, tmp_path, kind, case):
    """Whatever says so: the file's reader, its size, and Pillow's image."""
    options = {}
    if isinstance(case, int):
        options["exif"] = exif = Image.Exif()
        exif[0x0112] = case
    elif case == "xmp" and kind == "JPEG":
        options["xmp"] = XMP
    elif case in ("xmp", "profile"):
        info = PngImagePlugin.PngInfo()
        if case == "xmp":
            info.add_itxt("XML:com.adobe.xmp", XMP.decode())
        else:
            exif = long_exif("<")
            text = f"\nexif\n{len(exif):8}\n{exif.hex()}\n"
            info.add_text("Raw profile type exif", text)
        options["pnginfo"] = info
    else:
        options["exif"] = long_exif(case)
    path = tmp_path / "p"
    Image.fromarray(pixels).save(path, kind, **options)
    read = as_picture(path)
    with Image.open(path) as image:
        np.testing.assert_array_equal(as_picture(image), read)
    np.testing.assert_array_equal(client_edge.read_picture(path), read)
    assert upright_size(path) == read.shape[1::-1]
    assert (exif_orientation(path) >= 5) == (read.shape != pixels.shape)


@pytest.mark.parametrize("mode", ["I;16", "L", "P", "RGBA", "LA", "1"])
def test_the_client_reads_pixels_as_files_are_read(pixels, tmp_path, mode):
    path = tmp_path / "p.png"
    if mode == "I;16":
        image = Image.fromarray(pixels[..., 0].astype(np.uint16) * 250)
    else:
        image = Image.fromarray(pixels).convert(mode)
    image.save(path)
    found = client_edge.read_picture(path)
    np.testing.assert_array_equal(found, as_picture(path))


def test_pillow_of_16_bits_keeps_the_upper_8(pixels):
    image = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
    expected = np.repeat(pixels[..., :1], 3, 2)
    np.testing.assert_array_equal(as_picture(image), expected)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.full((4, 5, 3), 128.0), "between 0 and 1, and .* from 128 to 128"),
        (np.full((4, 5, 3), np.nan), "between 0 and 1"),
        (np.full((4, 5, 3), -0.1), "between 0 and 1"),
        (np.full((4, 5, 3), 200, np.uint16), "reaches 200 of 65535 only"),
        (np.full((4, 5, 3), 300), "between 0 and 255.*from 300 to 300"),
        (np.ones((4, 5, 3), bool), "type bool has no grey levels"),
        (np.full((4, 5, 3), "a"), "has no grey levels"),
        (np.zeros((3, 40, 50), np.uint8), r"moveaxis\(picture, 0, -1\)"),
        (np.zeros((4, 5, 2), np.uint8), r"4 x 5 x 2 is no picture"),
        (np.zeros((2, 4, 5, 3), np.uint8), "batch; predict_many"),
        (np.zeros(12, np.uint8), "12 is no picture"),
        (np.zeros((0, 5, 3), np.uint8), "has no pixel"),
        ([np.zeros((4, 5, 3))], "list of 1 is no picture; predict_many"),
        (None, "NoneType is no picture"),
        (3, "int is no picture"),
        (b"nothing", "the picture: neither JPEG nor PNG"),
        (b"", "the picture: it is empty"),
        (io.StringIO("text"), "open as text"),
        (closed_file(), r"cannot be read \(.*closed.*open it with 'rb'"),
        (Image.new("F", (5, 4), 3.0), "between 0 and 1"),
        ("nowhere.png", "nowhere.png: no such file"),
    ],
)
def test_what_is_no_picture_is_refused(value, text):
    with pytest.raises(DataError, match=text):
        as_picture(value)


@pytest.mark.parametrize(
    "value",
    [np.zeros((30, 40), np.uint8), Image.new("RGB", (40, 30))],
)
def test_the_limit_of_pixels_holds_for_all(value):
    with pytest.raises(DataError, match="40 x 30 is more than the limit"):
        as_picture(value, max_pixels=1000)


def test_a_truncated_file_that_pillow_opened_is_refused(pixels, tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(np.tile(pixels, (20, 20, 1))).save(buffer, "JPEG")
    image = Image.open(io.BytesIO(buffer.getvalue()[:2000]))
    with pytest.raises(DataError, match="cannot be decoded"):
        as_picture(image)
