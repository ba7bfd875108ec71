"""Time of a training step, side by side: optimizer, precision, XLA.

    python -m benchmarks.step --config mini60_vgg --phase transfer
    python -m benchmarks.step --config mini60_vgg --phase predict \
        --variants float32,torch

The network of a config with random weights, on a batch of noise as the
feature cache gives it (or of pictures, with --nocached). All variants take
turns in one run; printed are medians and ratios to the first, which are
medians over the turns, by the clock and of the processor. Beside other work,
compare the processor's on one core (`taskset -c 0 python ...`): several
threads wait for each other, and PyTorch's are busy while they do. In place of
a phase, "predict" is the network alone, encoder to foreground, of one picture
and one label, and "encode" its encoder. The last line is the highest memory of
the process meanwhile (Linux): all variants', and TensorFlow itself.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from absl import app, flags

from benchmarks.early_help import early_help
from keras_wsss.commands.config_flag import define_config

CONFIG = define_config("Of the run.")
PHASE = flags.DEFINE_string(
    "phase",
    "transfer",
    "Phase: sizes of its batch; or encode or predict.",
)
ROUNDS = flags.DEFINE_integer("rounds", 8, "Turns of every variant.")
CACHED = flags.DEFINE_bool("cached", True, "Features from the cache.")
VARIANTS = flags.DEFINE_list(
    "variants",
    ["unfused", "float32", "bfloat16"],
    "Of unfused (float32 with Keras's own Adam), float32, bfloat16, float16, "
    "xla (float32); torch and torch_bfloat16 are PyTorch's step (extra "
    "bench), of encoders with switches, and torch_compiled and "
    "torch_bfloat16_compiled the same by its compiler.",
)

early_help()

import keras
import numpy as np
import tensorflow as tf

from keras_wsss.config import Config, split_of
from keras_wsss.devices import announce_devices
from keras_wsss.encoders.graphs import encoding_function
from keras_wsss.inference.predictor import Predictor
from keras_wsss.systems.network import build_network, named_variables
from keras_wsss.systems.optimizer import LayerMultipliers, MultiplierAdam
from keras_wsss.systems.transfernet.update import (
    Update,
    make_optimizer,
)

COMPUTE_DTYPES = ("float32", "bfloat16", "float16")


class UnfusedAdam(LayerMultipliers, keras.optimizers.Adam):
    """Keras's own rule, with the multipliers."""

    def update_step(self, gradient, variable, learning_rate):
        """Updates one variable with its own learning rate."""
        rate = learning_rate * self.factor_of(variable)
        super().update_step(gradient, variable, rate)


def make_step(
    config: Config, variant: str, phase: str, cached: bool = True
) -> Callable[[], None]:
    """A function that makes one update and waits for it.

    Args:
        config: of the network and the losses.
        variant: see --variants.
        phase: gives the sizes of the batch; or "encode" or "predict".
        cached: whether the batch has the encoder's outputs, not pictures.
    """
    dtype = variant if variant in COMPUTE_DTYPES else "float32"
    config = config.replace({"model.compute_dtype": dtype})
    split = split_of(config)
    whole = phase == "predict"
    if phase in ("encode", "predict") and variant.startswith("torch"):
        from benchmarks.torch_peer import make_torch_prediction

        categories = split.num_categories
        return make_torch_prediction(config, categories, variant, whole)
    keras.utils.set_random_seed(0)
    net = build_network(config, split)
    if phase in ("encode", "predict"):
        return make_prediction(Predictor(net, split, config), whole)
    optimizer: MultiplierAdam | UnfusedAdam = make_optimizer(config)
    if variant == "unfused":
        optimizer = UnfusedAdam(multipliers=optimizer.multipliers)
    variables = named_variables(net, net.trained_parts).values()
    optimizer.build([v for v in variables if v.trainable])
    train = config.train.replace({"xla": variant == "xla"})
    strategy = tf.distribute.get_strategy()
    update = Update(net, optimizer, train, strategy)
    batch = {
        name: random_part(config, net, split, name, rows, cached)
        for name, rows in (
            ("source", config.phases[phase].source_pictures),
            ("target", config.phases[phase].target_pictures),
        )
        if rows
    }

    if variant.startswith("torch"):
        from benchmarks.torch_peer import make_torch_step

        return make_torch_step(config, batch, split.num_categories, variant)

    def step() -> None:
        for value in update(batch, 1e-4).values():
            value.numpy()

    step()
    return step


