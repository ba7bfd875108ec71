"""Strategies of one process: one device, or a mirrored copy on every GPU."""

import functools
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from keras_wsss.config import Config
from keras_wsss.errors import ConfigError

STRATEGIES = ("auto", "one", "mirrored")


def make_strategy(name: str = "auto") -> tf.distribute.Strategy:
    """The distribution strategy called `name`.

    Args:
        name: "one" device; "mirrored" over all GPUs, or over all logical CPU
            devices without any; "auto" is mirrored when there are several
            GPUs and one device otherwise.

    Raises:
        ConfigError: unknown name.
    """
    if name not in STRATEGIES:
        raise ConfigError(
            f"Unknown strategy '{name}'; use one of {', '.join(STRATEGIES)}, "
            "or multi_worker."
        )
    gpus = tf.config.list_logical_devices("GPU")
    if name == "one" or (name == "auto" and len(gpus) < 2):
        return tf.distribute.get_strategy()
    devices = gpus or tf.config.list_logical_devices("CPU")
    return _mirrored(*(device.name for device in devices))


@functools.cache
def _mirrored(*devices: str) -> tf.distribute.Strategy:
    # One for the whole process: every MirroredStrategy counts its collective
    # operations from the same number, but TensorFlow keeps the shape that it
    # saw first for a number, and refuses another one.
    return tf.distribute.MirroredStrategy(devices)


def device_problems(config: Config, phase: str, replicas: int) -> list[str]:
    """Sentences about what so many devices cannot do with a phase.

    Args:
        config: the run's config.
        phase: the phase's name.
        replicas: devices that train together.
    """
    found, parts = [], config.train.micro_batches
    each = f" in {parts} parts each" if parts > 1 else ""
    for domain in ("source", "target"):
        pictures = config.phases[phase][f"{domain}_pictures"]
        if pictures % (replicas * parts):
            found.append(
                f"config.phases.{phase}.{domain}_pictures is {pictures}, which "
                f"{replicas} devices cannot share evenly{each}; use a multiple "
                f"of {replicas * parts}."
            )
    if config.train.xla and replicas > 1:
        found.append(
            f"config.train.xla is for one device, and {replicas} train; give "
            "--strategy one."
        )
    return found


def share(
    strategy: tf.distribute.Strategy,
    batch: Mapping[str, Any],
    workers: int = 1,
) -> Mapping[str, Any]:
    """Gives every replica of this process its rows of a batch.

    Args:
        strategy: one or several replicas.
        batch: nested structure of tensors whose first axis is the batch,
            or this worker's share of it.
        workers: processes that train together.

    Returns:
        The batch itself for one replica, else per-replica values.
    """
    replicas = strategy.num_replicas_in_sync // workers
    if replicas == 1:
        return batch

    def rows(context):
        def part(tensor):
            size = tensor.shape[0] // replicas
            first = context.replica_id_in_sync_group % replicas * size
            return tensor[first : first + size]

        # A GPU would get the whole batch, to keep a slice of it.
        with tf.device("/CPU:0"):
            return tf.nest.map_structure(part, batch)

    return strategy.experimental_distribute_values_from_function(rows)
