"""From pictures to the encoder's input and back, in plain TensorFlow ops.

The same functions run in `tf.data`, eagerly, and inside the exported model;
only `square_array`, `cut_image` and what makes masks are for arrays. Sizes may
be unknown when the graph is built.
Resizing and means are those of TransferNet's release.
"""

from collections.abc import Callable

import cv2
import numpy as np
import tensorflow as tf

from keras_wsss.categories import IGNORE
from keras_wsss.data.views import CAFFE, PixelScale, ViewSpec, Window

# Raise this when a change below changes any value: caches depend on it.
PREPROCESSING_VERSION = 1

BLACK = (0, 0, 0)  # what pictures are padded with in TransferNet


def pad_image(
    image: tf.Tensor, colour: tuple[int, int, int] = BLACK
) -> tf.Tensor:
    """Pads a picture at the bottom or right to a square.

    Args:
        image: [height, width, channels].
        colour: of the padding; another than black needs 3 channels.

    Returns:
        Same type, [side, side, channels], side = max(height, width).
    """
    height, width = _height_and_width(image)
    side = tf.maximum(height, width)
    margins = [[0, side - height], [0, side - width], [0, 0]]
    if not any(colour):
        return tf.pad(image, margins)
    # Shifted by the colour, that which `tf.pad` fills in becomes it.
    shift = tf.constant(colour, tf.int32)
    padded = tf.pad(tf.cast(image, tf.int32) - shift, margins) + shift
    return tf.cast(padded, image.dtype)


def resize_image(image: tf.Tensor, size: int | tf.Tensor) -> tf.Tensor:
    """Resizes bilinearly, half-pixel centres, without antialiasing.

    This is OpenCV's INTER_LINEAR up to rounding: OpenCV computes 8-bit
    pictures in fixed point, so single values differ by at most 1.

    Args:
        image: [height, width, channels], any number type.
        size: side of the result.

    Returns:
        float32 [size, size, channels].
    """
    # GPUs resize floating-point numbers alone.
    image = tf.cast(image, tf.float32)
    return tf.image.resize(image, [size, size], method="bilinear")


def square_image(
    image: tf.Tensor,
    size: int | tf.Tensor,
    colour: tuple[int, int, int] = BLACK,
) -> tf.Tensor:
    """Pads and resizes a picture; rounds to 8 bits as OpenCV does.

    Args:
        image: uint8 [height, width, 3].
        size: side of the result.
        colour: of the padding.

    Returns:
        uint8 [size, size, 3], same channel order.
    """
    resized = resize_image(pad_image(image, colour), size)
    return tf.cast(tf.round(resized), tf.uint8)


def square_array(
    image: np.ndarray, size: int, colour: tuple[int, int, int] = BLACK
) -> np.ndarray:
    """`square_image` of an array, to the bit, on the CPU.

    In a half to a fifth of its time: pixels become float32 within the one
    operation that resizes, and no other touches them all.

    Args:
        image: uint8 [height, width, 3].
        size: side of the result.
        colour: of the padding.

    Returns:
        uint8 [size, size, 3], same channel order.
    """
    height, width = image.shape[:2]
    side = max(height, width)
    padded = np.zeros((1, side, side, 3), np.uint8)
    padded[:, height:] = padded[:, :, width:] = colour
    padded[0, :height, :width] = image
    resized = _resize_array(padded, size)
    return np.rint(resized, out=resized).astype(np.uint8)


