"""What decides between labels that refinement gives the same pixel.

    python -m benchmarks.merging --workdir runs/mini60/self_training
    python -m benchmarks.merging --workdir demo/self_training

Masks of held-out source pictures with two labels or more, known tags, scored
in one run: not refined, refined and ranked by the refined probability, refined
and ranked by the probability before (what `Predictor` does). No target mask is
touched.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from pathlib import Path

from absl import app, flags

from benchmarks.early_help import early_help

_WORKDIR = flags.DEFINE_string("workdir", None, "Run folder.", required=True)
_IMAGES = flags.DEFINE_integer("images", 200, "Pictures at most.")

early_help()

import numpy as np
import tensorflow as tf

from keras_wsss.commands.cli import exit_with
from keras_wsss.data.images import read_image
from keras_wsss.errors import ConfigError
from keras_wsss.evaluation.metrics.confusion import ConfusionMatrix
from keras_wsss.evaluation.table import markdown_table
from keras_wsss.inference.one_picture import OnePicture
from keras_wsss.inference.predictor import Predictor
from keras_wsss.training.inputs import read_training_data


def score(predictor: Predictor, records) -> list[dict]:
    """A row for each way to merge, on the same probabilities."""
    size = predictor.split.num_categories + 1
    found: dict[str, ConfusionMatrix] = {}
    several = decided = 0
    for record in records:
        image = read_image(record.image_path, predictor.config.data.max_pixels)
        ids, truth = record.labels, record.mask.read()
        before = OnePicture(predictor, image).probabilities(ids)
        refined = predictor.compiled.refine(image, before).numpy()
        firing = refined > predictor.config.inference.mask_threshold
        several += np.count_nonzero(firing.sum(axis=0) > 1)
        decided += np.count_nonzero(firing.any(axis=0))
        for name, ranks, decisive in (
            ("not refined", before, before),
            ("refined, ranked by refined", refined, refined),
            ("refined, ranked by before", before, refined),
        ):
            labels = tf.constant(ids, tf.int32)
            merged = predictor.compiled.merge_known(ranks, decisive, labels)
            mask = merged.numpy()
            matrix = found.setdefault(name, ConfusionMatrix(size))
            matrix.update(truth, mask, record.image_id)
    share = several / max(decided, 1)
    print(
        f"{len(records)} pictures; several labels claim {share:.0%} of the "
        "pixels that refinement gives to any.\n"
    )
    return [
        {
            "merge": name,
            "iou": matrix.mean_iou(),
            "accuracy": matrix.pixel_accuracy(),
        }
        for name, matrix in found.items()
    ]


def run() -> None:
    """Reads the run and prints its table."""
    predictor = Predictor.from_workdir(Path(_WORKDIR.value))
    data = read_training_data(predictor.config, with_target=False)
    records = [r for r in data.heldout if len(r.labels) > 1][: _IMAGES.value]
    if not records:
        raise ConfigError(
            f"{_WORKDIR.value}: no held-out source picture has two labels; "
            "name a run with config.data.heldout above 0."
        )
    columns = {"merge": "merge", "mean IoU": "iou"}
    columns |= {"pixel accuracy": "accuracy"}
    print(markdown_table(score(predictor, records), columns, 4))


if __name__ == "__main__":
    app.run(lambda _: exit_with(run))
