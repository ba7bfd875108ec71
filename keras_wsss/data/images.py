"""Pictures from JPEG and PNG files, checked before they are decoded.

Only the header is parsed until the size is known to lie below a limit, so a
small file that unpacks to gigabytes is refused before memory is spent on it.
"""

import contextlib
import io
import math
import os
import stat
import struct
import threading
import zlib
from typing import BinaryIO, Literal, NamedTuple

import cv2
import numpy as np

from keras_wsss.config import DataConfig
from keras_wsss.data.orientation import SIDEWAYS, exif_orientation
from keras_wsss.errors import DataError

Kind = Literal["jpeg", "png"]
DEFAULT_MAX_PIXELS = DataConfig().max_pixels  # 192 MB once decoded
MAX_BYTES = 256_000_000  # of a file, which is read as a whole

# A picture is padded to a square before it is reduced, so a long strip costs
# the memory of its square. That may be this many times `max_pixels`.
SQUARE_FACTOR = 4

_JPEG_MAGIC = b"\xff\xd8\xff"
_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
# Start-of-frame markers: 0xC0 to 0xCF but for DHT, JPG and DAC.
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_SCAN = 0xDA
_JPEG_BARE = frozenset((0x01, *range(0xD0, 0xD8)))  # markers without a length
# Far more than any camera or encoder writes. Without these limits a small
# file of empty parts, or of scans that each visit the whole picture, would
# keep a decoder busy for minutes.
_MAX_JPEG_HEADER_PARTS = 50_000
_MAX_JPEG_SCANS = 100
_MAX_PNG_CHUNKS = 100_000
# Decoding takes up to 12 bytes a pixel for a moment, so threads take turns.
_LARGE_PIXELS = 16_000_000
_FREE = contextlib.nullcontext()
_one_large_picture = threading.Lock()


class ImageHeader(NamedTuple):
    """What a file says of itself before any pixel is decoded.

    Attributes:
        width: columns as stored, before any EXIF orientation.
        height: rows as stored.
        kind: "jpeg" or "png", by content and not by file name.
    """

    width: int
    height: int
    kind: Kind


def largest_side(max_pixels: int) -> int:
    """The longest side in pixels that a picture may have, see SQUARE_FACTOR."""
    return math.isqrt(SQUARE_FACTOR * max_pixels)


def check_image(
    path: str | os.PathLike[str], max_pixels: int = DEFAULT_MAX_PIXELS
) -> ImageHeader:
    """Checks kind and size of a picture without decoding it.

    Args:
        path: file to look at; its name's ending does not matter.
        max_pixels: largest width times height that is accepted.

    Returns:
        Stored width and height in pixels, and the kind.

    Raises:
        DataError: the file is missing, neither JPEG nor PNG, damaged before
            its size, or larger than `max_pixels`.
    """
    with open_regular(path) as file:
        return _header(file, str(path), max_pixels)


def read_image(
    path: str | os.PathLike[str],
    max_pixels: int = DEFAULT_MAX_PIXELS,
) -> np.ndarray:
    """Reads a JPEG or PNG picture as RGB.

    Grey is repeated over the channels, palettes are looked up, 16 bits keep
    their upper 8, CMYK is converted without a colour profile. Alpha is
    dropped and not composited: that is what TensorFlow's decoder does in the
    exported model, so training and serving see the same picture.

    A mask must have the size of the picture that this function returns by
    default, i.e. upright: drawn on the picture as viewers and annotation
    tools show it.

    Args:
        path: file to read.
        max_pixels: largest width times height that is accepted.

    Returns:
        uint8 [height, width, 3], RGB in [0, 255].

    Raises:
        DataError: what `check_image` raises, or a truncated or corrupt file.
    """
    return decode_image(
        read_picture_file(path, max_pixels), str(path), max_pixels
    )