def resize_mask(mask: np.ndarray, size: int) -> np.ndarray:
    """Resizes an index mask to the nearest value, rounding indices down.

    Row r of the result is row floor(r * height / size), as with OpenCV's
    INTER_NEAREST. `tf.image.resize` takes floor((r + 0.5) * height / size)
    instead. Integers make the rule exact; where r * height / size is whole,
    OpenCV's own floating-point product may fall one row short.

    In NumPy, as masks are only resized outside graphs, where the overhead of
    TensorFlow's ops takes ten times as long as the pixels of a small mask.

    Args:
        mask: [height, width], any type.
        size: side of the result.

    Returns:
        Same type, [size, size].
    """
    index = np.arange(size)
    rows, columns = (index * extent // size for extent in mask.shape)
    # NumPy lays out what columns are picked from by columns.
    return np.ascontiguousarray(mask[rows][:, columns])


def square_mask(mask: np.ndarray, size: int) -> np.ndarray:
    """Pads an index mask (with 255) and resizes it as `resize_mask` does.

    Args:
        mask: uint8 [height, width].
        size: side of the result.

    Returns:
        uint8 [size, size].
    """
    side = max(mask.shape)
    padded = np.full((side, side), IGNORE, np.uint8)
    padded[: mask.shape[0], : mask.shape[1]] = mask
    return resize_mask(padded, size)


def crop(square: tf.Tensor, top: int, left: int, size: int) -> tf.Tensor:
    """Cuts the window [top, top + size) x [left, left + size).

    Args:
        square: [height, width, ...].
        top: first row; int or int32 scalar, as are the others.
        left: first column.
        size: side of the window.

    Returns:
        Same type, [size, size, ...].
    """
    return square[top : top + size, left : left + size]


def cut_image(square: np.ndarray, view: Window, size: int) -> np.ndarray:
    """One view of a squared picture, as `view_image` cuts it out.

    Args:
        square: uint8 [base, base, 3], RGB.
        view: the window.
        size: side of the result.

    Returns:
        [size, size, 3], grey levels: uint8 where the window has that size,
        else float32.
    """
    window = crop(square, view.top, view.left, view.size)
    if view.mirror:
        window = cv2.flip(window, 1)
    if view.size == size:
        return window
    return _resize_array(window[None], size)


def cut_mask(square: np.ndarray, view: Window, size: int) -> np.ndarray:
    """The same view of a squared mask, resized as `resize_mask` does.

    Args:
        square: uint8 [base, base].
        view: the window.
        size: side of the result.

    Returns:
        uint8 [size, size].
    """
    window = crop(square, view.top, view.left, view.size)
    if view.size != size:
        window = resize_mask(window, size)
    return cv2.flip(window, 1) if view.mirror else window


def mirror(square: tf.Tensor, flag: bool | tf.Tensor) -> tf.Tensor:
    """Mirrors [height, width, ...] horizontally where the flag is true."""
    # tf.reverse takes a quarter of the time of a slice with step -1.
    return tf.cond(
        tf.cast(flag, tf.bool),
        lambda: tf.reverse(square, [1]),
        lambda: tf.identity(square),
    )


def to_encoder_input(image: tf.Tensor, pixels: PixelScale = CAFFE) -> tf.Tensor:
    """From RGB grey levels to an encoder's input.

    Args:
        image: [..., 3], RGB, 0 to 255, any number type.
        pixels: what the encoder wants.

    Returns:
        float32 of the same shape.
    """
    if pixels.bgr:
        image = tf.reverse(image, [-1])
    values = tf.cast(image, tf.float32)
    if any(pixels.mean):
        values -= tf.constant(pixels.mean)
    if pixels.deviation != (1.0, 1.0, 1.0):
        values /= tf.constant(pixels.deviation)
    return values


def view_image(
    square: tf.Tensor,
    top: tf.Tensor,
    left: tf.Tensor,
    size: tf.Tensor,
    flag: tf.Tensor,
    image_size: int,
    pixels: PixelScale = CAFFE,
) -> tf.Tensor:
    """Encoder input of one view of a squared picture.

    Args:
        square: uint8 [base, base, 3], RGB, from `square_image`.
        top: first row of the window, int32 scalar.
        left: first column of the window.
        size: side of the window; resized when not `image_size`.
        flag: whether to mirror.
        image_size: side of the result.
        pixels: how grey levels become the network's input.

    Returns:
        float32 [image_size, image_size, 3].
    """
    window = mirror(crop(square, top, left, size), flag)
    image = tf.cond(
        tf.equal(size, image_size),
        lambda: tf.cast(window, tf.float32),
        lambda: resize_image(window, image_size),
    )
    image = to_encoder_input(image, pixels)
    return tf.ensure_shape(image, [image_size, image_size, 3])


def view_function(views: ViewSpec) -> Callable[..., tf.Tensor]:
    """`view_image` as one graph, on the CPU.

    Op by op it would take longer than a small encoder.
    """
    scalar = tf.TensorSpec([], tf.int32)

    @tf.function(
        autograph=False,
        input_signature=[
            tf.TensorSpec([None, None, 3], tf.uint8),
            *(scalar, scalar, scalar),
            tf.TensorSpec([], tf.bool),
        ],
    )
    def image_of(square, top, left, size, flag):
        with tf.device("/CPU:0"):
            return view_image(
                square, top, left, size, flag, views.image_size, views.pixels
            )

    return image_of


def view_valid(
    height: tf.Tensor,
    width: tf.Tensor,
    base: tf.Tensor,
    top: tf.Tensor,
    left: tf.Tensor,
    size: tf.Tensor,
    flag: tf.Tensor,
    image_size: int,
    stride: int,
) -> tf.Tensor:
    """Which cells of a view show picture rather than padding.

    A cell counts when its centre does; the first row and column count as soon
    as they show any picture, so that the map of a very long picture is not
    empty. A window that lies in the padding altogether gives zeros. Where
    the view is one pixel larger than whole cells, a cell stands for every
    `stride`-th pixel, from the first to the last.

    Args:
        height: rows of the original picture, a scalar or [B], as are the
            others up to `flag`.
        width: columns of the original picture.
        base: side of the square that the window was cut from.
        top: first row of the window in that square.
        left: first column of the window in that square.
        size: side of the window.
        flag: whether the view is mirrored.
        image_size: side of the view.
        stride: pixels of the view per cell; divides `image_size`, or
            `image_size` - 1.

    Returns:
        float32 [cells, cells] or [B, cells, cells], 1 or 0, with
        `image_size` / `stride` cells rounded up.
    """
    cells = -(-image_size // stride)
    offset = 0.5 / stride if image_size % stride else 0.5
    centres = (tf.range(cells, dtype=tf.float32) + offset) * stride
    scale = tf.cast(base, tf.float32) / tf.cast(
        tf.maximum(height, width), tf.float32
    )
    zoom = image_size / tf.cast(size, tf.float32)

    def shown(extent: tf.Tensor, start: tf.Tensor) -> tf.Tensor:
        end = tf.cast(extent, tf.float32) * scale - tf.cast(start, tf.float32)
        end = (end * zoom)[..., None]  # in pixels of the view
        first = (tf.range(cells) == 0) & (end > 0)
        return tf.cast((centres < end) | first, tf.float32)

    columns = shown(width, left)
    mirrored = tf.cast(flag, tf.bool)[..., None]
    columns = tf.where(mirrored, tf.reverse(columns, [-1]), columns)
    return shown(height, top)[..., None] * columns[..., None, :]


def shown_only(
    views: ViewSpec, features: tf.Tensor, valid: tf.Tensor
) -> tf.Tensor:
    """Features, 0 where they are of padding and the network wants that.

    Args:
        views: the network's input; `blank_padding` decides.
        features: float [B, g, g, D].
        valid: float32 [B, g, g], see `view_valid`.
    """
    if not views.blank_padding:
        return features
    return features * tf.cast(valid, features.dtype)[..., None]


def whole_valid(
    height: tf.Tensor,
    width: tf.Tensor,
    image_size: int,
    stride: int,
    flag: bool | tf.Tensor = False,
) -> tf.Tensor:
    """`view_valid` of the evaluation view."""
    return view_valid(
        height, width, image_size, 0, 0, image_size, flag, image_size, stride
    )


def restore(
    scores: tf.Tensor, height: int | tf.Tensor, width: int | tf.Tensor
) -> tf.Tensor:
    """From a map of the padded square back to the original picture.

    Args:
        scores: [size, size, channels], any number type and size: scores of
            the evaluation view, at any output stride.
        height: rows of the original picture.
        width: columns of the original picture.

    Returns:
        float32 [height, width, channels], bilinear.
    """
    side = tf.maximum(height, width)
    return resize_image(scores, side)[:height, :width]


def _height_and_width(array: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    shape = tf.shape(array)
    return shape[0], shape[1]


def _resize_array(image: np.ndarray, size: int) -> np.ndarray:
    """`resize_image` of [1, height, width, 3], one operation, on the CPU."""
    with tf.device("/CPU:0"):
        resized = tf.raw_ops.ResizeBilinear(
            images=image, size=[size, size], half_pixel_centers=True
        )
    return resized.numpy()[0]
