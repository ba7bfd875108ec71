"""One file of the feature cache: encoder outputs with a checksum."""

import dataclasses
import math
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import cv2
import keras
import numpy as np

from keras_wsss.data.encodings import LevelSpec
from keras_wsss.files import atomic_path

SUFFIX = ".features"

# magic, key, picture height and width, payload bytes; then the checksum of
# all that and the payload: features (float16), then levels: switches (2 bits
# each) or finer maps (float16).
_MAGIC = b"KWSSSFC1"
_FIELDS = struct.Struct("<8s32sIIQ")
_CHECKSUM = struct.Struct("<I")
HEADER_SIZE = _FIELDS.size + _CHECKSUM.size
# Value of the four cells that a byte holds, lowest bits first.
_CELLS = (np.arange(256)[:, None] >> np.array([0, 2, 4, 6])).astype(
    np.uint8
) & 3
_FOUR_CELLS = np.ascontiguousarray(_CELLS).view(np.int32)[:, 0]


class DamagedEntryError(Exception):
    """The file is not the complete, unchanged entry of its key."""


@dataclasses.dataclass(frozen=True)
class Layout:
    """Shapes of an entry's arrays, the same for all entries of a cache.

    Attributes:
        features_shape: [g, g, D].
        level_specs: of each level that is kept.
    """

    features_shape: tuple[int, ...]
    level_specs: tuple[LevelSpec, ...]

    @property
    def features_size(self) -> int:
        """Bytes of the features."""
        return 2 * math.prod(self.features_shape)

    @property
    def payload_size(self) -> int:
        """Bytes of features and levels."""
        return self.features_size + sum(map(_level_size, self.level_specs))

    @property
    def file_size(self) -> int:
        """Bytes of an entry's file."""
        return HEADER_SIZE + self.payload_size


def layouts_of(
    encoder: keras.Model,
    image_size: int,
    kept: Sequence[tuple[int, ...]],
) -> dict[tuple[int, ...], Layout]:
    """The shapes of entries, by the levels that they hold, of an encoder."""
    image = keras.KerasTensor((1, image_size, image_size, 3), "float32")
    features, *maps = encoder.compute_output_spec(image)
    # As `encoding_function` gives them.
    specs = [
        LevelSpec(
            tuple(each.shape[1:]),
            "float16" if "float" in each.dtype else each.dtype,
        )
        for each in maps
    ]
    return {
        levels: Layout(
            tuple(features.shape[1:]), tuple(specs[i - 1] for i in levels)
        )
        for levels in kept
    }


@dataclasses.dataclass(frozen=True)
class Entry:
    """What an entry holds.

    Attributes:
        features: float16, of the layout's shape.
        levels: of the layout's shapes and types.
        height: rows of the original picture.
        width: columns of the original picture.
    """

    features: np.ndarray
    levels: tuple[np.ndarray, ...]
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
        (entry.features.shape, *(_spec_of(maps) for maps in entry.levels))
        != (layout.features_shape, *layout.level_specs)
    ):
        raise ValueError("the entry is not of the cache's layout")
    payload = b"".join(
        (
            entry.features.astype("<f2", copy=False).tobytes(),
            *map(_level_bytes, entry.levels),
        )
    )
    fields = _FIELDS.pack(_MAGIC, key, entry.height, entry.width, len(payload))
    checksum = _CHECKSUM.pack(zlib.crc32(payload, zlib.crc32(fields)))
    # Its checksum tells what a power cut left of it.
    with atomic_path(path, durable=False) as temporary:
        temporary.write_bytes(fields + checksum + payload)


def read_entry(
    path: Path,
    key: bytes,
    layout: Layout,
    wanted: Sequence[int] | None = None,
    out: Sequence[np.ndarray] | None = None,
) -> Entry:
    """Reads an entry and verifies key, size and checksum.

    Args:
        path: file to read.
        key: the key it was written with.
        layout: shapes of the arrays.
        wanted: indices of the levels to give; all by default.
        out: contiguous arrays that features and these levels are written
            to, which become the entry's; new ones by default.

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
    starts, start = [], layout.features_size
    for spec in layout.level_specs:
        starts.append(start)
        start += _level_size(spec)
    places = [(0, LevelSpec(layout.features_shape, "float16"))]
    for index in range(len(starts)) if wanted is None else wanted:
        places.append((starts[index], layout.level_specs[index]))
    if out is None:
        out = [np.empty(spec.shape, spec.dtype) for _, spec in places]
    for (start, spec), maps in zip(places, out, strict=True):
        _read_maps(payload[start : start + _level_size(spec)], maps)
    return Entry(
        features=out[0], levels=tuple(out[1:]), height=height, width=width
    )


def _spec_of(maps: np.ndarray) -> LevelSpec:
    return LevelSpec(maps.shape, maps.dtype.name)


def _level_size(spec: LevelSpec) -> int:
    count = math.prod(spec.shape)
    if spec.dtype == "uint8":
        return packed_size(count)
    return 2 * count


def _level_bytes(maps: np.ndarray) -> bytes:
    if maps.dtype == np.uint8:
        return pack_switches(maps).tobytes()
    return maps.astype("<f2", copy=False).tobytes()


def _read_maps(payload: memoryview, out: np.ndarray) -> None:
    if out.dtype == np.uint8:
        unpack_switches(np.frombuffer(payload, np.uint8), out)
    else:
        out[:] = np.frombuffer(payload, "<f2").reshape(out.shape)


def positive_zeros(maps: np.ndarray) -> np.ndarray:
    """The same values with 0.0 in place of -0.0.

    On bits, as NumPy adds half floats one by one.

    Args:
        maps: float16, or uint8, which stays as it is.
    """
    if maps.dtype != np.float16:
        return maps
    bits = maps.view(np.uint16)
    return (bits * (bits != 0x8000)).view(np.float16)


# --- Pooling switches, at two bits each.


def packed_size(count: int) -> int:
    """Bytes that `count` switches take."""
    return -(-count // 4)


def pack_switches(switches: np.ndarray) -> np.ndarray:
    """Packs four switches into a byte.

    Args:
        switches: uint8, any shape, values 0 to 3.

    Returns:
        uint8 [packed_size(number of switches)]; missing ones count as 0.

    Raises:
        ValueError: another type, or a value above 3.
    """
    if switches.dtype != np.uint8:
        raise ValueError(f"switches are {switches.dtype}, not uint8")
    flat = np.ravel(switches)
    if flat.size and flat.max() > 3:
        raise ValueError(f"a switch has the value {flat.max()}; 0 to 3 exist")
    flat = np.pad(flat, (0, -flat.size % 4))
    words = flat.view("<u4")  # four cells at once
    return (words | words >> 6 | words >> 12 | words >> 18).astype(np.uint8)


def unpack_switches(packed: np.ndarray, out: np.ndarray) -> None:
    """Undoes `pack_switches`.

    Args:
        packed: uint8 [packed_size(number of switches)].
        out: uint8, contiguous, of any shape: takes the switches, 0 to 3.

    Raises:
        ValueError: `packed` has another size.
    """
    if packed.shape != (packed_size(out.size),):
        raise ValueError(
            f"{packed.shape} bytes cannot hold switches {out.shape}"
        )
    whole, rest = divmod(out.size, 4)
    flat = out.reshape(-1)
    if whole:
        # In 0.4 of the time of `np.take`, which makes words of the bytes.
        words = flat[: 4 * whole].view(np.int32)[None]
        cv2.LUT(packed[None, :whole], _FOUR_CELLS, dst=words)
    if rest:
        flat[4 * whole :] = _CELLS[packed[-1], :rest]
