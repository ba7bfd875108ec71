"""What a GPU makes of it: encoder, step, input and inference, in one table.

    python -m benchmarks.gpu --config transfernet_voc12_modern \
        --variants float32,bfloat16,xla

Networks of random weights on noise. Rows are precisions, with and without
XLA; columns are pictures or updates a second, the share of the peak that
--tflops names (of float32 or bfloat16, as the card's maker gives it), and the
largest memory. The rows are those of docs/scaling.md. Runs on a CPU too.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from absl import app, flags

from benchmarks.early_help import early_help

BATCH = flags.DEFINE_integer("batch", 8, "Pictures that the encoder takes.")
PICTURES = flags.DEFINE_integer("pictures", 64, "Of the input's rate.")
TFLOPS = flags.DEFINE_float("tflops", 0.0, "The card's peak; 0: no share.")

early_help()

import numpy as np
import tensorflow as tf
from PIL import Image

from benchmarks.counting import operations
from benchmarks.step import (
    CONFIG,
    PHASE,
    ROUNDS,
    VARIANTS,
    make_step,
    time_in_turns,
)
from keras_wsss.config import Config, split_of
from keras_wsss.data.pictures import PictureStore
from keras_wsss.data.pipeline import evaluation_batches
from keras_wsss.data.records import Record
from keras_wsss.devices import announce_devices, computing_devices
from keras_wsss.encoders.graphs import encoding_function
from keras_wsss.evaluation.table import markdown_table
from keras_wsss.inference.predictor import Predictor
from keras_wsss.systems.network import build_network

PICTURE = (480, 640)


def encoder_seconds(config: Config, net) -> Callable[[], None]:
    """A function that encodes a batch and waits for it."""
    size = config.image.size
    encode = encoding_function(net.encoder, size, net.used_levels)
    images = tf.random.normal([BATCH.value, size, size, 3])

    def run() -> None:
        encode(images)[0].numpy()

    run()
    return run


def prediction_seconds(config: Config, net) -> Callable[[], None]:
    """A function that segments a picture of known tags, refined."""
    split = split_of(config)
    predictor = Predictor(net, split, config)
    image = np.random.default_rng(0).integers(0, 256, (*PICTURE, 3))
    tags = [split.name_of(split.target_ids[0])]

    def run() -> None:
        predictor(image.astype(np.uint8), tags=tags)

    run()
    return run


def input_rate(config: Config, net) -> float:
    """Pictures a second that are read from JPEG files and squared."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        records = []
        for number in range(PICTURES.value):
            path = Path(folder) / f"{number}.jpg"
            noise = rng.integers(0, 256, (PICTURE[0] // 8, PICTURE[1] // 8, 3))
            image = Image.fromarray(noise.astype(np.uint8))
            image.resize(PICTURE[::-1]).save(path, quality=90)
            records.append(Record(str(number), path, "target", (1,)))
        store = PictureStore(config.data.max_pixels, 0)
        start = time.perf_counter()
        for _ in evaluation_batches(
            records, net.views, BATCH.value, pictures=store
        ):
            pass
        return PICTURES.value / (time.perf_counter() - start)


def row(config: Config, variant: str) -> dict[str, str]:
    """The figures of one precision, or of XLA."""
    dtype = "float32" if variant == "xla" else variant
    config = config.replace({"model.compute_dtype": dtype})
    net = build_network(config, split_of(config))
    functions = {
        "encoder": encoder_seconds(config, net),
        "step": make_step(config, variant, PHASE.value),
        "predict": prediction_seconds(config, net),
    }
    medians = time_in_turns(functions, ROUNDS.value)
    encoded = BATCH.value / medians["encoder"]
    share = "not run"
    if TFLOPS.value:
        size = config.image.size
        work = operations(net.encoder, ([1, size, size, 3], tf.float32))
        share = f"{encoded * work / TFLOPS.value / 1e12:.0%}"
    memory = "not run"
    if tf.config.list_physical_devices("GPU"):
        info = tf.config.experimental.get_memory_info("GPU:0")
        memory = f"{info['peak'] / 1e9:.1f} GB"
        tf.config.experimental.reset_memory_stats("GPU:0")
    return {
        "precision": variant,
        "encoder, pictures/s": f"{encoded:.1f}",
        "share of peak": share,
        "updates/s": f"{1 / medians['step']:.2f}",
        "input, pictures/s": f"{input_rate(config, net):.0f}",
        "predict, pictures/s": f"{1 / medians['predict']:.1f}",
        "peak memory": memory,
    }


def main(_) -> None:
    """Prints the table."""
    announce_devices()
    config = CONFIG.load()
    rows = [row(config, variant) for variant in VARIANTS.value]
    print(f"{', '.join(computing_devices())}, config {config.name}\n")
    print(markdown_table(rows, {name: name for name in rows[0]}))


if __name__ == "__main__":
    app.run(main)
