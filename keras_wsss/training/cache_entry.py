"""One file of the feature cache: encoder outputs with a checksum."""

import dataclasses
import math
import os
import struct
import zlib
from pathlib import Path

import numpy as np

from keras_wsss.files import atomic_path
from keras_wsss.training import switch_packing

SUFFIX = ".features"

# magic, key, picture height and width, payload bytes; then the checksum of
# all that and the payload: features (float16), then switches (2 bits each).
_MAGIC = b"KWSSSFC1"
_FIELDS = struct.Struct("<8s32sIIQ")
_CHECKSUM = struct.Struct("<I")
HEADER_SIZE = _FIELDS.size + _CHECKSUM.size


class DamagedEntryError(Exception):
    """The file is not the complete, unchanged entry of its key."""


@dataclasses.dataclass(frozen=True)
class Layout:
    """Shapes of an entry's arrays, the same for all entries of a cache.

    Attributes:
        features_shape: [g, g, D].
        switch_shapes: [side, side, channels] for each pool that is kept.
    """

    features_shape: tuple[int, ...]
    switch_shapes: tuple[tuple[int, ...], ...]

    @property
    def features_size(self) -> int:
        """Bytes of the features."""
        return 2 * math.prod(self.features_shape)

    @property
    def payload_size(self) -> int:
        """Bytes of features and packed switches."""
        return self.features_size + sum(
            switch_packing.packed_size(math.prod(shape))
            for shape in self.switch_shapes
        )

    @property
    def file_size(self) -> int:
        """Bytes of an entry's file."""
        return HEADER_SIZE + self.payload_size


@dataclasses.dataclass(frozen=True)
class Entry:
    """What an entry holds.

    Attributes:
        features: float16, of the layout's shape.
        switches: uint8 with values 0 to 3, of the layout's shapes.
        height: rows of the original picture.
        width: columns of the original picture.
    """

    features: np.ndarray
    switches: tuple[np.ndarray, ...]
    height: int
    width: int


def write_entry(path: Path, key: bytes, layout: Layout, entry: Entry) -> None:
    """Writes an entry; the file appears complete or not at all.

    Args:
        path: file to write.
        key: 32 bytes that identify what the entry was made from.
        layout: shapes of the arrays.
        entry: the content.

    Raises:
        ValueError: arrays of other types or shapes than the layout's.
    """
    if entry.features.dtype != np.float16 or (
        (entry.features.shape, *(s.shape for s in entry.switches))
        != (layout.features_shape, *layout.switch_shapes)
    ):
        raise ValueError("the entry is not of the cache's layout")
    payload = b"".join(
        (
            entry.features.astype("<f2", copy=False).tobytes(),
            *(switch_packing.pack(s).tobytes() for s in entry.switches),
        )
    )
    fields = _FIELDS.pack(_MAGIC, key, entry.height, entry.width, len(payload))
    checksum = _CHECKSUM.pack(zlib.crc32(payload, zlib.crc32(fields)))
    # Its checksum tells what a power cut left of it.
    with atomic_path(path, durable=False) as temporary:
        temporary.write_bytes(fields + checksum + payload)


def read_entry(path: Path, key: bytes, layout: Layout) -> Entry:
    """Reads an entry and verifies key, size and checksum.

    Args:
        path: file to read.
        key: the key it was written with.
        layout: shapes of the arrays.

    Raises:
        FileNotFoundError: there is no such entry.
        DamagedEntryError: the file is not that entry.
    """
    data = path.read_bytes()
    if len(data) != layout.file_size:
        raise DamagedEntryError(f"{path} has {len(data)} bytes")
    magic, found, height, width, size = _FIELDS.unpack_from(data)
    if (magic, found, size) != (_MAGIC, key, layout.payload_size):
        raise DamagedEntryError(f"{path} is not an entry of its name")
    (checksum,) = _CHECKSUM.unpack_from(data, _FIELDS.size)
    view = memoryview(data)
    fields, payload = view[: _FIELDS.size], view[HEADER_SIZE:]
    if zlib.crc32(payload, zlib.crc32(fields)) != checksum:
        raise DamagedEntryError(f"{path} has a wrong checksum")
    features = np.frombuffer(payload[: layout.features_size], "<f2")
    switches, start = [], layout.features_size
    for shape in layout.switch_shapes:
        end = start + switch_packing.packed_size(math.prod(shape))
        packed = np.frombuffer(payload[start:end], np.uint8)
        switches.append(switch_packing.unpack(packed, shape))
        start = end
    return Entry(
        features=features.reshape(layout.features_shape),
        switches=tuple(switches),
        height=height,
        width=width,
    )


def looks_complete(path: Path, key: bytes, layout: Layout) -> bool:
    """Whether size and key are right; the content is verified on reading.

    Raises:
        FileNotFoundError: there is no such entry.
    """
    with open(path, "rb") as file:
        if os.fstat(file.fileno()).st_size != layout.file_size:
            return False
        return file.read(len(_MAGIC) + len(key)) == _MAGIC + key
