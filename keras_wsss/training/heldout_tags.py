"""Watching the tagger on held-out pictures whose tags are known."""

from collections.abc import Callable, Sequence

import numpy as np

from keras_wsss.categories import Split
from keras_wsss.data.records import Record
from keras_wsss.tagging import TagRule, choose_rule, tag_scores

# Pictures of each kind that are looked at, the first ones.
LIMIT = 300


class HeldOutTags:
    """Scores a tagger on pictures that training never sees.

    Only tags are known of them, no mask.

    Args:
        split: categories; the scored ones are looked at.
        tagged: held-out tagged pictures.
        negatives: held-out pictures known to hold no target category.
        scorer: from pictures to a function that gives the tagger's present
            probabilities of them, float32 [pictures, C]; None scores nothing.
    """

    def __init__(
        self,
        split: Split,
        tagged: Sequence[Record],
        negatives: Sequence[Record],
        scorer: Callable[[Sequence[Record]], Callable[[], np.ndarray]] | None,
    ):
        self.records = (*tagged[:LIMIT], *negatives[:LIMIT])
        self._names = [split.name_of(i) for i in split.scored_ids]
        self._columns = np.array(split.scored_ids) - 1
        self._truth = self._table(lambda record: record.labels)
        self._known = self._truth | self._table(lambda record: record.absent)
        self._score = scorer(self.records) if scorer and self.records else None

    def _table(self, ids_of: Callable[[Record], Sequence[int]]) -> np.ndarray:
        """bool [pictures, scored categories], True for the ids of each."""
        rows = [
            np.isin(self._columns + 1, ids_of(record))
            for record in self.records
        ]
        return np.array(rows, bool).reshape(len(rows), len(self._names))

    def scores(self) -> dict:
        """Figures of the tagger as it is now, and the rule that fits it.

        Returns:
            What `tag_scores` gives, of the rule; "rule", its two thresholds,
            or None where there are too few pictures to choose one; "tagged"
            and "without", how many pictures have a scored category and how
            many are known to have none; "false_positives", the share of the
            latter in which the rule names one. Empty without pictures.
        """
        if self._score is None:
            return {}
        probabilities = self._score()[:, self._columns]
        chosen = choose_rule(self._truth, probabilities, self._known)
        rule = chosen or TagRule()
        without = ~self._truth.any(axis=1) & self._known.all(axis=1)
        named = rule.choose(probabilities[without]).any(axis=1)
        return {
            **tag_scores(
                self._truth, probabilities, self._names, rule, self._known
            ),
            "rule": chosen and chosen.to_dict(),
            "tagged": int(self._truth.any(axis=1).sum()),
            "without": int(without.sum()),
            "false_positives": float(named.mean()) if named.size else None,
        }


# Those of `HeldOutTags.scores` that TensorBoard shows.
SHOWN = (
    "mean_average_precision",
    "f1",
    "exact",
    "expected_calibration_error",
    "false_positives",
)
