"""Masks of large pictures: whole, in tiles, and of the parts alone.

    python -m benchmarks.tiles --workdir RUN
    python -m benchmarks.tiles --workdir RUN --tiles 128,160 --overlaps 0.25,0.5
    python -m benchmarks.tiles --workdir RUN --source --mosaic 1500 --cut 37
    python -m benchmarks.tiles --workdir RUN --memory 10000 --tiles 512

Pictures of the run's evaluation set side by side make mosaics of 2,000 pixels
and more, with their masks. All ways score the same pixels: the pictures alone
are what a mosaic cannot be better than, the mosaic as a whole is what happens
without tiles. `--memory SIDE` predicts one mosaic of SIDE x SIDE pixels by the
command `predict` in a process of its own, and prints its largest memory.

`--source` makes mosaics of source pictures that training held out instead, by
which settings may be chosen; the tagger then names source categories.
`--cut` lets pictures and tiles not lie on one grid, as chance would have it.
"oracle" tags are those of each mosaic, "predicted" ones the tagger's: only the
latter are as much help to a mosaic as to the pictures alone.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import dataclasses
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from absl import app, flags, logging

from benchmarks.early_help import early_help

_WORKDIR = flags.DEFINE_string(
    "workdir", None, "A run of train.py.", required=True
)
_TILES = flags.DEFINE_list("tiles", ["0"], "Sides of tiles, in pixels.")
_OVERLAPS = flags.DEFINE_list("overlaps", ["0.5"], "Shares of the sides.")
_MOSAIC = flags.DEFINE_integer("mosaic", 2000, "Least side of a mosaic.")
_SIDE = flags.DEFINE_integer("side", 128, "Of each picture in it.")
_CUT = flags.DEFINE_integer("cut", 0, "Pixels left out at the top and left.")
_COUNT = flags.DEFINE_integer("count", 1, "Mosaics.")
_SOURCE = flags.DEFINE_bool("source", False, "Of held-out source pictures.")
_MEMORY = flags.DEFINE_integer("memory", 0, "Side of a mosaic to predict.")
_WHOLE = flags.DEFINE_bool("whole", True, "Also without tiles, and alone.")
_REFINE = flags.DEFINE_bool("refine", None, "As `predict`.")
_AUGMENT = flags.DEFINE_bool("augment", None, "As `predict`.")

early_help()

import cv2
import numpy as np
from PIL import Image

from keras_wsss.commands.cli import exit_with
from keras_wsss.data import formats
from keras_wsss.data.images import read_image
from keras_wsss.data.records import Record
from keras_wsss.evaluation.metrics.confusion import ConfusionMatrix, scored_view
from keras_wsss.evaluation.table import markdown_table
from keras_wsss.inference.predictor import Predictor
from keras_wsss.systems.quality import Quality, choose_quality
from keras_wsss.training.inputs import read_training_data

Part = tuple[np.ndarray, np.ndarray]  # picture and mask


def of_source(predictor: Predictor) -> Predictor:
    """The same network, whose tagger names source categories."""
    split = dataclasses.replace(
        predictor.split,
        source=predictor.split.target,
        target=predictor.split.source,
        scored=predictor.split.source,
    )
    rule = predictor.steps.rule
    return Predictor(predictor.net, split, predictor.config, rule=rule)


def read_parts(predictor: Predictor) -> list[Part]:
    """Pictures with masks, all of the side of a part."""
    config = predictor.config
    if _SOURCE.value:
        records = read_training_data(config, with_target=False).heldout
    else:
        records = formats.read(
            config.data, predictor.split, "evaluation"
        ).records
    return [_read_part(record, predictor) for record in records]


def _read_part(record: Record, predictor: Predictor) -> Part:
    mask = record.read_mask()
    if not _SOURCE.value:
        mask = scored_view(mask, predictor.split, str(record.image_path))
    size = (_SIDE.value, _SIDE.value)
    return (
        cv2.resize(
            read_image(record.image_path), size, interpolation=cv2.INTER_CUBIC
        ),
        cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST),
    )


def join(parts: Sequence[Part], rows: int) -> Part:
    """A mosaic of rows x rows parts."""
    image, mask = (
        np.concatenate(
            [
                np.concatenate(
                    [each[kind] for each in parts[row * rows :][:rows]], 1
                )
                for row in range(rows)
            ],
            0,
        )
        for kind in (0, 1)
    )
    return image, mask


def make_mosaics(
    parts: Sequence[Part], count: int, side: int
) -> list[list[Part]]:
    """The parts of each mosaic: all of them in turn, shuffled each time."""
    rows = math.ceil(side / _SIDE.value)
    rng = np.random.default_rng(0)
    order: list[int] = []
    while len(order) < count * rows * rows:
        order += rng.permutation(len(parts)).tolist()
    return [
        [parts[i] for i in order[start : start + rows * rows]]
        for start in range(0, count * rows * rows, rows * rows)
    ]


class Way:
    """Confusion and seconds of one way to make masks, by either tags."""

    def __init__(self, name: str, predictor: Predictor):
        self.name, self.predictor = name, predictor
        categories = predictor.split.num_categories + 1
        self.confusions = {
            kind: ConfusionMatrix(categories)
            for kind in ("oracle", "predicted")
        }
        self.seconds = 0.0

    def add(self, parts: Sequence[Part], quality: Quality) -> None:
        """Predicts pictures and scores them."""
        for image, truth in parts:
            present = np.setdiff1d(np.unique(truth), (0, 255)).tolist()
            for kind, confusion in self.confusions.items():
                tags = present if kind == "oracle" else None
                start = time.perf_counter()
                mask = self.predictor.predict(image, tags, quality).mask
                self.seconds += time.perf_counter() - start
                confusion.update(truth, mask)

    def row(self) -> dict:
        """Its line of the table."""
        ids = self.predictor.split.scored_ids
        return {
            "way": self.name,
            **{
                kind: confusion.mean_iou((0, *ids))
                for kind, confusion in self.confusions.items()
            },
            "seconds": self.seconds,
        }


def score(predictor: Predictor) -> None:
    """Prints the table."""
    mosaics = make_mosaics(read_parts(predictor), _COUNT.value, _MOSAIC.value)
    rows = math.isqrt(len(mosaics[0]))
    joined = [
        tuple(kind[_CUT.value :, _CUT.value :] for kind in join(parts, rows))
        for parts in mosaics
    ]
    side = len(joined[0][0])
    print(f"{len(joined)} mosaics of {side} x {side}, {rows**2} pictures each")
    flags_ = {"augment": _AUGMENT.value, "refine": _REFINE.value}
    whole = choose_quality(predictor.steps, **flags_)
    ways: list[tuple[str, Callable[[Way], None]]] = []
    if _WHOLE.value:
        ways = [
            (
                "pictures alone",
                lambda way: [way.add(parts, whole) for parts in mosaics],
            ),
            ("whole mosaic", lambda way: way.add(joined, whole)),
        ]
    for tile in map(int, _TILES.value):
        for overlap in map(float, _OVERLAPS.value):
            quality = choose_quality(
                predictor.steps, **flags_, tile=tile, tile_overlap=overlap
            )
            ways.append(
                (
                    f"tiles of {quality.tiling.side}, overlap {overlap:g}",
                    lambda way, quality=quality: way.add(joined, quality),
                )
            )
    found = []
    for name, run in ways:
        way = Way(name, predictor)
        run(way)
        found.append(way.row())
        print(json.dumps(found[-1]), flush=True)
    columns = {key: key for key in found[0]}
    print(markdown_table(found, columns, 3))


_MEASURED = """
import resource, sys, time
from keras_wsss.commands.main import main
start = time.perf_counter()
try:
    main()
