"""Masks of the same weights in two types: how many pixels are other ones.

    python -m benchmarks.precision --workdir runs/mini60/self_training

Each evaluation picture is predicted with the labels that its mask shows, by the
run's weights in float32 and in --compute_dtype, on the same machine.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from pathlib import Path

from absl import app, flags

from benchmarks.early_help import early_help

_WORKDIR = flags.DEFINE_string("workdir", None, "Run folder.", required=True)
_TYPE = flags.DEFINE_enum(
    "compute_dtype", "bfloat16", ["bfloat16", "float16"], "The other type."
)
_IMAGES = flags.DEFINE_integer("images", 225, "Pictures at most.")

early_help()

import numpy as np

from keras_wsss.commands.cli import exit_with
from keras_wsss.data import formats
from keras_wsss.data.images import read_image
from keras_wsss.evaluation.table import markdown_table
from keras_wsss.inference.predictor import Predictor
from keras_wsss.systems.quality import choose_quality


def run() -> None:
    """Prints the table."""
    one, other = (
        Predictor.from_workdir(Path(_WORKDIR.value), compute_dtype=kind)
        for kind in ("float32", _TYPE.value)
    )
    data = formats.read(one.config.data, one.split, "evaluation")
    ways = {
        "raw": choose_quality(one.steps, augment=False, refine=False),
        "augmented and refined": choose_quality(one.steps),
    }
    equal: dict[str, list[float]] = {name: [] for name in ways}
    for record in data.records[: _IMAGES.value]:
        image = read_image(record.image_path, one.config.data.max_pixels)
        for name, quality in ways.items():
            first, second = (
                predictor.predict(image, record.labels, quality).mask
                for predictor in (one, other)
            )
            equal[name].append(float(np.mean(first == second)))
    rows = [
        {
            "masks": name,
            "equal": f"{np.mean(shares):.2%}",
            "least": f"{np.min(shares):.2%}",
        }
        for name, shares in equal.items()
    ]
    columns = {"masks": "masks", "equal pixels": "equal"}
    print(
        markdown_table(rows, {**columns, "in the picture with fewest": "least"})
    )


if __name__ == "__main__":
    app.run(lambda _: exit_with(run))
