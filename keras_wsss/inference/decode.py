"""Checks and decodes JPEG and PNG bytes inside a TensorFlow graph.

The rules of `keras_wsss.data.images`, for the exported model: kind by magic
bytes, size by header, both before any pixel is decoded, and pictures upright
by their EXIF orientation. TensorFlow's own `decode_image` would also take GIF
and BMP, whose decoders allocate what a few bytes ask for.
"""

import tensorflow as tf

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
JPEG_MAGIC = b"\xff\xd8\xff"

# Far more than any camera writes; every scan visits the whole picture, so a
# small file of many scans would keep the decoder busy for minutes.
_MOST_SCANS = 100
_MOST_SEGMENTS = 512  # of a JPEG header that are looked at
_MOST_CHUNKS = 20_000  # of a PNG file; the usual 8 kB each make 160 MB
_MOST_ENTRIES = 512  # of an EXIF directory
_ORIENTATION = 0x0112  # EXIF tag
_START_OF_SCAN, _APP1 = 0xDA, 0xE1


def upright_size(data: tf.Tensor, max_pixels: int, max_side: int) -> tf.Tensor:
    """Height and width of a picture that may be decoded.

    Args:
        data: string scalar, the content of a file.
        max_pixels: largest height times width.
        max_side: largest height, and largest width.

    Returns:
        int32 [2], height and width after the EXIF orientation.

    Raises:
        tf.errors.InvalidArgumentError: neither JPEG nor PNG, damaged before
            its size, or too large. Nothing was decoded.
    """
    data = _assert_kind(data)
    size = _bounded(_stored_size(data), max_pixels, max_side)
    turned = orientation(data) >= 5
    return tf.where(turned, tf.reverse(size, [0]), size)


def decode_picture(
    data: tf.Tensor, max_pixels: int, max_side: int
) -> tf.Tensor:
    """Decodes the content of a JPEG or PNG file; see `upright_size`.

    Grey is repeated, palettes are looked up, alpha is dropped and 16 bits
    keep their upper 8, as in `keras_wsss.data.images.read_image`.

    Returns:
        uint8 [height, width, 3], RGB, upright.

    Raises:
        tf.errors.InvalidArgumentError: what `upright_size` raises, or
            damaged data.
    """
    size = upright_size(data, max_pixels, max_side)
    # Decoding must not begin before the checks, which have no other tie to it.
    with tf.control_dependencies([size]):
        data = tf.identity(data)

    def jpeg() -> tf.Tensor:
        # As OpenCV decodes it, to the bit.
        return tf.io.decode_jpeg(
            _few_scans(data), channels=3, dct_method="INTEGER_ACCURATE"
        )

    image = tf.cond(
        _is_png(data), lambda: tf.io.decode_png(data, channels=3), jpeg
    )
    return turn_upright(image, orientation(data))


