"""The EXIF orientation of pictures, by one rule for all that read them.

OpenCV's decoder and the exported model turn a picture by the first EXIF data
that the file holds (APP1 of a JPEG, eXIf of a PNG), and by the first two bytes
of the value there. Other libraries also look into XMP and comments; what they
say must not count here, or one picture would stand in two ways.
"""

import mmap
import os
import struct

SIDEWAYS = 5  # the first EXIF orientation that swaps width and height

_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_JPEG_MAGIC = b"\xff\xd8"
_PREFIX = b"Exif\0\0"
_TAG = 0x0112
_APP1, _START_OF_SCAN = 0xE1, 0xDA
_BARE = (0x01, *range(0xD0, 0xD8))  # markers without a length


def exif_orientation(path: str | os.PathLike[str]) -> int:
    """How a picture is stored, 1 (upright) to 8; from 5 on, on its side.

    1 too where nothing can be read.
    """
    try:
        with (
            open(path, "rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
        ):
            return orientation_of_exif(_exif_of(data))
    except (OSError, ValueError):  # also an empty file
        return 1


def orientation_of_exif(exif: bytes) -> int:
    """What EXIF data say, 1 to 8; 1 where they are damaged.

    Args:
        exif: a TIFF header and what follows it, perhaps behind "Exif".
    """
    exif = exif.removeprefix(_PREFIX)
    order = "<" if exif[:1] == b"I" else ">"
    found = 1
    try:
        (start,) = struct.unpack_from(f"{order}I", exif, 4)
        (count,) = struct.unpack_from(f"{order}H", exif, start)
        for entry in range(start + 2, start + 2 + 12 * count, 12):
            tag, value = struct.unpack_from(f"{order}H6xH", exif, entry)
            if tag == _TAG:
                found = value
                break
    except struct.error:
        return 1
    return found if found in range(1, 9) else 1


def _exif_of(data: mmap.mmap) -> bytes:
    """The first EXIF data of a file, b"" if there are none."""
    if data[:8] == _PNG_MAGIC:
        return _of_png(data)
    return _of_jpeg(data) if data[:2] == _JPEG_MAGIC else b""


def _of_png(data: mmap.mmap) -> bytes:
    # It may stand behind the pixels.
    offset = len(_PNG_MAGIC)
    while offset + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, offset)
        if kind == b"eXIf":
            return data[offset + 8 : offset + 8 + size]
        offset += 12 + size
    return b""


def _of_jpeg(data: mmap.mmap) -> bytes:
    offset = 2
    while offset + 4 <= len(data) and data[offset] == 0xFF:
        marker = data[offset + 1]
        if marker == 0xFF:  # a fill byte
            offset += 1
        elif marker in _BARE:
            offset += 2
        elif marker == _START_OF_SCAN:
            break
        else:
            end = offset + 2 + int.from_bytes(data[offset + 2 : offset + 4])
            part = data[offset + 4 : end]
            if marker == _APP1 and part.startswith(_PREFIX):
                return part
            offset = end
    return b""
