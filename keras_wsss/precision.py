"""In which precision networks compute; weights are float32 in all of them."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

# GPUs compute in bfloat16 from this capability on.
_BFLOAT16_CAPABILITY = (8, 0)
# Instructions of x86 processors, as Linux names them.
_BFLOAT16_FLAGS = {"amx_bf16", "avx512_bf16"}
PROCESSOR_FILE = Path("/proc/cpuinfo")


def chosen_dtype(name: str) -> str:
    """What `config.model.compute_dtype` comes to on this machine.

    Args:
        name: a floating type, or "auto": bfloat16 where what computes has it,
            float32 otherwise.
    """
    if name != "auto":
        return name
    return "bfloat16" if has_bfloat16() else "float32"


def dtype_of(config: Any) -> str:
    """The type that the networks of a run compute in.

    Args:
        config: the run's; what is deterministic is float32 by "auto".
    """
    if config.train.deterministic and config.model.compute_dtype == "auto":
        return "float32"
    return chosen_dtype(config.model.compute_dtype)


def has_bfloat16(processor_file: Path = PROCESSOR_FILE) -> bool:
    """Whether bfloat16 is fast: on all visible GPUs, or on the processor.

    Args:
        processor_file: says what the processor can, on Linux.
    """
    if gpus := tf.config.get_visible_devices("GPU"):
        details = map(tf.config.experimental.get_device_details, gpus)
        return all(
            detail.get("compute_capability", (0, 0)) >= _BFLOAT16_CAPABILITY
            for detail in details
        )
    try:
        text = processor_file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return any(
        _BFLOAT16_FLAGS.intersection(line.split())
        for line in text.splitlines()
        if line.startswith("flags")
    )


@contextlib.contextmanager
def computing_in(dtype: str) -> Iterator[None]:
    """Layers that are made meanwhile compute in a type, on float32 weights.

    Args:
        dtype: "float32", "bfloat16" or "float16".
    """
    before = keras.config.dtype_policy()
    policy = dtype if dtype == "float32" else f"mixed_{dtype}"
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
