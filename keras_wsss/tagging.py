"""Image-level tags: how good scores are, and which of them make a tag."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_wsss.errors import DataError
from keras_wsss.files import number_or_none

_CURVE_POINTS = 60  # enough to draw
_BINS = 10  # of the calibration
# Thresholds looked at, and how far from the best F1 counts as equal: a few
# pictures more or less must not move the choice.
_THRESHOLDS = np.linspace(0.02, 0.98, 97)
_EQUAL_F1 = 0.005
# A mask where nothing is looks like a result, an empty one is seen. So of
# thresholds that differ by a picture or two of a hundred the higher one.
_NEARLY_EQUAL_F1 = 0.01
# Fewer pictures of a kind decide nothing.
_FEWEST = 10
# Pictures with a tag that one without any counts for at most: a dozen of them
# do not know how many of a hundred would be named.
_MOST_WEIGHT = 2.0
# Share of the pictures with a tag that the answer "none" turns away where there
# are no pictures to choose it by.
_TURNED_AWAY = 0.05


@dataclasses.dataclass(frozen=True)
class TagRule:
    """Which categories the tagger names in a picture.

    None of them if the highest probability is below `none_threshold`.
    Otherwise those that reach `tag_threshold`, or the most probable one where
    none does, as in TransferNet's release.

    Attributes:
        tag_threshold: in [0, 1].
        none_threshold: in [0, 1]; 0 always names a category.
    """

    tag_threshold: float = 0.5
    none_threshold: float = 0.5

    def to_dict(self) -> dict[str, float]:
        """JSON values from which `TagRule(**values)` is equal."""
        return dataclasses.asdict(self)

    def choose(self, scores: np.ndarray) -> np.ndarray:
        """Tags of pictures.

        Args:
            scores: float [pictures, categories], probabilities.

        Returns:
            bool [pictures, categories].
        """
        highest = scores.max(axis=1, keepdims=True)
        best = scores.argmax(axis=1)[:, None] == np.arange(scores.shape[1])
        sure = scores >= self.tag_threshold
        chosen = np.where(highest >= self.tag_threshold, sure, best)
        return chosen & (highest >= self.none_threshold)


def rule_of(inference, stored: TagRule | None = None) -> TagRule:
    """The rule of a run.

    Args:
        inference: the config's group of that name. What it says wins; a
            `tag_threshold` alone is also the one below which nothing is
            named.
        stored: what was chosen on held-out tags, if anything was.
    """
    tag, none = inference.tag_threshold, inference.none_threshold
    stored = stored or TagRule()
    if none is None:
        none = stored.none_threshold if tag is None else tag
    if inference.always_one_tag:
        none = 0.0
    return TagRule(stored.tag_threshold if tag is None else tag, none)


def choose_rule(
    truth: np.ndarray, scores: np.ndarray, known: np.ndarray | None = None
) -> TagRule | None:
    """The rule that fits pictures whose tags are known.

    Both have the best F1: `tag_threshold` on pictures with a tag, the middle
    of all that are as good (within 0.005); `none_threshold` on these and on
    those without any, which together weigh as much, as nobody knows how many
    there will be, but none of them more than two others, the highest of all
    that are nearly as good (within 0.01).
    Where there are fewer than ten without any, `none_threshold` turns away a
    twentieth of the others.

    Args:
        truth: bool [pictures, categories].
        scores: float [pictures, categories], probabilities.
        known: bool [pictures, categories], False where `truth` is not known;
            only pictures that are known completely choose. None is all True.

    Returns:
        The rule, or None where fewer than ten of these pictures have a tag.
    """
    # A wrong tag does not show where something is not known.
    whole = np.ones(len(truth), bool) if known is None else known.all(axis=1)
    tagged, empty = truth.any(axis=1) & whole, ~truth.any(axis=1) & whole
    if tagged.sum() < _FEWEST:
        return None
    truth_of, scores_of = truth[tagged], scores[tagged]
    values = np.array(
        [_f1(truth_of, TagRule(t, 0.0).choose(scores_of)) for t in _THRESHOLDS]
    )
    first, last = _best(values, _EQUAL_F1)
    tag_threshold = float((_THRESHOLDS[first] + _THRESHOLDS[last]) / 2)
    if empty.sum() < _FEWEST:
        highest = scores_of.max(axis=1)
        limit = np.quantile(highest, _TURNED_AWAY, method="lower")
        return TagRule(tag_threshold, float(limit))
    weight = min(tagged.sum() / empty.sum(), _MOST_WEIGHT)
    weights = np.where(tagged, 1.0, weight)[tagged | empty]
    truth_of, scores_of = truth[tagged | empty], scores[tagged | empty]
    values = np.array(
        [
            _f1(truth_of, TagRule(tag_threshold, t).choose(scores_of), weights)
            for t in _THRESHOLDS
        ]
    )
    _, last = _best(values, _NEARLY_EQUAL_F1)
    return TagRule(tag_threshold, float(_THRESHOLDS[last]))


def _f1(
    truth: np.ndarray, chosen: np.ndarray, weights: np.ndarray | None = None
) -> float:
    """Micro F1; `weights` are of pictures, float [pictures]."""
    weights = np.ones(len(truth)) if weights is None else weights
    hits, named, there = (
        float(weights @ table.sum(axis=1))
        for table in (truth & chosen, chosen, truth)
    )
    return 2 * hits / (named + there)


def _best(values: np.ndarray, equal: float) -> tuple[int, int]:
    """First and last of the places around the best that are as good."""
    good = values >= values.max() - equal
    first = last = int(values.argmax())
    while first > 0 and good[first - 1]:
        first -= 1
    while last < len(good) - 1 and good[last + 1]:
        last += 1
    return first, last


def calibration(
    truth: np.ndarray, scores: np.ndarray, known: np.ndarray | None = None
) -> dict:
    """How far probabilities are from frequencies.

    Args:
        truth: bool [pictures, categories].
        scores: float [pictures, categories], probabilities.
        known: bool [pictures, categories]; None is all True.

    Returns:
        "expected_calibration_error": mean difference between probability and
        frequency over ten bins of equal width, by their sizes (Naeini et al.,
        AAAI 2015); "brier": mean squared difference between probability and
        truth; "bins": [mean probability, frequency, count] of each bin that
        has a score. None where nothing is known.
    """
    known = np.ones_like(truth, bool) if known is None else known
    truth, scores = truth[known].astype(float), scores[known].astype(float)
    if not scores.size:
        return {"expected_calibration_error": None, "brier": None, "bins": []}
    numbers = np.minimum((scores * _BINS).astype(int), _BINS - 1)
    bins = [
        (scores[numbers == b].mean(), truth[numbers == b].mean(), count)
        for b, count in enumerate(np.bincount(numbers, minlength=_BINS))
        if count
    ]
    error = sum(abs(p - f) * count for p, f, count in bins) / scores.size
    return {
        "expected_calibration_error": float(error),
        "brier": float(np.mean((scores - truth) ** 2)),
        "bins": [[float(p), float(f), int(count)] for p, f, count in bins],
    }


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
    rule: TagRule = TagRule(),
    known: np.ndarray | None = None,
) -> dict:
    """Multi-label scores of a tagger over a set of pictures.

    Args:
        truth: bool [pictures, categories]; tags that are right.
        probabilities: float [pictures, categories], finite.
        names: names of the categories.
        rule: which probabilities make a tag.
        known: bool [pictures, categories], False where nothing is known of
            a tag: it counts nowhere. Nor does a category that no picture is
            known to lack, as no score of it could be wrong. None is all True.

    Returns:
        Numbers for JSON: `threshold`, `none_threshold`, `pictures`;
        `precision`, `recall` and `f1` over all tags together (micro average)
        of the tags that the rule chooses; `exact`, the share of pictures, of
        those that are known completely, whose tags are exactly right;
        `mean_f1` and `mean_average_precision` over the categories that some
        picture has; `per_category`: name -> `precision`, `recall`, `f1`,
        `average_precision`, `positives`, `predicted`; `curves`: name ->
        points [recall, precision], of categories that some picture has; what
        `calibration` gives. All in [0, 1] but the counts; None where
        undefined (no positives, or nothing predicted).

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
    known = np.ones_like(truth) if known is None else np.asarray(known, bool)
    known = known & (known & ~truth).any(axis=0)
    whole = known.all(axis=1)
    truth = truth & known
    predicted = rule.choose(probabilities) & known
    hits = np.sum(truth & predicted, axis=0)
    per_category: dict[str, dict[str, Any]] = {}
    curves = {}
    for column, name in enumerate(names):
        rows = known[:, column]
        own, ranked = truth[rows, column], probabilities[rows, column]
        per_category[name] = {
            **_scores(hits[column], predicted[:, column].sum(), own.sum()),
            "average_precision": number_or_none(average_precision(own, ranked)),
            "positives": int(own.sum()),
            "predicted": int(predicted[:, column].sum()),
        }
        if own.any():
            curves[name] = _curve(own, ranked)
    present = [row for row in per_category.values() if row["positives"]]
    return {
        "threshold": float(rule.tag_threshold),
        "none_threshold": float(rule.none_threshold),
        "pictures": int(truth.shape[0]),
        **_scores(hits.sum(), predicted.sum(), truth.sum()),
        "exact": _mean(list((predicted == truth).all(axis=1)[whole])),
        "mean_f1": _mean([row["f1"] for row in present]),
        "mean_average_precision": _mean(
            [row["average_precision"] for row in present]
        ),
        "per_category": per_category,
        "curves": curves,
        **calibration(truth, probabilities, known),
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
