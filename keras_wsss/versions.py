"""Versions of what computes, for results and reports."""

import platform

import keras
import numpy as np
import tensorflow as tf

import keras_wsss


def library_versions() -> dict[str, str]:
    """Name -> version of the package and what it stands on."""
    return {
        "keras_wsss": keras_wsss.__version__,
        "keras": keras.__version__,
        "tensorflow": tf.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
