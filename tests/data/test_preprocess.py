"""Preprocessing against NumPy and OpenCV, eagerly and inside tf.data."""

import cv2
import numpy as np
import pytest
import tensorflow as tf

from keras_wsss.data import preprocess
from keras_wsss.data.views import CAFFE, ViewSpec, Window
from keras_wsss.errors import ConfigError


def _picture(height, width, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (height, width, 3), np.uint8)


def _mask(height, width, seed=0):
    rng = np.random.default_rng(seed)
    return rng.choice(np.array([0, 1, 7, 255], np.uint8), (height, width))


@pytest.fixture(params=["eager", "tf.data"])
def run(request):
    """Calls a function on arrays, eagerly or with unknown sizes in a graph."""

    def eagerly(function, *arrays):
        return function(*map(tf.constant, arrays)).numpy()

    def in_data(function, *arrays):
        types = tuple(
            tf.TensorSpec([None] * np.ndim(array), np.asarray(array).dtype)
            for array in arrays
        )
        dataset = tf.data.Dataset.from_generator(
            lambda: iter([arrays]), output_signature=types
        )
        return next(iter(dataset.map(function))).numpy()

    return eagerly if request.param == "eager" else in_data


@pytest.mark.parametrize(("height", "width"), [(5, 9), (9, 5), (6, 6)])
def test_padding_is_black_and_void_at_the_bottom_or_right(run, height, width):
    image, mask = _picture(height, width), _mask(height, width)
    side = max(height, width)
    expected_image = np.zeros((side, side, 3), np.uint8)
    expected_image[:height, :width] = image
    expected_mask = np.full((side, side), 255, np.uint8)
    expected_mask[:height, :width] = mask
    np.testing.assert_array_equal(
        run(preprocess.pad_image, image), expected_image
    )
    np.testing.assert_array_equal(
        preprocess.square_mask(mask, side), expected_mask
    )
    for size in (4, 7, 20):
        np.testing.assert_array_equal(
            preprocess.square_mask(mask, size),
            preprocess.resize_mask(expected_mask, size),
        )


@pytest.mark.parametrize("size", [32, 48, 7])
def test_square_image_is_opencv_within_one_grey_level(run, size):
    image = _picture(21, 37)
    padded = np.zeros((37, 37, 3), np.uint8)
    padded[:21] = image
    expected = cv2.resize(padded, (size, size), interpolation=cv2.INTER_LINEAR)
    got = run(lambda x: preprocess.square_image(x, size), image)
    assert got.dtype == np.uint8
    difference = np.abs(got.astype(int) - expected)
    assert difference.max() <= 1
    # A half-pixel or antialiasing mistake would differ nearly everywhere.
    assert (difference > 0).mean() < 0.1


@pytest.mark.parametrize("shape", [(21, 37), (37, 21), (480, 640), (1, 5)])
@pytest.mark.parametrize("colour", [(0, 0, 0), (124, 117, 104)])
def test_arrays_are_squared_to_the_bit_as_in_graphs(shape, colour):
    image = _picture(*shape)
    for size in (7, 36, 224, 462):
        expected = preprocess.square_image(tf.constant(image), size, colour)
        np.testing.assert_array_equal(
            preprocess.square_array(image, size, colour), expected
        )


@pytest.mark.parametrize("size", [32, 48, 7, 74])
def test_resized_mask_is_opencv_nearest(size):
    mask = _mask(37, 37)
    expected = cv2.resize(mask, (size, size), interpolation=cv2.INTER_NEAREST)
    got = preprocess.resize_mask(mask, size)
    assert got.flags.c_contiguous
    np.testing.assert_array_equal(got, expected)


def test_nearest_rule_differs_from_tf_image_resize():
    mask = np.arange(6, dtype=np.uint8)[None].repeat(6, 0)
    ours = preprocess.resize_mask(mask, 3)
    theirs = tf.image.resize(mask[..., None], [3, 3], "nearest")[..., 0]
    np.testing.assert_array_equal(ours[0], [0, 2, 4])
    np.testing.assert_array_equal(theirs[0], [1, 3, 5])


