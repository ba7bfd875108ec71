"""What correcting the tags of suggested pictures brings, beside random ones.

    python -m benchmarks.suggested_tags --workdir runs/transfer --count 50

An oracle plays the person: of the suggested evaluation pictures it gives the
tags that their true masks hold; all others keep the predicted ones. The same
for as many random pictures. The suggestions know the pictures alone: what the
tagger and the masks of the run say of them.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import argparse
import tempfile

from benchmarks.early_help import early_help

_PARSER = argparse.ArgumentParser(description=__doc__.splitlines()[0])
_PARSER.add_argument("--workdir", required=True, help="Run folder.")
_PARSER.add_argument(
    "--count", type=int, default=50, help="Pictures that are corrected."
)
_PARSER.add_argument(
    "--draws", type=int, default=1000, help="Random choices of as many."
)

early_help(_PARSER.parse_args)

import numpy as np

from keras_wsss.commands.cli import exit_with, say, start_computing
from keras_wsss.data import formats
from keras_wsss.data.images import read_image
from keras_wsss.data.records import Record
from keras_wsss.errors import ConfigError
from keras_wsss.evaluation.metrics.confusion import (
    ConfusionMatrix,
    scored_view,
)
from keras_wsss.inference.one_picture import OnePicture
from keras_wsss.inference.predictor import Predictor
from keras_wsss.progress import progress
from keras_wsss.suggest.run import suggest
from keras_wsss.systems.quality import choose_quality


def confusions(
    predictor: Predictor, records: list[Record]
) -> tuple[np.ndarray, np.ndarray]:
    """Pixel counts of every picture, with predicted and with true tags.

    Returns:
        int64 [N, classes, classes] each.
    """
    split, quality = predictor.split, choose_quality(predictor.steps)
    found: tuple[list, list] = ([], [])
    for record in progress(records, "scoring"):
        limit = predictor.config.data.max_pixels
        picture = OnePicture(predictor, read_image(record.image_path, limit))
        truth = scored_view(record.read_mask(), split)
        oracle = tuple(i for i in split.scored_ids if np.any(truth == i))
        for counts, tags in zip(found, (None, oracle), strict=True):
            matrix = ConfusionMatrix(split.num_categories + 1)
            mask = picture.predict(tags, quality).mask
            matrix.update(truth, scored_view(mask, split))
            counts.append(matrix.counts)
    return np.array(found[0]), np.array(found[1])


def mean_iou(
    predicted: np.ndarray,
    corrected: np.ndarray,
    chosen: np.ndarray,
    classes: list[int],
) -> float:
    """Mean IoU where the tags of chosen pictures are corrected."""
    total = predicted.sum(axis=0)
    total = total + (corrected[chosen] - predicted[chosen]).sum(axis=0)
    matrix = ConfusionMatrix(len(total))
    matrix.counts += total
    return matrix.mean_iou(classes)


def compare(
    predicted: np.ndarray,
    corrected: np.ndarray,
    order: np.ndarray,
    count: int,
    draws: int,
    classes: list[int],
) -> dict[str, float]:
    """Gains in mean IoU by suggested and by random pictures.

    Args:
        predicted: int64 [N, classes, classes], with predicted tags.
        corrected: likewise, with true tags.
        order: int [N], suggested first.
        count: pictures that are corrected.
        draws: random choices.
        classes: ids that are scored, background included.

    Raises:
        ConfigError: fewer pictures than `count`.
    """
    pictures = len(order)
    if not 0 < count < pictures:
        raise ConfigError(f"--count is {count} of {pictures} pictures.")

    def gain(chosen: np.ndarray) -> float:
        scored = mean_iou(predicted, corrected, chosen, classes)
        return scored - start

    rng = np.random.default_rng(0)
    none, everything = np.array([], int), np.arange(pictures)
    start = mean_iou(predicted, corrected, none, classes)
    random = [
        gain(rng.choice(pictures, count, replace=False)) for _ in range(draws)
    ]
    suggested = gain(order[:count])
    return {
        "pictures": pictures,
        "corrected": count,
        "predicted tags": start,
        "all corrected": start + gain(everything),
        "gain of suggested": suggested,
        "gain of random": float(np.mean(random)),
        "its standard deviation": float(np.std(random)),
        "times": suggested / float(np.mean(random)),
        "random choices as good, share": float(
            np.mean(np.array(random) >= suggested)
        ),
    }


def main() -> None:
    """Prints what the flags ask for."""
    given = _PARSER.parse_args()
    start_computing()
    predictor = Predictor.from_workdir(given.workdir)
    split, data = predictor.split, predictor.config.data
    records = list(formats.read(data, split, "evaluation").records)
    with tempfile.TemporaryDirectory() as out:
        entries = suggest(
            given.workdir,
            out,
            pictures=[record.image_path for record in records],
            log=say,
        )
    # All of them lie in one folder, so the name tells the picture.
    number = {r.image_path.name: i for i, r in enumerate(records)}
    order = np.array([number[os.path.basename(e["image"])] for e in entries])
    found = compare(
        *confusions(predictor, records),
        order,
        given.count,
        given.draws,
        [0, *split.scored_ids],
    )
    for name, value in found.items():
        shown = value if isinstance(value, int) else f"{value:.4f}"
        print(f"{name}: {shown}")


if __name__ == "__main__":
    exit_with(main)
