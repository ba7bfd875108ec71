"""Pictures a second of `predict`, side by side and one at a time, in one run.

    python -m benchmarks.prediction                    # config shapes
    python -m benchmarks.prediction --workdir RUN      # a trained model
    python -m benchmarks.prediction --batches 2,4,8    # the encoder by batches
    python -m benchmarks.prediction --workdir RUN --pictures FOLDER --count 50

From files to masks, overlays and predictions.json. The ways take turns, so
their ratio holds whatever else the machine does; it is the median over the
rounds. Seconds of the processors tell what no order of the work can change:
on C cores a picture takes at least a C-th of them. Without --workdir the
network has random weights, and pictures are drawn unless a folder is given.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from absl import app, flags, logging

from benchmarks.early_help import early_help

_WORKDIR = flags.DEFINE_string("workdir", None, "A run of train.py.")
_CONFIG = flags.DEFINE_string(
    "config", "shapes", "Built-in config whose network gets random weights."
)
_PICTURES = flags.DEFINE_string("pictures", None, "Folder; drawn if not given.")
_COUNT = flags.DEFINE_integer("count", 24, "Pictures of a round.")
_ROUNDS = flags.DEFINE_integer("rounds", 5, "Turns of each way.")
_SIDE = flags.DEFINE_integer("side", 128, "Of drawn pictures, in pixels.")
_BATCHES = flags.DEFINE_list("batches", [], "Also by batches of the encoder.")
_RAW = flags.DEFINE_bool("raw", False, "The network alone, in one view.")

early_help()

import keras
import numpy as np

from keras_wsss.commands.cli import exit_with
from keras_wsss.config import split_of
from keras_wsss.config_files import load_config
from keras_wsss.data.images import read_image
from keras_wsss.data.masks import read_palette_mask
from keras_wsss.evaluation.table import markdown_table
from keras_wsss.inference.find_pictures import Picture, find_pictures
from keras_wsss.inference.one_picture import OnePicture
from keras_wsss.inference.predict_files import MASKS, predict_files
from keras_wsss.inference.predictor import Predictor
from keras_wsss.shapes.make import ShapesSize, write_shapes
from keras_wsss.side_by_side import default_threads
from keras_wsss.systems.network import build_network
from keras_wsss.systems.quality import Quality, choose_quality

ONE = "one at a time"
Way = Callable[[Path], object]


def make_predictor() -> Predictor:
    """The run of --workdir, or that of --config with random weights."""
    if _WORKDIR.value:
        return Predictor.from_workdir(_WORKDIR.value)
    keras.utils.set_random_seed(0)
    config = load_config(_CONFIG.value)
    split = split_of(config)
    return Predictor(build_network(config, split), split, config)


def make_pictures(folder: Path) -> list[Picture]:
    """Those of --pictures, or drawn ones."""
    place = _PICTURES.value
    if not place:
        size = ShapesSize(_SIDE.value, 1, 1, _COUNT.value, 0, 0)
        write_shapes(folder / "data", size=size)
        place = folder / "data" / "target" / "JPEGImages"
    return find_pictures([place], folder)[0][: _COUNT.value]


def make_ways(
    predictor: Predictor, pictures: Sequence[Picture], quality: Quality
) -> dict[str, Way]:
    """Name -> predicts all pictures into a folder."""
    # Two tags, whatever the tagger thinks: it may be a random one.
    tags = None if _WORKDIR.value else predictor.split.scored[:2]

    def way(batch: int, threads: int | None) -> Way:
        return lambda out: predict_files(
            predictor,
            pictures,
            out,
            tags=tags,
            quality=quality,
            batch=batch,
            threads=threads,
        )

    ways = {ONE: way(1, 1), f"side by side ({default_threads()})": way(1, None)}
    for batch in map(int, _BATCHES.value):
        ways[f"batches of {batch}"] = way(batch, None)
    return ways


def different_pixels(
    pictures: Sequence[Picture], out: Path, other: Path
) -> int:
    """Pixels in which the masks of two folders are not the same."""
    return sum(
        int(np.count_nonzero(np.not_equal(*masks)))
        for picture in pictures
        for masks in [
            [
                read_palette_mask(folder / MASKS / f"{picture.name}.png")
                for folder in (out, other)
            ]
        ]
    )


def profile(
    predictor: Predictor, pictures: Sequence[Picture], quality: Quality
) -> list[dict]:
    """Milliseconds of each stage of a picture alone; median."""
    seconds: dict[str, list[float]] = {}
    tags = None if _WORKDIR.value else predictor.split.scored[:2]
    for picture in pictures[: max(9, _COUNT.value // 2)]:
        one = OnePicture(predictor, read_image(picture.path))
        one.predict(tags, quality)
        for stage, spent in one.seconds.items():
            seconds.setdefault(stage, []).append(1e3 * spent)
    return [
        {"stage": stage, "ms": statistics.median(spent)}
        for stage, spent in seconds.items()
    ]


def measure(ways: dict[str, Way], folder: Path) -> dict[str, list[list[float]]]:
    """Name -> seconds and processor seconds of every round."""
    found: dict[str, list[list[float]]] = {name: [] for name in ways}
    for number in range(-1, _ROUNDS.value):
        # The one that goes first finds other things in the caches.
        names = list(ways) if number % 2 else list(ways)[::-1]
        for name in names:
            start = time.perf_counter(), time.process_time()
            ways[name](folder / name)
            end = time.perf_counter(), time.process_time()
            if number >= 0:  # the first round traces
                found[name].append(
                    [b - a for a, b in zip(start, end, strict=True)]
                )
    return found


def main() -> None:
    """Prints the tables."""
    logging.set_verbosity(logging.WARNING)
    predictor = make_predictor()
    quality = choose_quality(predictor.steps)
    if _RAW.value:
        quality = Quality()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pictures = make_pictures(folder)
        model, size = predictor.config.model, predictor.config.image.size
        print(
            f"{model.encoder} at {size} pixels, {quality.name}; "
            f"{len(pictures)} pictures, {os.cpu_count()} cores\n"
        )
        ways = make_ways(predictor, pictures, quality)
        found = measure(ways, folder)
        rows = []
        alone = np.array(found[ONE])
        for way, rounds in found.items():
            spent = np.array(rounds)
            rows.append(
                {
                    "way": way,
                    "rate": len(pictures) / np.median(spent[:, 0]),
                    "cpu": 1e3 * np.median(spent[:, 1]) / len(pictures),
                    "ratio": float(np.median(alone[:, 0] / spent[:, 0])),
                    "pixels": different_pixels(
                        pictures, folder / way, folder / ONE
                    ),
                }
            )
        stages = profile(predictor, pictures, quality)
    columns = {"way": "way", "pictures a second": "rate", "ratio": "ratio"}
    columns |= {"CPU ms a picture": "cpu", "other pixels": "pixels"}
    print(markdown_table(rows, columns, 2))
    print()
    print(markdown_table(stages, {"stage": "stage", "ms alone": "ms"}, 1))


if __name__ == "__main__":
    app.run(lambda _: exit_with(main))
