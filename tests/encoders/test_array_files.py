"""Weights out of archives and PyTorch files; what else they hold is refused."""

import os
import pickle
from collections import OrderedDict

import numpy as np
import pytest
from torch_files import Call, Storage, Tensor, torch_file

from keras_wsss.encoders.array_files import read_arrays
from keras_wsss.encoders.torch_arrays import read_torch_arrays
from keras_wsss.errors import ConfigError

NUMBERS = np.arange(24, dtype=np.float32)


def good(**options):
    storage = Storage(NUMBERS)
    state = OrderedDict(
        whole=Tensor(storage, (2, 3, 4), (12, 4, 1)),
        turned=Tensor(storage, (4, 3), (1, 4), 12),
    )
    return torch_file(state, [storage], **options)


def test_arrays_follow_their_strides():
    arrays = read_torch_arrays(good())
    np.testing.assert_array_equal(arrays["whole"], NUMBERS.reshape(2, 3, 4))
    np.testing.assert_array_equal(
        arrays["turned"], NUMBERS[12:].reshape(3, 4).T
    )
    assert arrays["turned"].flags.c_contiguous


def test_kernels_come_in_the_order_of_keras(tmp_path):
    numbers = np.arange(2 * 3 * 5 * 5, dtype=np.float32)
    ordinary, single = Storage(numbers, key="1"), Storage(numbers[:50], key="2")
    state = {
        "conv": Tensor(ordinary, (2, 3, 5, 5), (75, 25, 5, 1)),
        "depthwise": Tensor(single, (2, 1, 5, 5), (25, 25, 5, 1)),
    }
    path = tmp_path / "weights.pth"
    path.write_bytes(torch_file(state, [ordinary, single]))
    arrays = read_arrays(path)
    assert arrays["conv"].shape == (5, 5, 3, 2)
    assert arrays["conv"][1, 2, 0, 1] == numbers.reshape(2, 3, 5, 5)[1, 0, 1, 2]
    assert arrays["depthwise"].shape == (5, 5, 2, 1)
    np.savez(tmp_path / "weights.npz", **arrays)
    again = read_arrays(tmp_path / "weights.npz")
    for name, array in arrays.items():
        np.testing.assert_array_equal(again[name], array)


def tensors(shape, strides, offset=0, **storage):
    own = Storage(NUMBERS, **storage)
    return torch_file({"a": Tensor(own, shape, strides, offset)}, [own])


def flag_raised():
    raise AssertionError("code out of a file ran")


BAD = {
    "another file": lambda: b"\x89PNG not a pickle at all",
    "nothing": lambda: b"",
    "another magic": lambda: good(magic=1),
    "a call": lambda: torch_file(Call(os.system, "true"), []),
    "a call in a dict": lambda: torch_file({"a": Call(flag_raised)}, []),
    "a call of eval": lambda: torch_file({"a": Call(eval, "1")}, []),
    "a newer pickle": lambda: good(protocol=4),
    "a list as state": lambda: torch_file([1, 2], []),
    "cut": lambda: good()[:-5],
    "cut in the program": lambda: good()[:200],
    "out of its storage": lambda: tensors((5, 5), (5, 1)),
    "behind its storage": lambda: tensors((2, 2), (2, 1), 23),
    "a negative offset": lambda: tensors((2,), (1,), -1),
    "negative strides": lambda: tensors((2,), (-1,)),
    "one number again and again": lambda: tensors((100_000, 1000), (0, 0)),
    "another count": lambda: tensors((2,), (1,), count=7),
    "an unknown storage": lambda: tensors((2,), (1,), kind="Path"),
    "a missing storage": lambda: good(keys=[]),
    "a storage twice": lambda: good(keys=["1", "1"]),
    "a memory that is empty": lambda: good().split(pickle.MARK)[0] + b"h\x63.",
}


@pytest.mark.parametrize("what", BAD)
def test_anything_else_is_refused_and_nothing_runs(what, tmp_path):
    path = tmp_path / "weights.pth"
    path.write_bytes(BAD[what]())
    with pytest.raises(ConfigError, match=r"weights\.pth cannot be read"):
        read_arrays(path)


def test_archives_hold_arrays_alone(tmp_path):
    path = tmp_path / "weights.npz"
    np.savez(path, a=np.array([{"b": 1}], object))
    with pytest.raises(ConfigError, match="cannot be read"):
        read_arrays(path)
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(ConfigError, match="cannot be read"):
        read_arrays(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.npz.*check the path"):
        read_arrays(tmp_path / "none.npz")
