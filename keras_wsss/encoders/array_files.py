"""Arrays by name out of `.npz` archives and `.pth` files; nothing is run."""

from __future__ import annotations

import os
import zipfile

import numpy as np

from keras_wsss.encoders.torch_arrays import read_torch_arrays
from keras_wsss.errors import ConfigError

_MOST_BYTES = 2**31  # of an archive and of what it unpacks to


def read_arrays(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """The arrays of a file, kernels in Keras' order.

    Args:
        path: `.npz`, or a `.pth` of PyTorch's older form.

    Returns:
        Name -> array. Kernels of convolutions are [height, width, inputs,
        outputs], and [height, width, channels, 1] of those that take every
        channel by itself.

    Raises:
        ConfigError: no such file, or none that can be read safely.
    """
    try:
        with open(path, "rb") as file:
            is_archive = file.read(4) == b"PK\x03\x04"
        if is_archive:
            return _from_archive(path)
        with open(path, "rb") as file:
            arrays = read_torch_arrays(file.read(_MOST_BYTES))
    except OSError as error:
        raise ConfigError(
            f"Weights file {path}: {error.strerror or error}; check the path."
        ) from None
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ConfigError(
            f"{path} cannot be read as an archive of arrays ({error}); give "
            "an intact .npz or .pth file."
        ) from error
    return {name: _in_keras_order(array) for name, array in arrays.items()}


def _from_archive(path) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(path) as archive:
        if sum(part.file_size for part in archive.infolist()) > _MOST_BYTES:
            raise ValueError("it unpacks to more than 2 GB")
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _in_keras_order(array: np.ndarray) -> np.ndarray:
    if array.ndim == 4:
        by_channel = array.shape[1] == 1 and array.shape[0] > 1
        order = (2, 3, 0, 1) if by_channel else (2, 3, 1, 0)
        return array.transpose(order)
    return array.T
