"""Shared fixtures: files beside the repository that tests may lack."""

import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import pytest

SHARED = Path(__file__).resolve().parents[1].parent / "shared"


def _shared(relative: str) -> Path:
    path = SHARED / relative
    if not path.exists():
        pytest.skip(f"{relative} is not beside the repository")
    return path


@pytest.fixture(scope="session")
def mini_dir() -> Path:
    """The folder of real pictures for development; never committed."""
    return _shared("data/mini")


@pytest.fixture(scope="session")
def weights_path() -> Path:
    """The ImageNet VGG-16 convolutions in Keras layer names."""
    return _shared("weights/vgg16_imagenet_notop.weights.h5")


@pytest.fixture(scope="session")
def golden_path() -> Path:
    """What tensorflow-addons 0.23 computed for unpooling and MultiOptimizer."""
    return _shared("golden/tfa_0_23.npz")
