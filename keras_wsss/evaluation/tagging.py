"""Scores of image-level tags: precision, recall, F1, average precision."""

from collections.abc import Sequence

import numpy as np

from keras_wsss.errors import DataError
from keras_wsss.evaluation.confusion import number_or_none

_CURVE_POINTS = 60  # enough to draw


def precision_recall(
    truth: np.ndarray, scores: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Precision and recall at every score that a picture has, falling.

    Pictures with equal scores enter the ranking together, so their order in
    the list, which means nothing, cannot change the result.

    Args:
        truth: bool [pictures], at least one of them true.
        scores: float [pictures]; higher means more likely. Any scale.

    Returns:
        Precision and recall, float [different scores] each, in [0, 1].
    """
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    # The last position of every group of equal scores.
    group_ends = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), -1)
    group_ends[-1] = ranked.size - 1
    hits = np.cumsum(truth[order])[group_ends]
    return hits / (group_ends + 1), hits / int(truth.sum())


def average_precision(truth: np.ndarray, scores: np.ndarray) -> float:
    """Area under the precision-recall curve of one category.

    VOC's definition since 2010: every recall level counts, and precision at
    a recall is the best one at that recall or beyond.

    Args:
        truth: bool [pictures]; whether the picture has the category.
        scores: float [pictures]; higher means more likely. Any scale.

    Returns:
        Value in [0, 1], or NaN when no picture has the category.
    """
    truth = np.asarray(truth, bool)
    scores = np.asarray(scores)
    if not truth.any():
        return float("nan")
    precision, recall = precision_recall(truth, scores)
    best_beyond = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * best_beyond))


def tag_scores(
    truth: np.ndarray,
    probabilities: np.ndarray,
    names: Sequence[str],
    threshold: float = 0.5,
) -> dict:
    """Multi-label scores of a tagger over a set of pictures.

    Args:
        truth: bool [pictures, categories]; tags that are right.
        probabilities: float [pictures, categories], finite.
        names: names of the categories.
        threshold: a tag is predicted when its probability is at least this
            (0.6 in the TransferNet release).

    Returns:
        Numbers for JSON: `threshold`, `pictures`; `precision`, `recall` and
        `f1` over all tags together (micro average); `mean_f1` and
        `mean_average_precision` over the categories that some picture has;
        `per_category`: name -> `precision`, `recall`, `f1`,
        `average_precision`, `positives`, `predicted`; `curves`: name ->
        points [recall, precision], of categories that some picture has. All
        in [0, 1] but the counts; None where undefined (no positives, or
        nothing predicted).

    Raises:
        DataError: shapes that do not fit, or a probability not finite.
    """
    truth = np.asarray(truth, bool)
    probabilities = np.asarray(probabilities, float)
    expected = (truth.shape[0], len(names))
    if truth.shape != expected or probabilities.shape != expected:
        raise DataError(
            f"Tags have shape {truth.shape} and probabilities "
            f"{probabilities.shape}; both must be [pictures, {len(names)}]."
        )
    wrong = np.argwhere(~np.isfinite(probabilities))
    if wrong.size:
        row, column = wrong[0]
        raise DataError(
            f"The probability of '{names[column]}' in picture {row} is "
            f"{probabilities[row, column]}; the tagger's weights are damaged "
            "or its training diverged."
        )
    predicted = probabilities >= threshold
    hits = np.sum(truth & predicted, axis=0)
    per_category = {}
    for column, name in enumerate(names):
        per_category[name] = {
            **_scores(
                hits[column], predicted[:, column].sum(), truth[:, column].sum()
            ),
            "average_precision": number_or_none(
                average_precision(truth[:, column], probabilities[:, column])
            ),
            "positives": int(truth[:, column].sum()),
            "predicted": int(predicted[:, column].sum()),
        }
    present = [row for row in per_category.values() if row["positives"]]
    return {
        "threshold": float(threshold),
        "pictures": int(truth.shape[0]),
        **_scores(hits.sum(), predicted.sum(), truth.sum()),
        "mean_f1": _mean([row["f1"] for row in present]),
        "mean_average_precision": _mean(
            [row["average_precision"] for row in present]
        ),
        "per_category": per_category,
        "curves": {
            name: _curve(truth[:, column], probabilities[:, column])
            for column, name in enumerate(names)
            if truth[:, column].any()
        },
    }


def _curve(truth: np.ndarray, scores: np.ndarray) -> list[list[float]]:
    """Points (recall, precision) to draw, at most about `_CURVE_POINTS`."""
    precision, recall = precision_recall(truth, scores)
    places = np.linspace(0, len(recall) - 1, _CURVE_POINTS)
    kept = np.unique(places.round().astype(int))
    return [
        [round(float(recall[i]), 4), round(float(precision[i]), 4)]
        for i in kept
    ]


def _scores(
    hits: int, predicted: int, positives: int
) -> dict[str, float | None]:
    return {
        "precision": float(hits / predicted) if predicted else None,
        "recall": float(hits / positives) if positives else None,
        "f1": (
            float(2 * hits / (predicted + positives))
            if predicted + positives
            else None
        ),
    }


def _mean(values: list[float]) -> float | None:
    return float(np.mean(values)) if values else None