def test_encoder_input_is_bgr_minus_mean(run):
    image = _picture(4, 4)
    got = run(preprocess.to_encoder_input, image)
    expected = image[..., ::-1].astype(np.float32) - np.float32(
        [104.008, 116.669, 122.675]
    )
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5)


def test_padding_is_black_before_the_mean_is_subtracted():
    image = preprocess.to_encoder_input(
        preprocess.square_image(_picture(16, 32), 32)
    ).numpy()
    np.testing.assert_allclose(
        image[-1, 0], [-104.008, -116.669, -122.675], atol=1e-5
    )


@pytest.mark.parametrize("flag", [False, True])
def test_a_view_is_the_same_window_of_image_mask_and_valid(run, flag):
    image, mask = _picture(33, 20), _mask(33, 20)
    square = preprocess.square_image(tf.constant(image), 33).numpy()
    square_mask = preprocess.square_mask(mask, 33)
    window = (1, 0, 32, flag, 32)
    view = Window(33, 1, 0, 32, flag)
    got_image = run(lambda x: preprocess.view_image(x, *window), square)
    got_mask = preprocess.cut_mask(square_mask, view, 32)
    valid = preprocess.view_valid(33, 20, 33, *window, 4).numpy()
    columns = slice(None, None, -1) if flag else slice(None)
    np.testing.assert_array_equal(got_mask, square_mask[1:33, :32][:, columns])
    np.testing.assert_allclose(
        got_image,
        preprocess.to_encoder_input(square[1:33, :32][:, columns]),
        atol=1e-5,
    )
    np.testing.assert_array_equal(
        preprocess.cut_image(square, view, 32), square[1:33, :32][:, columns]
    )
    expected_valid = np.zeros((8, 8))
    expected_valid[:, :5] = 1  # 20 of 32 columns are picture
    np.testing.assert_array_equal(valid, expected_valid[:, columns])


def test_scaled_window_is_resized():
    square = _picture(64, 64)
    got = preprocess.view_image(tf.constant(square), 3, 5, 48, False, 32)
    expected = cv2.resize(square[3:51, 5:53].astype(np.float32), (32, 32))
    np.testing.assert_allclose(
        got, preprocess.to_encoder_input(expected), atol=1e-3
    )
    mask = _mask(64, 64)
    got_mask = preprocess.cut_mask(mask, Window(64, 3, 5, 48, False), 32)
    expected_mask = cv2.resize(
        mask[3:51, 5:53], (32, 32), interpolation=cv2.INTER_NEAREST
    )
    np.testing.assert_array_equal(got_mask, expected_mask)


@pytest.mark.parametrize("min_scale", [1.0, 0.4])
def test_valid_tells_padding_at_the_centre_of_cells(min_scale):
    spec = ViewSpec(64, resize_size=72, min_scale=min_scale)
    rng = np.random.default_rng(3)
    compared = []
    for seed in range(40):
        height, width = (int(side) for side in rng.integers(20, 200, 2))
        view = spec.draw(seed, height, width)
        window = (view.top, view.left, view.size, view.mirror, 64)
        zeros = np.zeros((height, width), np.uint8)
        square = preprocess.square_mask(zeros, view.base)
        picture = preprocess.cut_mask(square, view, 64) == 0
        valid = preprocess.view_valid(
            height, width, view.base, *window, 16
        ).numpy()
        # The 4 x 4 pixels about each centre, where they agree.
        centres = picture.reshape(4, 16, 4, 16)[:, 6:10, :, 6:10]
        share = centres.mean(axis=(1, 3))
        edge = 3 if view.mirror else 0  # column that counts in any case
        share[0], share[:, edge] = valid[0], valid[:, edge]
        clear = (share == 0) | (share == 1)
        np.testing.assert_array_equal(valid[clear], share[clear])
        compared.append(valid[1:, 1:3])
    assert 0.2 < np.mean(compared) < 0.98


