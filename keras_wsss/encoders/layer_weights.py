"""Weights files by layer name: HDF5 of Keras 3 or older, read."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import h5py
import numpy as np

from keras_wsss.errors import ConfigError

if TYPE_CHECKING:
    import keras


def read_layer_weights(
    path: str | os.PathLike[str],
) -> dict[str, list[np.ndarray]]:
    """Reads all weights of an HDF5 weights file.

    Takes the layout of Keras 3 (`.weights.h5`: groups under `layers`, whose
    attribute `name` is the layer's name) and the older one (`.h5`: groups
    named after the layers, with `weight_names`).

    Args:
        path: the file.

    Returns:
        Layer name -> arrays in the layer's order (kernel, bias). Layers
        without weights are left out.

    Raises:
        ConfigError: the file is missing or is not such a file.
    """
    if not os.path.isfile(path):
        raise ConfigError(
            f"Weights file {path} does not exist; check the path."
        )
    try:
        with h5py.File(path, "r") as file:
            # Of the file itself: one that asks for more may fill the memory.
            budget = _Budget(os.path.getsize(path))
            if "layers" in file:
                weights = _read_keras3(_group(file, "layers"), budget)
            else:
                older = "model_weights" in file
                group = _group(file, "model_weights") if older else file
                weights = _read_older(group, budget)
    except (OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ConfigError(
            f"{path} cannot be read as a Keras weights file ({error}); give "
            "an intact .weights.h5 or .h5 file."
        ) from error
    if not weights:
        raise ConfigError(
            f"{path} holds no layer weights; give a Keras .weights.h5 file."
        )
    return weights


class _Budget:
    """Bytes that arrays may still take."""

    def __init__(self, size: int):
        self.left = size

    def take(self, dataset: h5py.Dataset) -> None:
        self.left -= dataset.nbytes
        if self.left < 0:
            raise ValueError("its arrays are larger than the file")


def _group(parent: h5py.Group, name: str) -> h5py.Group:
    """A group that lies in the file itself."""
    return _own(parent, name, h5py.Group)


def _own(parent: h5py.Group, name: str, kind: type | tuple[type, ...]):
    # A link could lead to other files of this machine, or in circles.
    for part in name.split("/"):
        if not isinstance(parent, h5py.Group):
            raise ValueError(f"'{name}' is not where it should be")
        if not isinstance(parent.get(part, getlink=True), h5py.HardLink):
            raise ValueError(f"'{name}' is a link")
        parent = parent[part]
    if not isinstance(parent, kind):
        raise ValueError(f"'{name}' is of another kind than it should be")
    return parent


def _array(group: h5py.Group, name: str, budget: _Budget) -> np.ndarray:
    dataset = _own(group, name, h5py.Dataset)
    if dataset.external or dataset.is_virtual:
        raise ValueError(f"the values of '{name}' lie in another file")
    if dataset.dtype.kind not in "fiu":
        raise ValueError(f"'{name}' holds {dataset.dtype} and not numbers")
    budget.take(dataset)
    return dataset[()]


def _read_keras3(
    layers: h5py.Group, budget: _Budget
) -> dict[str, list[np.ndarray]]:
    weights = {}
    for key in layers:
        group = _group(layers, key)
        if "vars" not in group:
            continue
        variables = _group(group, "vars")
        if len(variables):
            name = str(variables.attrs.get("name", key))
            order = sorted(variables, key=int)
            weights[name] = [
                _array(variables, index, budget) for index in order
            ]
    return weights


def _read_older(
    layers: h5py.Group, budget: _Budget
) -> dict[str, list[np.ndarray]]:
    weights = {}
    for name in layers:
        group = _own(layers, name, (h5py.Group, h5py.Dataset))
        keys = [
            key.decode() if isinstance(key, bytes) else str(key)
            for key in group.attrs.get("weight_names", ())
        ]
        if keys:
            weights[name] = [_array(group, key, budget) for key in keys]
    return weights


def assign_by_name(
    model: keras.Model,
    weights: Mapping[str, Sequence[np.ndarray]],
    origin: str | os.PathLike[str],
) -> None:
    """Assigns weights to every layer of `model` that has weights.

    A `FeatureScale` keeps its own, which no file has.

    Nothing is assigned unless everything fits.

    Args:
        model: the model to fill.
        weights: layer name -> arrays; layers that the model lacks are
            ignored (the classifier of a whole VGG, for example).
        origin: where they come from, for messages.

    Raises:
        ConfigError: a layer is missing, or a shape or a value is wrong.
    """
    layers = [
        layer
        for layer in model.layers
        if layer.weights and not getattr(layer, "from_data", False)
    ]
    for layer in layers:
        if layer.name not in weights:
            raise ConfigError(
                f"{origin} has no weights for layer '{layer.name}' of "
                f"{model.name}; give the weights of that architecture."
            )
        wanted = [tuple(variable.shape) for variable in layer.weights]
        found = [np.shape(array) for array in weights[layer.name]]
        if wanted != found:
            raise ConfigError(
                f"{origin}: layer '{layer.name}' has shapes {found}, but "
                f"{model.name} needs {wanted}; give the weights of that "
                "architecture."
            )
        if not all(np.isfinite(array).all() for array in weights[layer.name]):
            raise ConfigError(
                f"{origin}: layer '{layer.name}' holds values that are not "
                "finite; the file is damaged."
            )
    for layer in layers:
        layer.set_weights(
            [np.asarray(array, np.float32) for array in weights[layer.name]]
        )
