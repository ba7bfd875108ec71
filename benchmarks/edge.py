"""What an export for LiteRT or ONNX loses and gains, in one table.

    python -m export --workdir RUN --out phone --format litert
    python -m export --workdir RUN --out phone8 --format litert \
        --precision int8
    python -m benchmarks.edge --workdir RUN phone phone8

Mean IoU on the run's evaluation set with the true tags, agreement of masks
with `Predictor` in the same quality (one view, no refinement), size of the
graphs, and milliseconds from picture to mask with one tag: all take turns, so
the ratio (median of export / Predictor, turn by turn) holds whatever else the
machine does.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from absl import app, flags, logging

from benchmarks.early_help import early_help

_WORKDIR = flags.DEFINE_string("workdir", None, "A run of train.py.")
_LIMIT = flags.DEFINE_integer("limit", 300, "Pictures that are scored.")
_TURNS = flags.DEFINE_integer("turns", 15, "Turns of the comparison of times.")
_THREADS = flags.DEFINE_integer(
    "threads", None, "Of the exports; the cores of this process if not given."
)

early_help()

import numpy as np

from keras_wsss.commands.cli import exit_with
from keras_wsss.data import formats
from keras_wsss.data.images import read_image
from keras_wsss.data.records import Record
from keras_wsss.errors import ConfigError
from keras_wsss.evaluation.metrics.confusion import (
    ConfusionMatrix,
    scored_view,
)
from keras_wsss.evaluation.table import markdown_table
from keras_wsss.inference.predictor import Predictor
from keras_wsss.serving.client_edge import EdgeModel
from keras_wsss.serving.manifest import verify_manifest
from keras_wsss.systems.quality import Quality

Segment = Callable[[np.ndarray, Sequence[int]], np.ndarray]


def segmenters(predictor: Predictor, folders: Sequence[str]) -> dict:
    """Name -> function from picture and ids to mask, the predictor first."""
    threads = _THREADS.value or len(os.sched_getaffinity(0))

    def of_export(folder: str) -> Segment:
        model = EdgeModel(folder, threads)
        names = predictor.split.name_of
        return lambda image, ids: model.predict(image, list(map(names, ids)))[
            "mask"
        ]

    def own(image: np.ndarray, ids: Sequence[int]) -> np.ndarray:
        return predictor.predict(image, ids, Quality()).mask

    exports = {folder: of_export(folder) for folder in folders}
    return {"Predictor": own, **exports}


def score(
    ways: dict[str, Segment], predictor: Predictor, records: Sequence[Record]
) -> tuple[dict[str, float], dict[str, float]]:
    """Mean IoU, and agreement with the first, of each way."""
    split = predictor.split
    tables = {name: ConfusionMatrix(split.num_categories + 1) for name in ways}
    equal = dict.fromkeys(ways, 0.0)
    for record in records:
        name = str(record.image_path)
        image = read_image(record.image_path, predictor.config.data.max_pixels)
        truth = scored_view(record.read_mask(), split, name)
        ids = [i for i in split.scored_ids if np.any(truth == i)]
        masks = {own: segment(image, ids) for own, segment in ways.items()}
        for own, mask in masks.items():
            tables[own].update(truth, scored_view(mask, split, name), name)
            equal[own] += float(np.mean(mask == masks["Predictor"]))
    means = {
        own: table.mean_iou([0, *split.scored_ids])
        for own, table in tables.items()
    }
    return means, {own: total / len(records) for own, total in equal.items()}


def times(
    ways: dict[str, Segment], image: np.ndarray, ids: Sequence[int]
) -> dict[str, tuple[float, float]]:
    """Milliseconds, and the ratio to the first, of each way (medians)."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(_TURNS.value + 1):
        for name in list(ways) if turn % 2 else list(ways)[::-1]:
            start = time.perf_counter()
            ways[name](image, ids)
            seconds[name].append(time.perf_counter() - start)
    first = np.array(seconds["Predictor"][1:])
    return {
        name: (
            1e3 * statistics.median(own[1:]),
            float(np.median(np.array(own[1:]) / first)),
        )
        for name, own in seconds.items()
    }


def main(folders: Sequence[str]) -> None:
    """Prints the table."""
    logging.set_verbosity(logging.WARNING)
    if not _WORKDIR.value or not folders:
        raise ConfigError("Give --workdir RUN and folders of exports.")
    predictor = Predictor.from_workdir(_WORKDIR.value)
    data = predictor.config.data
    dataset = formats.read(data, predictor.split, "evaluation")
    records = dataset.records[: _LIMIT.value]
    ways = segmenters(predictor, folders)
    means, agreement = score(ways, predictor, records)
    image = read_image(records[0].image_path, data.max_pixels)
    spent = times(ways, image, predictor.split.scored_ids[:1])
    rows = []
    for name in ways:
        row = {"what": name, "iou": means[name], "equal": agreement[name]}
        row["ms"], row["ratio"] = spent[name]
        if name in folders:
            graphs = verify_manifest(Path(name))["graphs"].values()
            files = {Path(name, graph["file"]) for graph in graphs}
            row["mb"] = sum(path.stat().st_size for path in files) / 1e6
        rows.append(row)
    print(
        f"{len(records)} pictures, {len(os.sched_getaffinity(0))} CPU cores\n"
    )
    columns = {"what": "what", "MB": "mb", "mean IoU": "iou"}
    columns |= {"equal pixels": "equal", "ms": "ms", "ratio": "ratio"}
    print(markdown_table(rows, columns, 4))


if __name__ == "__main__":
    app.run(lambda argv: exit_with(lambda: main(argv[1:])))