def test_valid_of_a_very_long_picture_is_not_empty():
    valid = preprocess.whole_valid(4, 400, 64, 16).numpy()
    np.testing.assert_array_equal(valid, [[1] * 4, [0] * 4, [0] * 4, [0] * 4])


def test_valid_of_a_window_in_the_padding_is_empty():
    valid = preprocess.view_valid(2, 66, 66, 2, 0, 64, False, 64, 16)
    assert valid.numpy().sum() == 0


@pytest.mark.parametrize(("height", "width"), [(20, 33), (40, 17)])
@pytest.mark.parametrize("stride", [1, 2, 16])
def test_restore_undoes_padding_and_resizing(run, height, width, stride):
    # A linear ramp survives bilinear resizing, so place and scale show.
    size = 64
    side = max(height, width)
    rows = (np.arange(size // stride) + 0.5) * side / (size // stride)
    ramp = np.stack(np.meshgrid(rows, rows, indexing="ij"), -1)
    got = run(
        lambda x: preprocess.restore(x, height, width), ramp.astype(np.float32)
    )
    assert got.shape == (height, width, 2)
    inside = slice(stride, min(height, width) - stride)
    if stride < 16:
        expected = np.arange(side) + 0.5
        np.testing.assert_allclose(
            got[inside, 3, 0], expected[:height][inside], atol=1e-3
        )
        np.testing.assert_allclose(
            got[3, inside, 1], expected[:width][inside], atol=1e-3
        )


def test_published_view_jitters_and_mirrors():
    spec = ViewSpec(320)
    assert (spec.resize_size, spec.base_size) == (330, 330)
    views = [spec.draw(seed, 100, 200) for seed in range(300)]
    assert {view.size for view in views} == {320}
    assert {view.top for view in views} == set(range(11))
    assert {view.left for view in views} == set(range(11))
    assert 0.4 < np.mean([view.mirror for view in views]) < 0.6
    assert views == [spec.draw(seed, 100, 200) for seed in range(300)]


def test_scaled_views_stay_in_the_picture_where_it_is_large_enough():
    spec = ViewSpec(64, min_scale=0.5)
    for seed in range(200):
        view = spec.draw(seed, 50, 100)
        height = round(spec.base_size / 2)  # rows of picture in the square
        assert 64 <= view.size <= 128
        assert view.left + view.size <= spec.base_size
        assert view.top == 0 or view.top + view.size <= height
    sizes = [spec.draw(seed, 50, 100).size for seed in range(200)]
    assert min(sizes) < 70
    assert max(sizes) > 120


def test_padding_in_another_colour():
    image = np.random.default_rng(0).integers(0, 256, (5, 8, 3), np.uint8)
    square = preprocess.pad_image(tf.constant(image), CAFFE.mean_colour)
    assert square.dtype == tf.uint8
    np.testing.assert_array_equal(square[:5], image)
    padding = preprocess.to_encoder_input(square[5:])
    assert np.abs(padding).max() <= 0.5


def test_cells_that_stand_for_single_pixels():
    """33 pixels at stride 8: pixels 0, 8, 16, 24, 32; 20 rows are shown."""
    valid = preprocess.view_valid(20, 33, 33, 0, 0, 33, False, 33, 8).numpy()
    np.testing.assert_array_equal(valid[:, 0], [1, 1, 1, 0, 0])
    np.testing.assert_array_equal(valid[0], np.ones(5))


def test_windows_within_the_picture():
    spec = ViewSpec(33, 64, stride=8, points=True, inside=True)
    views = [spec.draw(seed, 20, 64) for seed in range(50)]
    # 20 of 64 rows are less than a window has: it begins at the first one.
    assert {view.top for view in views} == {0}
    assert max(view.left for view in views) > 20
    assert max(view.left for view in views) <= 64 - 33
    with pytest.raises(ConfigError, match="multiple of 8 plus 1"):
        ViewSpec(32, stride=8, points=True)