def upright_size(
    path: str | os.PathLike[str], max_pixels: int = DEFAULT_MAX_PIXELS
) -> tuple[int, int]:
    """Width and height of a picture as `read_image` gives it, not decoded.

    Raises:
        DataError: what `check_image` raises.
    """
    width, height, _ = check_image(path, max_pixels)
    sideways = exif_orientation(path) >= SIDEWAYS
    return (height, width) if sideways else (width, height)


def read_picture_file(
    path: str | os.PathLike[str], max_pixels: int = DEFAULT_MAX_PIXELS
) -> bytes:
    """Content of a JPEG or PNG file whose size and header are acceptable.

    Raises:
        DataError: what `check_image` raises, or more than `MAX_BYTES`.
    """
    with open_regular(path) as file:
        _header(file, str(path), max_pixels)
        size = os.fstat(file.fileno()).st_size
        if size > MAX_BYTES:
            raise DataError(
                f"{path}: {size / 1e6:.0f} MB is more than the limit of "
                f"{MAX_BYTES / 1e6:.0f} MB for a picture; save it smaller."
            )
        file.seek(0)
        return file.read()


def decode_image(
    data: bytes,
    name: str,
    max_pixels: int = DEFAULT_MAX_PIXELS,
) -> np.ndarray:
    """Decodes the content of a JPEG or PNG file; see `read_image`.

    Args:
        data: content of the file.
        name: what error messages call it.
        max_pixels: largest width times height that is accepted.

    Returns:
        uint8 [height, width, 3], RGB in [0, 255].

    Raises:
        DataError: names the file and what is wrong with it.
    """
    header = check_complete(data, name, max_pixels)
    with taking_turns(header.width * header.height):
        image = _decode(data)
    if image is None:
        raise _damaged(name, f"its {header.kind.upper()} data are corrupt")
    if sorted(image.shape[:2]) != sorted((header.width, header.height)):
        raise _damaged(name, "it decodes to another size than its header says")
    return image


def taking_turns(pixels: int) -> contextlib.AbstractContextManager:
    """A block that works on many pixels: one thread at a time if too many."""
    return _one_large_picture if pixels > _LARGE_PIXELS else _FREE


def _decode(data: bytes) -> np.ndarray | None:
    try:
        # OpenCV releases the interpreter lock here: threads decode together.
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        return None
    return None if image is None else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def check_complete(data: bytes, name: str, max_pixels: int) -> ImageHeader:
    """Checks size and end of a file's content; decoders forgive too much.

    OpenCV fills what a truncated file lacks with grey and returns it, so the
    end mark of a JPEG and every checksum of a PNG are looked at here.

    Raises:
        DataError: names the file and what is wrong with it.
    """
    file = io.BytesIO(data)
    header = _header(file, name, max_pixels)
    if header.kind == "png":
        _check_png_chunks(data, name)
    else:
        _check_jpeg_scans(data, _jpeg_scan_offset(file, name), name)
    return header


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """Opens a regular file for reading, or raises `DataError`."""
    try:
        # Opening a pipe or device could block for ever: look first.
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise DataError(f"{path}: not a file; give a JPEG or PNG file.")
        return open(path, "rb")
    except FileNotFoundError:
        raise DataError(
            f"{path}: no such file; check the name and the folder."
        ) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path}: cannot be read ({reason}).") from None


def _damaged(name: str, problem: str) -> DataError:
    return DataError(f"{name}: {problem}; replace or remove the file.")


def _header(file: BinaryIO, name: str, max_pixels: int) -> ImageHeader:
    magic = file.read(len(_PNG_MAGIC))
    kind: Kind
    if magic == _PNG_MAGIC:
        kind = "png"
        ihdr = file.read(16)
        if len(ihdr) < 16 or ihdr[4:8] != b"IHDR":
            raise _damaged(name, "it is truncated inside its PNG header")
        width, height = struct.unpack(">II", ihdr[8:])
    elif magic.startswith(_JPEG_MAGIC):
        kind = "jpeg"
        width, height = _jpeg_size(file, name)
    elif not magic:
        raise _damaged(name, "it is empty")
    else:
        raise DataError(
            f"{name}: neither JPEG nor PNG (it begins with "
            f"{magic[:4].hex(' ')}); convert it to one of these."
        )
    if not width or not height:
        raise _damaged(name, f"its header gives the size {width} x {height}")
    if width * height > max_pixels:
        raise DataError(
            f"{name}: {width} x {height} is more than the limit of "
            f"{max_pixels} pixels; shrink the picture or raise --max_pixels."
        )
    longest = largest_side(max_pixels)
    if max(width, height) > longest:
        raise DataError(
            f"{name}: {width} x {height} is too long a strip: no side may "
            f"exceed {longest} pixels, because pictures are padded to "
            "squares; cut it into parts or raise --max_pixels."
        )
    return ImageHeader(width, height, kind)