finally:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    spent = time.perf_counter() - start
    print(f"largest memory: {peak:.2f} GB; {spent:.0f} s", flush=True)
"""


def measure_memory(predictor: Predictor) -> None:
    """Prints what `predict` says of one large mosaic."""
    side = _MEMORY.value
    (parts,) = make_mosaics(read_parts(predictor), 1, side)
    image = join(parts, math.isqrt(len(parts)))[0][:side, :side]
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "large.png"
        Image.fromarray(image).save(path, compress_level=1)
        print(
            f"{side} x {side}: {path.stat().st_size / 1e6:.0f} MB", flush=True
        )
        del parts, image
        for tile in _TILES.value:
            subprocess.run(
                [sys.executable, "-c", _MEASURED, "predict",
                 f"--workdir={_WORKDIR.value}", f"--out={name}/out-{tile}",
                 f"--tile={tile}", f"--tile_overlap={_OVERLAPS.value[0]}",
                 f"--max_pixels={side * side}", str(path)],
                check=True,
            )  # fmt: skip


def main() -> None:
    """Prints scores or memory."""
    logging.set_verbosity(logging.WARNING)
    predictor = Predictor.from_workdir(_WORKDIR.value)
    if _SOURCE.value:
        predictor = of_source(predictor)
    if _MEMORY.value:
        measure_memory(predictor)
    else:
        score(predictor)


if __name__ == "__main__":
    app.run(lambda _: exit_with(main))
