"""Compares an export for LiteRT or ONNX with the `Predictor` it came from."""

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from keras_wsss.errors import DataError
from keras_wsss.inference.predictor import Predictor
from keras_wsss.serving.edge_files import FLOAT16, FLOAT32, INT8
from keras_wsss.systems.quality import Quality

# Share of pixels that must agree, over all pictures, and the largest
# difference of a probability of the tagger. Eight bits lose a little of every
# number: there the limits tell what is broken from what is not, and
# `benchmarks/edge.py` measures what is lost.
LEAST_AGREEMENT = {FLOAT32: 0.995, FLOAT16: 0.995, INT8: 0.9}
SCORE_TOLERANCE = {FLOAT32: 1e-3, FLOAT16: 2e-2, INT8: 1.0}
_SECONDS = 3600


@dataclasses.dataclass(frozen=True)
class EdgeCheck:
    """How far the export is from the predictor.

    Attributes:
        pictures: how many were compared.
        agreement: share of equal pixels over all of them.
        least_agreement: in the picture where it is lowest.
        score_difference: largest difference of a tagger's probability.
        other_tags: of the half whose tags the tagger chose, pictures with
            other tags than the predictor's; their masks were not compared.
    """

    pictures: int
    agreement: float
    least_agreement: float
    score_difference: float
    other_tags: int


def check_edge(
    folder: Path,
    predictor: Predictor,
    precision: str,
    pictures: Sequence[np.ndarray],
) -> EdgeCheck:
    """Runs an export in a fresh process and compares its answers.

    The tagger is asked for the tags of every second picture; of the others
    the predictor's tags, or else the most probable category, are given.

    Args:
        folder: the export.
        predictor: what it was made from.
        precision: what it was made in.
        pictures: uint8 [H, W, 3], RGB; at least one.

    Raises:
        DataError: it does not work without `keras_wsss`, or differs by more
            than the precision explains.
    """
    quality = Quality()
    own = [predictor.predict(image, quality=quality) for image in pictures]
    asked: list[tuple[str, ...]] = []
    for number, found in enumerate(own):
        best = max(
            predictor.split.scored_ids, key=lambda i: found.tag_scores[i - 1]
        )
        names = map(predictor.split.name_of, found.tags or (best,))
        asked.append(tuple(names) if number % 2 else ())
    with tempfile.TemporaryDirectory() as name:
        answers = _answers(folder, Path(name), pictures, asked)
    agreements, sizes, scores, other = [], [], 0.0, 0
    for image, tags, mine, answer in zip(
        pictures, asked, own, answers, strict=True
    ):
        expected = mine
        if tags and not mine.tags:
            expected = predictor.predict(image, tags, quality)
        difference = np.abs(answer["scores"] - mine.tag_scores).max()
        scores = max(scores, float(difference))
        if tuple(answer["tag_ids"].astype(int)) != expected.tags:
            other += 1
            continue
        agreements.append(float(np.mean(answer["mask"] == expected.mask)))
        sizes.append(expected.mask.size)
    if not agreements:
        raise DataError(f"{folder}: names other tags in every picture.")
    result = EdgeCheck(
        len(pictures),
        float(np.average(agreements, weights=sizes)),
        min(agreements),
        scores,
        other,
    )
    if (
        result.agreement < LEAST_AGREEMENT[precision]
        or scores > SCORE_TOLERANCE[precision]
    ):
        raise DataError(
            f"{folder}: {result.agreement:.2%} of the masks' pixels agree with "
            f"the predictor's, and scores differ by up to {scores:.2g}; needed "
            f"are {LEAST_AGREEMENT[precision]:.1%} and "
            f"{SCORE_TOLERANCE[precision]:g} in {precision}."
        )
    return result


def _answers(
    model: Path,
    folder: Path,
    pictures: Sequence[np.ndarray],
    asked: Sequence[Sequence[str]],
) -> list[dict[str, np.ndarray]]:
    """What a fresh process says of pictures, with the tags asked for."""
    requests = []
    for number, (image, tags) in enumerate(zip(pictures, asked, strict=True)):
        Image.fromarray(image).save(folder / f"{number}.png")
        requests.append({"file": f"{number}.png", "tags": list(tags)})
    (folder / "requests.json").write_text(json.dumps(requests))
    script = Path(__file__).with_name("edge_reload.py")
    done = subprocess.run(
        [sys.executable, "-I", script, model.resolve(), folder],
        cwd=folder,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    if done.returncode:
        raise DataError(
            f"{model}: does not work in a fresh process: "
            f"{(done.stderr.strip().splitlines() or ['no message'])[-1]}"
        )
    answers = []
    for number in range(len(requests)):
        with np.load(folder / f"{number}.npz") as answer:
            answers.append(dict(answer))
    return answers