def _jpeg_segments(file: BinaryIO, name: str):
    """Yields (marker, payload length), the file standing at the payload."""
    file.seek(2)
    parts = 0
    while parts < _MAX_JPEG_HEADER_PARTS:
        parts += 1
        byte = file.read(1)
        if byte != b"\xff":
            problem = "its JPEG header is damaged"
            if not byte:
                problem = "it is truncated inside its JPEG header"
            raise _damaged(name, problem)
        # Fill bytes may precede.
        while byte == b"\xff" and parts < _MAX_JPEG_HEADER_PARTS:
            parts += 1
            byte = file.read(1)
        marker = byte[0] if byte else 0
        if marker in _JPEG_BARE:
            continue
        size = file.read(2)
        length = int.from_bytes(size, "big") - 2
        if len(size) < 2 or length < 0:
            raise _damaged(name, "it is truncated inside its JPEG header")
        end = file.tell() + length
        yield marker, length
        file.seek(end)
    raise _damaged(name, "its JPEG header has too many parts")


def _jpeg_size(file: BinaryIO, name: str) -> tuple[int, int]:
    for marker, _ in _jpeg_segments(file, name):
        if marker in _JPEG_FRAMES:
            frame = file.read(5)
            if len(frame) < 5:
                break
            height, width = struct.unpack(">HH", frame[1:])
            return width, height
        if marker == _JPEG_SCAN:
            break
    raise _damaged(name, "its JPEG header gives no size")


def _jpeg_scan_offset(file: BinaryIO, name: str) -> int:
    # An EXIF thumbnail is a JPEG with an end mark of its own; only what
    # follows the first scan header counts.
    for marker, length in _jpeg_segments(file, name):
        if marker == _JPEG_SCAN:
            return file.tell() + length
    raise AssertionError  # the generator ends only by raising


def _check_jpeg_scans(data: bytes, start: int, name: str) -> None:
    end = data.rfind(b"\xff\xd9", start)
    if end < 0:
        raise _damaged(name, "it is truncated: its JPEG end mark is missing")
    scans = 1 + data.count(bytes((0xFF, _JPEG_SCAN)), start, end)
    if scans > _MAX_JPEG_SCANS:
        raise _damaged(
            name, f"it has {scans} JPEG scans, more than {_MAX_JPEG_SCANS}"
        )


def _check_png_chunks(data: bytes, name: str) -> None:
    offset = len(_PNG_MAGIC)
    view = memoryview(data)
    for _ in range(_MAX_PNG_CHUNKS):
        if offset + 12 > len(data):
            break
        length, kind = struct.unpack_from(">I4s", data, offset)
        end = offset + 12 + length
        if end > len(data):
            break
        (checksum,) = struct.unpack_from(">I", data, end - 4)
        if zlib.crc32(view[offset + 4 : end - 4]) != checksum:
            raise _damaged(name, "a PNG checksum is wrong")
        if kind == b"acTL":
            # Decoders differ in what they take for the picture.
            raise DataError(
                f"{name}: an animated PNG; save one frame as a picture."
            )
        if kind == b"IEND":
            return
        offset = end
    else:
        raise _damaged(name, f"it has more than {_MAX_PNG_CHUNKS} PNG chunks")
    raise _damaged(name, "it is truncated: its PNG end mark is missing")
