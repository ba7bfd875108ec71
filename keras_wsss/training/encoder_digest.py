"""A digest that changes whenever an encoder computes something else."""

import hashlib
import json
from typing import Any

import keras
import numpy as np

# These say nothing of what a layer computes.
_IGNORED = ("name", "trainable", "build_config", "layers")


def encoder_digest(encoder: keras.Model) -> str:
    """Hexadecimal SHA-256 of a model's layers, their settings and weights.

    Names do not count: they depend on what else the process has built.
    """
    digest = hashlib.sha256()
    layers = [_describe(layer) for layer in encoder.layers]
    digest.update(json.dumps(layers, sort_keys=True, default=str).encode())
    for weight in encoder.weights:
        value = np.ascontiguousarray(weight.value.numpy())
        digest.update(f"{value.dtype.str} {value.shape}".encode())
        digest.update(value.data)
    return digest.hexdigest()


def _describe(layer: keras.layers.Layer) -> list[Any]:
    config = {
        name: value
        for name, value in layer.get_config().items()
        if name not in _IGNORED and not name.endswith("_layers")
    }
    inner = [_describe(part) for part in getattr(layer, "layers", [])]
    return [type(layer).__name__, config, inner]
