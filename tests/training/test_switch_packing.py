"""Switches at two bits a cell, and zeros without a sign."""

import numpy as np
import pytest

from keras_wsss.training.cache_entry import (
    pack_switches,
    packed_size,
    positive_zeros,
    unpack_switches,
)


@pytest.mark.parametrize("shape", [(4, 4, 8), (3, 5, 7), (1,), (0,)])
def test_round_trip(shape):
    rng = np.random.default_rng(0)
    switches = rng.integers(0, 4, shape, np.uint8)
    packed = pack_switches(switches)
    assert packed.nbytes == packed_size(switches.size)
    assert packed.nbytes == (switches.size + 3) // 4
    unpacked = np.empty(shape, np.uint8)
    unpack_switches(packed, unpacked)
    np.testing.assert_array_equal(unpacked, switches)


def test_order_of_bits():
    packed = pack_switches(np.array([1, 2, 3, 0, 3], np.uint8))
    assert packed.tolist() == [0b00_11_10_01, 0b11]


@pytest.mark.parametrize(
    "switches", [np.array([4], np.uint8), np.array([1], np.int32)]
)
def test_what_does_not_fit_is_refused(switches):
    with pytest.raises(ValueError, match="switch"):
        pack_switches(switches)


def test_wrong_size_is_refused():
    with pytest.raises(ValueError, match="cannot hold"):
        unpack_switches(np.zeros(3, np.uint8), np.empty(4, np.uint8))


def test_minus_zeros_turn_and_nothing_else():
    values = np.array([-0.0, 0.0, -1.5, 6e-8, np.inf, np.nan], np.float16)
    found = positive_zeros(values)
    expected = np.array([0.0, 0.0, -1.5, 6e-8, np.inf, np.nan], np.float16)
    assert found.dtype == np.float16
    assert found.tobytes() == expected.tobytes()
