"""Arrays out of a PyTorch file (the older `.pth`), without running it.

Such a file is a program for pickle's stack machine. Of its instructions only
those are known here that state dicts need; none imports, none calls. What
pickle would call is noted by name, and three names are understood.
"""

from __future__ import annotations

import dataclasses
import io
import math
import pickletools
from typing import Any

import numpy as np

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_STORAGES = {
    "torch FloatStorage": "<f4",
    "torch HalfStorage": "<f2",
    "torch DoubleStorage": "<f8",
    "torch LongStorage": "<i8",
}
_DICT = "collections OrderedDict"
_TENSOR = "torch._utils _rebuild_tensor_v2"
_MOST_INSTRUCTIONS = 1_000_000
_MARK = object()
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_VALUES = ("BININT", "BININT1", "BININT2", "LONG1", "BINUNICODE")
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


@dataclasses.dataclass(frozen=True)
class _Name:
    """What pickle would import."""

    text: str


@dataclasses.dataclass(frozen=True)
class _Storage:
    """Numbers that come later in the file."""

    dtype: str
    key: str
    count: int


@dataclasses.dataclass(frozen=True)
class _Tensor:
    """A view of a storage."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read_torch_arrays(data: bytes) -> dict[str, np.ndarray]:
    """The arrays of a state dict, contiguous, by name.

    Args:
        data: the file, of PyTorch before 1.6 or written in that form.

    Raises:
        ValueError: another file, or one that asks for anything else than
            arrays.
    """
    file = io.BytesIO(data)
    if _run(file) != _MAGIC or _run(file) != _PROTOCOL:
        raise ValueError("it is no PyTorch file of the older form")
    _run(file)  # of the machine that wrote it
    state, keys = _run(file), _run(file)
    if not isinstance(state, dict) or not isinstance(keys, list):
        raise ValueError("it holds no state dict")
    tensors = {k: v for k, v in state.items() if isinstance(v, _Tensor)}
    storages = {v.storage.key: v.storage for v in tensors.values()}
    numbers = {}
    for key in keys:
        if key not in storages or key in numbers:
            raise ValueError("its list of storages does not fit its arrays")
        numbers[key] = _read_storage(file, storages[key])
    if missing := storages.keys() - numbers.keys():
        raise ValueError(f"the storage {min(missing)} is missing")
    return {
        str(name): _array(tensor, numbers[tensor.storage.key])
        for name, tensor in tensors.items()
    }


def _read_storage(file: io.BytesIO, storage: _Storage) -> np.ndarray:
    count = int.from_bytes(file.read(8), "little", signed=True)
    if count != storage.count:
        raise ValueError(f"the storage {storage.key} has another size")
    size = count * np.dtype(storage.dtype).itemsize
    data = file.read(size)
    if len(data) != size:
        raise ValueError("it ends too early")
    return np.frombuffer(data, storage.dtype)


def _array(tensor: _Tensor, numbers: np.ndarray) -> np.ndarray:
    shape, strides = tensor.shape, tensor.strides
    if len(shape) != len(strides) or min((*shape, *strides, 0)) < 0:
        raise ValueError("an array has impossible strides")
    if math.prod(shape) > numbers.size:
        raise ValueError("an array repeats numbers of its storage")
    reach = sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
    if tensor.offset < 0 or tensor.offset + reach >= numbers.size:
        raise ValueError("an array reaches out of its storage")
    view = np.lib.stride_tricks.as_strided(
        numbers[tensor.offset :],
        shape,
        [step * numbers.itemsize for step in strides],
        writeable=False,
    )
    return np.ascontiguousarray(view)


class _Machine:
    """The stack and the memory of a pickle."""

    def __init__(self):
        self.stack: list[Any] = []
        self.memory: dict[int, Any] = {}

    def pop(self) -> Any:
        if not self.stack:
            raise ValueError("its program is damaged")
        return self.stack.pop()

    def pop_to_mark(self) -> list[Any]:
        items: list[Any] = []
        while (item := self.pop()) is not _MARK:
            items.append(item)
        return items[::-1]

    def top(self, kind: type) -> Any:
        if not self.stack or not isinstance(self.stack[-1], kind):
            raise ValueError("its program is damaged")
        return self.stack[-1]


def _run(file: io.BytesIO) -> Any:
    """The value of the pickle at the file's position."""
    machine = _Machine()
    try:
        for count, (operation, value, _) in enumerate(pickletools.genops(file)):
            if count > _MOST_INSTRUCTIONS:
                raise ValueError("its program is too long")
            if operation.name == "STOP":
                return machine.pop()
            _step(machine, operation.name, value)
    except (TypeError, KeyError, IndexError, AttributeError) as error:
        raise ValueError(f"its program is damaged ({error!r})") from None
    raise ValueError("its program has no end")


def _step(machine: _Machine, name: str, value: Any) -> None:
    stack = machine.stack
    if name in _VALUES:
        stack.append(value)
    elif name in _CONSTANTS:
        stack.append(_CONSTANTS[name])
    elif name == "MARK":
        stack.append(_MARK)
    elif name == "EMPTY_DICT":
        stack.append({})
    elif name == "EMPTY_LIST":
        stack.append([])
    elif name == "EMPTY_TUPLE":
        stack.append(())
    elif name == "TUPLE":
        stack.append(tuple(machine.pop_to_mark()))
    elif name in _TUPLES:
        stack.append(tuple(machine.pop() for _ in range(_TUPLES[name]))[::-1])
    elif name == "APPEND":
        item = machine.pop()
        machine.top(list).append(item)
    elif name == "APPENDS":
        items = machine.pop_to_mark()
        machine.top(list).extend(items)
    elif name == "SETITEM":
        item, key = machine.pop(), machine.pop()
        machine.top(dict)[key] = item
    elif name == "SETITEMS":
        items = machine.pop_to_mark()
        machine.top(dict).update(zip(items[::2], items[1::2], strict=True))
    elif name in ("BINPUT", "LONG_BINPUT"):
        machine.memory[value] = machine.top(object)
    elif name in ("BINGET", "LONG_BINGET"):
        stack.append(machine.memory[value])
    elif name == "GLOBAL":
        stack.append(_Name(value))
    elif name == "BINPERSID":
        stack.append(_storage(machine.pop()))
    elif name == "REDUCE":
        arguments, function = machine.pop(), machine.pop()
        stack.append(_made(function, arguments))
    elif name == "BUILD":
        # PyTorch's notes on versions, an attribute of the dict.
        machine.pop()
        machine.top(dict)
    elif name != "PROTO":
        raise ValueError(f"it has the instruction {name}")


def _storage(given: Any) -> _Storage:
    what, kind, key, _, count, view = given
    if what != "storage" or kind.text not in _STORAGES or view is not None:
        raise ValueError("it has a storage of an unknown kind")
    if not isinstance(key, str) or type(count) is not int or count < 0:
        raise ValueError("it has a damaged storage")
    return _Storage(_STORAGES[kind.text], key, count)


def _made(function: Any, arguments: tuple) -> Any:
    """What stands for the result of a call that is not made."""
    if function == _Name(_DICT) and arguments == ():
        return {}
    if function == _Name(_TENSOR):
        storage, offset, shape, strides, *_ = arguments
        numbers = (offset, *shape, *strides)
        if isinstance(storage, _Storage) and all(
            type(number) is int for number in numbers
        ):
            return _Tensor(storage, offset, tuple(shape), tuple(strides))
    name = function.text if isinstance(function, _Name) else "something"
    raise ValueError(f"it asks to call {name}")
