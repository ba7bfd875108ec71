"""Time of the processors from a JPEG file to its square, in one run.

    python -m benchmarks.pictures

The ways take turns on one picture of 640 x 480 pixels; printed are medians,
and the share of pixels that differ from those of the served graph. Threads of
TensorFlow count too, so other work on the machine hardly matters. Then pictures
a second by the clock with several threads, for which nothing else may run.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent import futures
from pathlib import Path

from absl import app, flags

from benchmarks.early_help import early_help

SIZES = flags.DEFINE_list("sizes", ["224", "320", "448"], "Sides of squares.")
TURNS = flags.DEFINE_integer("turns", 25, "Turns of each way.", lower_bound=1)
THREADS = flags.DEFINE_list("threads", ["1", "2", "4"], "Numbers of threads.")

early_help()

import cv2
import numpy as np
import tensorflow as tf
from PIL import Image

from keras_wsss.data import preprocess
from keras_wsss.data.images import read_image
from keras_wsss.evaluation.table import markdown_table


def ways(image: np.ndarray, size: int) -> dict[str, Callable[[], np.ndarray]]:
    """What is compared; the first is how served graphs do it."""
    side = max(image.shape[:2])

    def padded(kind: type) -> np.ndarray:
        square = np.zeros((side, side, 3), kind)
        square[: image.shape[0], : image.shape[1]] = image
        return square

    def by_floats() -> np.ndarray:
        square = cv2.resize(padded(np.float32), (size, size))
        return np.rint(square).astype(np.uint8)

    return {
        "operations of the graph": lambda: preprocess.square_image(
            tf.constant(image), size
        ).numpy(),
        "square_array": lambda: preprocess.square_array(image, size),
        "cv2, uint8": lambda: cv2.resize(padded(np.uint8), (size, size)),
        "cv2, float32": by_floats,
    }


def rows(path: Path, size: int) -> list[dict]:
    """Medians of all ways for one size."""
    image = read_image(path)
    functions = ways(image, size)
    expected = next(iter(functions.values()))()
    functions["decoding"] = lambda: read_image(path)
    spent: dict[str, list[float]] = {name: [] for name in functions}
    for turn in range(TURNS.value + 1):
        for name, function in functions.items():
            start = time.process_time()
            function()
            if turn:  # the first one warms up
                spent[name].append(time.process_time() - start)
    return [
        {
            "size": size,
            "way": name,
            "ms": 1000 * statistics.median(spent[name]),
            "other pixels": "-"
            if name == "decoding"
            else f"{np.mean(function() != expected):.2%}",
        }
        for name, function in functions.items()
    ]


def rates(path: Path, size: int) -> list[dict]:
    """Pictures a second from file to square; counts of threads take turns."""
    counts = [int(count) for count in THREADS.value]
    found: dict[int, list[float]] = {count: [] for count in counts}

    def square(_: int) -> np.ndarray:
        return preprocess.square_array(read_image(path), size)

    for _ in range(TURNS.value // 5 + 1):
        for count in counts:
            with futures.ThreadPoolExecutor(count) as pool:
                start = time.perf_counter()
                list(pool.map(square, range(200)))
                found[count].append(200 / (time.perf_counter() - start))
    medians = {count: statistics.median(found[count]) for count in counts}
    return [
        {"threads": count, "rate": rate, "ratio": rate / medians[counts[0]]}
        for count, rate in medians.items()
    ]


def main(_) -> None:
    """Prints the tables."""
    cv2.setNumThreads(1)
    cells = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture.jpg"
        Image.fromarray(cells).resize((640, 480)).save(path, quality=90)
        found = [line for size in SIZES.value for line in rows(path, int(size))]
        found_rates = rates(path, int(SIZES.value[0]))
    columns = {"size": "size", "way": "way", "processor ms": "ms"}
    print(markdown_table(found, columns | {"other pixels": "other pixels"}, 2))
    columns = {"threads": "threads", "pictures a second": "rate"}
    print(markdown_table(found_rates, columns | {"ratio": "ratio"}, 2))


if __name__ == "__main__":
    app.run(main)