def turn_upright(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Turns stored pixels [H, W, C] by an EXIF orientation, 1 to 8."""
    image = tf.cond(
        orientation >= 5,
        lambda: tf.transpose(image, [1, 0, 2]),
        lambda: tf.identity(image),
    )
    mirrored = tf.reduce_any(tf.equal(orientation, [2, 3, 6, 7]))
    image = tf.cond(
        mirrored, lambda: tf.reverse(image, [1]), lambda: tf.identity(image)
    )
    upside_down = tf.reduce_any(tf.equal(orientation, [3, 4, 7, 8]))
    return tf.cond(
        upside_down, lambda: tf.reverse(image, [0]), lambda: tf.identity(image)
    )


def orientation(data: tf.Tensor) -> tf.Tensor:
    """EXIF orientation of a JPEG or PNG file, int32 scalar 1 to 8.

    1, which is upright, where there is none or where it is damaged.
    """
    start = tf.cond(
        _is_png(data), lambda: _png_exif(data), lambda: _jpeg_exif(data)
    )
    return tf.cond(
        start > 0,
        lambda: _exif_orientation(data, start),
        lambda: tf.constant(1),
    )


def _is_png(data: tf.Tensor) -> tf.Tensor:
    return tf.equal(tf.strings.substr(data, 0, 8), PNG_MAGIC)


def _assert_kind(data: tf.Tensor) -> tf.Tensor:
    known = _is_png(data) | tf.equal(tf.strings.substr(data, 0, 3), JPEG_MAGIC)
    text = "image_bytes is neither JPEG nor PNG; its length is"
    check = tf.debugging.Assert(known, [text, tf.strings.length(data)])
    return _after(check, data)


def _bounded(size: tf.Tensor, max_pixels: int, max_side: int) -> tf.Tensor:
    """Asserts limits on int64 height and width; returns them as int32."""
    height, width = size[0], size[1]
    some = tf.debugging.Assert(
        (height > 0) & (width > 0),
        ["image_bytes has a damaged header; height and width are", size],
    )
    # Sides first: the product of two unbounded ones could overflow.
    short = tf.debugging.Assert(
        tf.reduce_max(size) <= max_side,
        ["a side of the picture is longer than", max_side, "pixels:", size],
    )
    with tf.control_dependencies(_operations([some, short])):
        pixels = height * width
    few = tf.debugging.Assert(
        pixels <= max_pixels,
        ["the picture has more than", max_pixels, "pixels:", size],
    )
    return _after(few, tf.cast(size, tf.int32))


def _few_scans(data: tf.Tensor) -> tf.Tensor:
    """A JPEG file, asserted to have no more scans than is usual."""
    parts = tf.strings.split(data, bytes((0xFF, _START_OF_SCAN)))
    check = tf.debugging.Assert(
        tf.size(parts) - 1 <= _MOST_SCANS,
        ["image_bytes has more JPEG scans than", _MOST_SCANS],
    )
    return _after(check, data)


def _operations(checks: list) -> list:
    """Asserts to wait for; there are none when run eagerly."""
    return [check for check in checks if check is not None]


def _after(check, value: tf.Tensor) -> tf.Tensor:
    with tf.control_dependencies(_operations([check])):
        return tf.identity(value)


def _stored_size(data: tf.Tensor) -> tf.Tensor:
    """Height and width in the header, int64 [2]."""

    def png() -> tf.Tensor:
        header = _bytes(data, 12, 12)  # "IHDR", width, height
        named = tf.reduce_all(tf.equal(header[:4], list(b"IHDR")))
        size = tf.stack([_number(header[8:12]), _number(header[4:8])])
        return tf.where(named, size, tf.zeros_like(size))

    def jpeg() -> tf.Tensor:
        shape = tf.io.extract_jpeg_shape(data, tf.int32)  # header alone
        return tf.cast(shape[:2], tf.int64)

    return tf.cond(_is_png(data), png, jpeg)


def _bytes(data: tf.Tensor, start: tf.Tensor | int, count: int) -> tf.Tensor:
    """int64 [count]; bytes past the end of the file are 0."""
    start = tf.cast(start, tf.int64)
    end = tf.cast(tf.strings.length(data), tf.int64)
    part = tf.strings.substr(
        data, tf.minimum(start, end), tf.cast(count, tf.int64)
    )
    values = tf.cast(tf.io.decode_raw(part, tf.uint8), tf.int64)
    missing = tf.cast(count, tf.int32) - tf.size(values)
    return tf.ensure_shape(tf.pad(values, [[0, missing]]), [count])


def _number(values: tf.Tensor, little: bool | tf.Tensor = False) -> tf.Tensor:
    """The integer that bytes [..., n] spell, int64 [...]."""
    count = values.shape[-1]
    big = tf.constant([256 ** (count - 1 - i) for i in range(count)], tf.int64)
    factors = tf.where(little, tf.reverse(big, [0]), big)
    return tf.reduce_sum(values * factors, -1)


def _search(data: tf.Tensor, first: int, step, most: int) -> tf.Tensor:
    """Walks over segments until one holds EXIF.

    Args:
        data: the file.
        first: offset of the first segment.
        step: offset to (found offset or 0, next offset), -1 to end.
        most: segments that are looked at.

    Returns:
        int64 scalar, offset of the EXIF data, or 0.
    """
    end = tf.cast(tf.strings.length(data), tf.int64)
    zero = tf.constant(0, tf.int64)
    found, _ = tf.while_loop(
        lambda found, offset: (found == 0) & (offset >= 0) & (offset < end),
        lambda _, offset: step(offset),
        (zero, tf.constant(first, tf.int64)),
        maximum_iterations=most,
    )
    return found


def _jpeg_exif(data: tf.Tensor) -> tf.Tensor:
    def step(offset: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        values = _bytes(data, offset, 10)
        marker = values[1]
        named = tf.reduce_all(tf.equal(values[4:10], list(b"Exif\0\0")))
        is_exif = tf.equal(marker, _APP1) & named
        # Fill bytes, and markers that have no length.
        fill = tf.equal(marker, 0xFF)
        bare = tf.equal(marker, 1) | ((marker >= 0xD0) & (marker <= 0xD7))
        length = tf.where(bare, tf.zeros_like(marker), _number(values[2:4]))
        length = tf.where(fill, -tf.ones_like(marker), length)
        stop = (values[0] != 0xFF) | tf.equal(marker, _START_OF_SCAN)
        return (
            tf.where(is_exif, offset + 10, tf.zeros_like(offset)),
            tf.where(stop, -tf.ones_like(offset), offset + 2 + length),
        )

    return _search(data, 2, step, _MOST_SEGMENTS)


def _png_exif(data: tf.Tensor) -> tf.Tensor:
    def step(offset: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        values = _bytes(data, offset, 8)
        kind = values[4:8]
        is_exif = tf.reduce_all(tf.equal(kind, list(b"eXIf")))
        stop = tf.reduce_all(tf.equal(kind, list(b"IEND")))
        return (
            tf.where(is_exif, offset + 8, tf.zeros_like(offset)),
            tf.where(
                stop,
                -tf.ones_like(offset),
                offset + 12 + _number(values[:4]),
            ),
        )

    # It may stand behind the pixels, whose many chunks are walked over only
    # where the name is found at all.
    named = tf.size(tf.strings.split(data, "eXIf")) > 1
    return tf.cond(
        named,
        lambda: _search(data, len(PNG_MAGIC), step, _MOST_CHUNKS),
        lambda: tf.constant(0, tf.int64),
    )


def _exif_orientation(data: tf.Tensor, start: tf.Tensor) -> tf.Tensor:
    """Orientation in the first directory of EXIF data (a TIFF header)."""
    header = _bytes(data, start, 8)
    little = tf.equal(header[0], ord("I"))
    directory = start + _number(header[4:8], little)
    count = _number(_bytes(data, directory, 2), little)
    entries = tf.reshape(
        _bytes(data, directory + 2, 12 * _MOST_ENTRIES), [_MOST_ENTRIES, 12]
    )
    known = tf.range(_MOST_ENTRIES, dtype=tf.int64) < count
    matches = known & tf.equal(_number(entries[:, :2], little), _ORIENTATION)
    values = _number(entries[:, 8:10], little)
    value = tf.reduce_max(tf.where(matches, values, tf.zeros_like(values)))
    valid = (value >= 1) & (value <= 8)
    return tf.cast(tf.where(valid, value, tf.ones_like(value)), tf.int32)
