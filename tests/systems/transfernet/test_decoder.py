"""The class-agnostic decoder: shapes, switches and initial values."""

import keras
import numpy as np
import pytest

from keras_wsss.encoders.encoder import Level
from keras_wsss.layers.pooling import MaxPoolingWithSwitches
from keras_wsss.systems.transfernet.decoder import (
    build_decoder,
    used_levels,
)

CHANNELS = (8, 8, 12, 16)


def pools(channels=CHANNELS):
    counts = (2, 2, 3, 3)
    return [
        Level(c, 2**n, count)
        for n, (c, count) in enumerate(zip(channels, counts, strict=True), 1)
    ]


LEVELS = pools()
GRID = 2


def switches_of(levels, grid=GRID):
    rng = np.random.default_rng(0)
    return [
        rng.integers(
            0, 4, (1, *[grid * 2 ** (4 - p)] * 2, CHANNELS[p - 1]), np.uint8
        )
        for p in levels
    ]


@pytest.mark.parametrize(
    ("stride", "levels"), [(1, (4, 3, 2, 1)), (2, (4, 3, 2)), (4, (4, 3))]
)
def test_output_stride_decides_which_pools_are_undone(stride, levels):
    assert used_levels(LEVELS, stride) == levels
    decoder = build_decoder(GRID, 16, LEVELS, output_stride=stride)
    names = [layer.name for layer in decoder.layers]
    assert [n for n in names if n.startswith("unpool")] == [
        f"unpool{pool}" for pool in levels
    ]
    logits = decoder([np.ones((1, GRID, GRID, 1)), *switches_of(levels)])
    assert logits.shape == (1, 16 * GRID // stride, 16 * GRID // stride, 2)
    assert logits.dtype == "float32"


def test_grid_may_be_open():
    decoder = build_decoder(None, 16, LEVELS, output_stride=4)
    for grid in (2, 3):
        logits = decoder(
            [np.ones((1, grid, grid, 1)), *switches_of((4, 3), grid)]
        )
        assert logits.shape == (1, 4 * grid, 4 * grid, 2)


def test_width_scales_channels_and_uses_the_first_switches():
    decoder = build_decoder(
        GRID, 16, pools((32, 64, 64, 64)), width=0.5, output_stride=4
    )
    assert decoder.get_layer("deconv5_1").filters == 32
    assert decoder.get_layer("deconv3_3").filters == 32
    rng = np.random.default_rng(0)
    densified = rng.uniform(0, 1, (1, GRID, GRID, 1))
    switches = [rng.integers(0, 4, (1, s, s, 64), np.uint8) for s in (2, 4)]
    before = decoder([densified, *switches]).numpy()
    for switch in switches:
        switch[..., 32:] = 3 - switch[..., 32:]
    np.testing.assert_array_equal(decoder([densified, *switches]), before)
    switches[0][..., :32] = 3 - switches[0][..., :32]
    assert np.abs(decoder([densified, *switches]).numpy() - before).max() > 0


def test_shape_comes_from_the_switches():
    """With the picture's switches, the first map is unpooled in place."""
    values = np.random.default_rng(0).normal(size=(1, 4, 4, 16))
    _, switches = MaxPoolingWithSwitches()(values.astype(np.float32))
    decoder = build_decoder(GRID, 16, LEVELS, output_stride=4)
    until = keras.Model(decoder.inputs, decoder.get_layer("unpool4").output)
    third = keras.ops.convert_to_tensor(switches_of((3,))[0])
    densified = keras.ops.ones((1, GRID, GRID, 1))
    unpooled = until([densified, switches, third]).numpy()
    places = np.argwhere(unpooled[0] > 0)
    windows = values[0].reshape(2, 2, 2, 2, 16).transpose(0, 2, 4, 1, 3)
    highest = windows.reshape(2, 2, 16, 4).argmax(-1)
    assert len(places)
    for y, x, channel in places:
        assert highest[y // 2, x // 2, channel] == 2 * (y % 2) + x % 2


def test_published_start_is_nearly_zero_and_he_is_not():
    """The mask loss is then ln 2 exactly; He starts with a real signal."""
    levels = used_levels(LEVELS, 1)
    largest = {}
    for name in ("published", "he"):
        keras.utils.set_random_seed(0)
        decoder = build_decoder(GRID, 16, LEVELS, initializer=name)
        logits = decoder([np.ones((1, GRID, GRID, 1)), *switches_of(levels)])
        largest[name] = np.abs(logits).max()
    assert largest["published"] < 1e-6
    assert largest["he"] > 1e-2


def test_unknown_values_are_refused():
    with pytest.raises(ValueError, match="output_stride must be one of"):
        build_decoder(GRID, 16, LEVELS, output_stride=3)
    with pytest.raises(ValueError, match="initializer must be one of"):
        build_decoder(GRID, 16, LEVELS, initializer="zeros")


@pytest.mark.parametrize(
    ("stride", "used"), [(1, (2, 1)), (2, (2, 1)), (4, (2, 1))]
)
def test_finer_maps_take_the_place_of_switches(stride, used):
    """Below the finest map, logits are enlarged."""
    levels = [Level(5, 4, 2, switches=False), Level(6, 8, 2, switches=False)]
    assert used_levels(levels, stride) == used
    decoder = build_decoder(
        GRID, 32, levels, width=0.1, output_stride=stride, shortcut=True
    )
    names = ["guide", "finer2", "finer1"]
    assert [part.name for part in decoder.inputs] == names
    rng = np.random.default_rng(0)
    parts = [
        rng.uniform(0, 1, (1, *part.shape[1:])).astype(np.float32)
        for part in decoder.inputs
    ]
    before = decoder(parts).numpy()
    assert before.shape == (1, 32 * GRID // stride, 32 * GRID // stride, 2)
    for index in (1, 2):  # each of the maps counts
        changed = [*parts]
        changed[index] = 1 - changed[index]
        assert np.abs(decoder(changed).numpy() - before).max() > 0
