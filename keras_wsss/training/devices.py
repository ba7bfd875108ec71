"""Strategies of one process: one device, or a mirrored copy on every GPU."""

import functools
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

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


def check_divisible(
    strategy: tf.distribute.Strategy,
    pictures: int,
    field: str,
    micro_batches: int = 1,
) -> None:
    """Refuses a batch that replicas and parts cannot share evenly.

    Raises:
        ConfigError: `pictures` is not a multiple of their number.
    """
    replicas = strategy.num_replicas_in_sync
    if pictures % (replicas * micro_batches) == 0:
        return
    each = f" in {micro_batches} parts each" if micro_batches > 1 else ""
    raise ConfigError(
        f"config.{field} is {pictures}, which {replicas} devices cannot share "
        f"evenly{each}; use a multiple of {replicas * micro_batches}."
    )


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