def make_prediction(predictor: Predictor, whole: bool) -> Callable[[], None]:
    """A function that runs the network, or its encoder, on a square picture."""
    steps = predictor.compiled.of_scale(1.0)
    size = predictor.config.image.size
    image = np.random.default_rng(0).integers(0, 256, (size, size, 3), np.uint8)
    ids = tf.constant(predictor.split.target_ids[:1], tf.int32)

    def predict() -> None:
        encoded = steps.encode(image, False)
        result = steps.foreground(*encoded, ids) if whole else encoded[0]
        result.numpy()

    predict()
    return predict


def random_part(
    config: Config, net, split, domain: str, rows: int, cached: bool
) -> dict:
    """A domain's part of a batch, as `make_batches` gives it."""
    rng = np.random.default_rng(0)
    size, queries = config.image.size, config.train.labels_per_image
    ids = split.source_ids if domain == "source" else split.target_ids
    labels = rng.choice(ids, (rows, queries)).astype(np.int32)
    tags = np.zeros((rows, split.num_categories), np.float32)
    np.put_along_axis(tags, labels - 1, 1, axis=1)
    part = {
        "labels": labels,
        "weights": np.ones((rows, queries), np.float32),
        "present": np.ones((rows, queries), np.float32),
        "tags": tags,
        "known": np.ones_like(tags),
        "valid": np.ones((rows, net.grid, net.grid), np.float32),
        "record": np.arange(rows, dtype=np.int32),
    }
    if domain == "source":
        mask = rng.integers(0, 2, (rows, size, size))
        part["mask"] = (mask * labels[:, :1, None]).astype(np.uint8)
    images = tf.constant(rng.normal(0, 60, (rows, size, size, 3)), tf.float32)
    if not cached:
        return {k: tf.constant(v) for k, v in part.items()} | {"image": images}
    levels = tuple(sorted(net.used_levels)) if domain == "source" else ()
    features, *kept = encoding_function(net.encoder, size, levels)(images)
    return {k: tf.constant(v) for k, v in part.items()} | {
        "features": features,
        "levels": tuple(kept),
    }


def seconds_in_turns(
    functions: Mapping[str, Callable[[], None]], rounds: int
) -> dict[str, np.ndarray]:
    """Seconds [rounds, 2] of each, which take turns: clock, processor."""
    seconds: dict[str, list[np.ndarray]] = {name: [] for name in functions}
    for number in range(rounds):
        # The one that goes first finds other things in the caches.
        for name in list(functions)[:: 1 if number % 2 else -1]:
            start = np.array([time.perf_counter(), time.process_time()])
            functions[name]()
            end = np.array([time.perf_counter(), time.process_time()])
            seconds[name].append(end - start)
    return {name: np.array(own) for name, own in seconds.items()}


def time_in_turns(
    functions: Mapping[str, Callable[[], None]], rounds: int
) -> dict[str, float]:
    """Median seconds of each, which take turns."""
    seconds = seconds_in_turns(functions, rounds)
    return {name: float(np.median(own[:, 0])) for name, own in seconds.items()}


def highest_memory() -> float:
    """GB of this process since `forget_memory`; Linux."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1e6


def forget_memory() -> None:
    """Lets `highest_memory` begin with what is held now; Linux."""
    Path("/proc/self/clear_refs").write_text("5")


def main(_) -> None:
    """Prints a line for every variant."""
    announce_devices()
    config: Config = CONFIG.load()
    names = VARIANTS.value
    steps = {
        name: make_step(config, name, PHASE.value, CACHED.value)
        for name in names
    }
    on_linux = Path("/proc/self/clear_refs").exists()
    if on_linux:
        forget_memory()
    seconds = seconds_in_turns(steps, ROUNDS.value)
    for name, own in seconds.items():
        clock, processor = 1000 * np.median(own, axis=0)
        ratios = np.median(seconds[names[0]] / own, axis=0)
        print(
            f"{name:23} {clock:7.0f} ms  {ratios[0]:.2f} x"
            f"   processor {processor:7.0f} ms  {ratios[1]:.2f} x"
        )
    if on_linux:
        print(f"highest memory {highest_memory():.2f} GB")


if __name__ == "__main__":
    app.run(main)
