"""Writes files as older PyTorch did, without PyTorch."""

import io
import pickle
import sys
import types

import numpy as np

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
SYSTEM = {"protocol_version": PROTOCOL, "little_endian": True}


class Storage:
    """Numbers that lie behind the pickles."""

    def __init__(self, numbers, kind="FloatStorage", key="1", count=None):
        self.numbers = np.asarray(numbers)
        self.kind, self.key = kind, key
        self.count = self.numbers.size if count is None else count


class Tensor:
    """A view of a storage; pickles as PyTorch's do."""

    def __init__(self, storage, shape, strides, offset=0):
        self.arguments = (storage, offset, shape, strides, False, {})

    def __reduce__(self):
        return _rebuild, self.arguments


class Call:
    """Pickles as the call of any function."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def _rebuild(*_):
    """Stands for the function of PyTorch; only its name is written."""


class _Pickler(pickle.Pickler):
    def persistent_id(self, thing):
        if not isinstance(thing, Storage):
            return None
        kind = type(thing.kind, (), {"__module__": "torch"})
        setattr(sys.modules["torch"], thing.kind, kind)
        return "storage", kind, thing.key, "cpu", thing.count, None


def torch_file(state, storages, magic=MAGIC, keys=None, protocol=2) -> bytes:
    """The bytes of a file.

    Args:
        state: name -> `Tensor`, or anything that pickles.
        storages: what lies behind it.
        magic: the first number.
        keys: the list of storages; that of `storages` if None.
        protocol: of the pickles.
    """
    before = {name: sys.modules.get(name) for name in ("torch", "torch._utils")}
    names = types.ModuleType("torch"), types.ModuleType("torch._utils")
    _rebuild.__module__, _rebuild.__qualname__ = (
        "torch._utils",
        "_rebuild_tensor_v2",
    )
    names[1]._rebuild_tensor_v2 = _rebuild
    sys.modules.update({"torch": names[0], "torch._utils": names[1]})
    try:
        file = io.BytesIO()
        for part in (
            magic,
            PROTOCOL,
            SYSTEM,
            state,
            [s.key for s in storages] if keys is None else keys,
        ):
            _Pickler(file, protocol).dump(part)
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module
    for storage in storages:
        file.write(storage.numbers.size.to_bytes(8, "little"))
        file.write(storage.numbers.tobytes())
    return file.getvalue()
