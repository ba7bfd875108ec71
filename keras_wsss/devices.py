"""What computes: the devices by name, and GPUs that TensorFlow cannot use."""

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import tensorflow as tf

# A folder for each GPU, of NVIDIA's driver on Linux.
DRIVER_FOLDER = Path("/proc/driver/nvidia/gpus")
_DRIVER_COMMAND = "nvidia-smi"
# A driver in trouble can keep its command waiting for ever.
_DRIVER_SECONDS = 5


def computing_devices(count: int = 1) -> list[str]:
    """Names of what computes in this process.

    Args:
        count: GPUs in use, where there are as many.

    Returns:
        Names of GPUs, or one text, "CPU (2 cores)".
    """
    gpus = tf.config.get_visible_devices("GPU")[:count]
    return [_name(gpu) for gpu in gpus] or [f"CPU ({_cores()} cores)"]


def devices_line(count: int = 1, workers: int = 1) -> str:
    """The first line of a command: `Computing on CPU (2 cores).`

    Args:
        count: GPUs in use, where there are as many.
        workers: processes that compute together; the line is about one.
    """
    names = computing_devices(count)
    found = len(tf.config.get_visible_devices("GPU"))
    what = names[0]
    if found:
        used = len(names)
        of = f" of {found}" if used < found else ""
        plural = "s" if found > 1 else ""
        what = f"{used}{of} GPU{plural}: {', '.join(names)}"
    each = f", one of {workers} workers" if workers > 1 else ""
    return f"Computing on {what}{each}."


def announce_devices(
    count: int = 1,
    workers: int = 1,
    log: Callable[[str], None] = lambda line: print(line, flush=True),
) -> None:
    """Reports what computes; warns on stderr of a GPU that does not.

    Args:
        count: GPUs in use, where there are as many.
        workers: processes that compute together.
        log: called with the line.
    """
    log(devices_line(count, workers))
    if warning := unused_gpus():
        print(f"warning: {warning}", file=sys.stderr, flush=True)


def unused_gpus(folder: Path = DRIVER_FOLDER) -> str | None:
    """A sentence where the driver knows GPUs and TensorFlow none, or None.

    Args:
        folder: of the driver, asked where its command gives no answer.
    """
    if tf.config.list_physical_devices("GPU") or _hidden():
        return None
    names = _asked_driver()
    if names is None:
        names = _listed_by_driver(folder)
    if not names:
        return None
    return (
        f"the driver has {_counted(names)}, which TensorFlow cannot use, so "
        f"the CPU computes; {_remedy()} (if that is there, TF_CPP_MIN_LOG_LEVEL"
        "=0 shows what TensorFlow misses, and CUDA_VISIBLE_DEVICES=-1 is for "
        "those who want the CPU)."
    )


def _hidden() -> bool:
    """Whether the user wants no GPU, in CUDA's own way."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return visible is not None and visible.strip()[:1] in ("", "-")


def _asked_driver() -> list[str] | None:
    """GPUs that this process may use; None where nobody answers."""
    command = shutil.which(_DRIVER_COMMAND)
    if command is None:
        return None
    try:
        done = subprocess.run(
            [command, "-L"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_DRIVER_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    text = done.stdout.decode("utf-8", "replace")
    return re.findall(r"^GPU \d+: (.+?)(?: \(UUID.*)?$", text, re.MULTILINE)


def _listed_by_driver(folder: Path) -> list[str]:
    names = []
    try:
        for path in sorted(folder.glob("*/information")):
            text = path.read_text(encoding="utf-8", errors="replace")
            model = re.search(r"^Model:[ \t]*(.*\S)", text, re.MULTILINE)
            names.append(model[1] if model else "NVIDIA GPU")
    except OSError:  # taken away just now, or not for this user
        pass
    return names


def _counted(names: Sequence[str]) -> str:
    if len(names) == 1:
        return f"a GPU ({names[0]})"
    return f"{len(names)} GPUs ({', '.join(names)})"


def _remedy() -> str:
    """The command for a checkout, or for the installed package."""
    try:
        importlib.metadata.version("keras-wsss")
    except importlib.metadata.PackageNotFoundError:
        return "pip install 'tensorflow[and-cuda]'"
    return "pip install 'keras-wsss[gpu]'"


def _name(gpu: tf.config.PhysicalDevice) -> str:
    details = tf.config.experimental.get_device_details(gpu)
    return details.get("device_name", gpu.name)


def _cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
