"""Baselines of an evaluation, which are meant to be hard to beat."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_wsss.categories import Split
from keras_wsss.evaluation.scoring import Scores, Scoring, strongest
from keras_wsss.inference.one_picture import OnePicture

# Thresholds of the baselines, as a share of a map's maximum.
BASELINE_THRESHOLDS = (0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7)
BASELINES = {
    "class_maps": "class activation maps",
    "densified_attention": "thresholded densified attention",
}


class Baselines:
    """Thresholded maps with true tags, and all background.

    Args:
        split: categories.
    """

    def __init__(self, split: Split):
        self._rows = {
            (key, threshold): Scores(
                split,
                baseline=True,
                method=name,
                tags="oracle",
                threshold=threshold,
            )
            for key, name in BASELINES.items()
            for threshold in BASELINE_THRESHOLDS
        }
        self._background = Scores(split, method="all background")
        self._mapped = list(BASELINES)

    def add(
        self,
        picture: OnePicture,
        maps: Mapping[str, Any],
        truth: np.ndarray,
        oracle: tuple[int, ...],
        name: str,
        scoring: Scoring,
    ) -> None:
        """Draws what one picture is scored by; `scoring` scores it.

        Args:
            picture: the picture.
            maps: of `OnePicture.maps` for its categories; empty without any.
            truth: uint8 [H, W], its true mask.
            oracle: the scored categories in it.
            name: what errors call it.
            scoring: what is to be counted later.
        """
        scoring.add(self._background.add, truth, np.zeros_like(truth), name)
        for key in self._kinds_of(maps):
            shares = np.zeros((0, *truth.shape), np.float32)
            if oracle:
                positive = np.maximum(maps[key], 0.0)
                highest = positive.max(axis=(1, 2), keepdims=True)
                shares = picture.enlarge(positive / np.maximum(highest, 1e-12))
            scoring.add(self._score, key, shares, oracle, truth, name)

    def _score(self, key: str, shares, oracle, truth, name) -> None:
        # Whatever the threshold: the label that fires most strongly.
        highest, best = strongest(shares, oracle)
        for threshold in BASELINE_THRESHOLDS:
            mask = best * (highest > threshold)
            self._rows[key, threshold].add(truth, mask, name)

    def _kinds_of(self, maps: Mapping[str, Any]) -> list[str]:
        """Baselines that this predictor has maps for."""
        if maps:
            self._mapped = [key for key in BASELINES if key in maps]
        return self._mapped

    def state(self) -> dict[str, Any]:
        """JSON values of what was counted, for `add_state` of another job."""
        return {
            "mapped": self._mapped,
            "background": self._background.state(),
            "rows": [scores.state() for scores in self._rows.values()],
        }

    def add_state(self, counts: Mapping[str, Any]) -> None:
        """Adds what `state` gave of other pictures."""
        self._mapped = [key for key in self._mapped if key in counts["mapped"]]
        self._background.add_state(counts["background"])
        for scores, more in zip(
            self._rows.values(), counts["rows"], strict=True
        ):
            scores.add_state(more)

    def result(self, pictures: int) -> list[dict[str, Any]]:
        """A row for each kind, of its best threshold, and the background's.

        Args:
            pictures: how many were scored.
        """
        rows = []
        for key in self._mapped:
            candidates = [
                self._rows[key, threshold].result(pictures)
                for threshold in BASELINE_THRESHOLDS
            ]
            best = max(candidates, key=lambda row: row["mean_iou"] or 0.0)
            best["inference"] = f"best threshold here: {best['threshold']}"
            rows.append(best)
        return [*rows, self._background.result(pictures)]
