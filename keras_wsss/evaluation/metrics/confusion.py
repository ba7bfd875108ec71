"""Confusion matrix in exact integers, and the scores that come from it."""

from collections.abc import Iterable
from typing import Any, ClassVar

import cv2
import numpy as np

from keras_wsss.categories import BACKGROUND, IGNORE, Split
from keras_wsss.errors import DataError
from keras_wsss.evaluation.metrics.metric import Metric
from keras_wsss.files import number_or_none
from keras_wsss.strips import strips


class ConfusionMatrix(Metric):
    """Pixel counts of every (truth, prediction) pair of classes.

    Counts are int64, so they stay exact for whole data sets (float32 sums,
    as in many metric classes, stop counting at 2^24 pixels). Labels that do
    not exist are errors: dropping them would raise the score silently.

    Args:
        num_classes: number of classes, background included; labels are
            0 to num_classes - 1. At most 255.

    Attributes:
        counts: int64 [num_classes, num_classes]; row = truth, column =
            prediction.
        ignored: number of pixels that were ignore (255) in the truth.
    """

    name = "confusion"
    columns: ClassVar = {
        "mean IoU": "mean_iou",
        "pixel accuracy": "pixel_accuracy",
    }
    counted = ("counts", "ignored")
    of_baselines = True

    def __init__(self, num_classes: int) -> None:
        if not 1 <= num_classes <= IGNORE:
            raise ValueError(
                f"num_classes must be from 1 to {IGNORE}, got {num_classes}"
            )
        super().__init__(num_classes)
        self.counts = np.zeros((num_classes, num_classes), np.int64)
        self.ignored = 0

    def update(
        self, truth: np.ndarray, prediction: np.ndarray, name: str = ""
    ) -> None:
        """Counts the pixels of one picture (or several of the same shape).

        Args:
            truth: integer [...]; class ids or 255 (ignore).
            prediction: integer, shape of `truth`; class ids only.
            name: picture or file that error messages name.

        Raises:
            DataError: shapes differ, or a label that is not a class.
        """
        truth, prediction = np.asarray(truth), np.asarray(prediction)
        where = f"{name}: " if name else ""
        if truth.shape != prediction.shape:
            raise DataError(
                f"{where}the truth has shape {truth.shape} but the prediction "
                f"{prediction.shape}; predict at the picture's own size."
            )
        if truth.dtype == prediction.dtype == np.uint8:
            table = count_pairs(truth, prediction)
            known = self.num_classes
            strangers = table[known:IGNORE].any() or table[:, known:].any()
            if not strangers:  # else the checks below name them
                self.counts += table[:known, :known]
                self.ignored += int(table[IGNORE].sum())
                return
        valid = truth != IGNORE
        self._check(truth[valid], f"{where}the truth", "or 255 for ignore")
        self._check(prediction, f"{where}the prediction", "and nothing else")
        # uint8 products would overflow, so widen before combining.
        pairs = truth[valid].astype(np.int64) * self.num_classes
        pairs += prediction[valid].astype(np.int64)
        size = self.num_classes**2
        counts = np.bincount(pairs, minlength=size).astype(np.int64)
        self.counts += counts.reshape(self.counts.shape)
        self.ignored += int(valid.size - np.count_nonzero(valid))

    def _check(self, labels: np.ndarray, what: str, also: str) -> None:
        if labels.dtype.kind not in "iu":
            raise DataError(
                f"{what} holds {labels.dtype} values; it must hold integers."
            )
        if labels.size == 0:
            return
        for value in (int(labels.min()), int(labels.max())):
            if not 0 <= value < self.num_classes:
                raise DataError(
                    f"{what} holds label {value}; with {self.num_classes} "
                    f"classes it must hold 0 to {self.num_classes - 1} {also} "
                    "(check that mask and split belong together)."
                )

    def iou(self) -> np.ndarray:
        """Intersection over union per class.

        Returns:
            float64 [num_classes] in [0, 1]. NaN for a class that is neither
            in the truth nor predicted; 0 for one that is predicted but not
            in the truth (VOC's definition over the whole set).
        """
        hits = np.diag(self.counts)
        union = self.counts.sum(0) + self.counts.sum(1) - hits
        return _ratio(hits, union)

    def mean_iou(self, classes: Iterable[int] | None = None) -> float:
        """Mean of `iou` over the classes that are present, in [0, 1].

        A class that is neither in the truth nor predicted is left out of
        the mean; one that is predicted but not in the truth counts as 0.

        Args:
            classes: ids to average over (e.g. background and the scored
                categories); all when None. NaN when none is present.
        """
        return _mean_of_present(self.iou(), classes)

    def precision(self) -> np.ndarray:
        """Part of the pixels predicted as a class that are of it.

        Returns:
            float64 [num_classes] in [0, 1]; NaN where nothing is predicted.
        """
        return _ratio(np.diag(self.counts), self.counts.sum(0))

    def recall(self) -> np.ndarray:
        """Part of the pixels of a class that are predicted as it.

        Returns:
            float64 [num_classes] in [0, 1]; NaN where the truth has none.
        """
        return _ratio(np.diag(self.counts), self.counts.sum(1))

    def pixel_accuracy(self) -> float:
        """Part of all pixels (ignore left out) that are right, in [0, 1]."""
        return float(_ratio(np.trace(self.counts), self.counts.sum()))

    def table(self, split: Split) -> dict[str, Any]:
        """The counts themselves, of background and the scored categories.

        Returns:
            `classes`, names, and `pixels`, a row of the true class with a
            column of each predicted one.
        """
        names = self.names(split)
        counts = self.counts[np.ix_(list(names), list(names))]
        return {"classes": list(names.values()), "pixels": counts.tolist()}

    def result(self, split: Split | None = None) -> dict[str, Any]:
        """As `Metric.result`.

        Returns:
            `mean_iou`, `pixel_accuracy`, `pixels`, `ignored_pixels`, and
            `per_class`: name -> `iou`, `precision`, `recall`. None stands
            for an undefined score (JSON has no NaN).
        """
        names = self.names(split)
        scores = {
            "iou": self.iou(),
            "precision": self.precision(),
            "recall": self.recall(),
        }
        return {
            "mean_iou": number_or_none(self.mean_iou(names)),
            "pixel_accuracy": number_or_none(self.pixel_accuracy()),
            "pixels": int(self.counts.sum()),
            "ignored_pixels": self.ignored,
            "per_class": {
                name: {
                    key: number_or_none(values[c])
                    for key, values in scores.items()
                }
                for c, name in names.items()
            },
        }


def count_pairs(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """Pixels of every pair of labels, ignore and whatever else included.

    One pass over the pixels: picking those that are not ignored takes longer
    than counting all.

    Args:
        truth: uint8 [...].
        prediction: uint8, shape of `truth`.

    Returns:
        int64 [256, 256]; row = truth, column = prediction.
    """
    truth, prediction = truth.ravel(), prediction.ravel()
    counts = np.zeros(1 << 16, np.int64)
    for part in strips(truth.size, 1):
        pairs = truth[part].astype(np.uint16)
        pairs <<= 8
        pairs |= prediction[part]
        counts += np.bincount(pairs, minlength=len(counts))
    return counts.reshape(256, 256)


def scored_view(mask: np.ndarray, split: Split, name: str = "") -> np.ndarray:
    """Turns the pixels of categories that are not scored into background.

    Apply it to the truth and to the prediction: a pixel of a category that
    the split does not score counts as background in both.

    Args:
        mask: integer [...]; 0, category ids of `split`, 255 (ignore).
        split: gives the known and the scored ids.
        name: picture or file that error messages name.

    Returns:
        uint8, shape of `mask`: 0, scored ids, 255.

    Raises:
        DataError: a label that is neither 0, 255 nor an id of the split.
    """
    mask = np.asarray(mask)
    known = (BACKGROUND, *range(1, split.num_categories + 1), IGNORE)
    table = np.full(256, -1, np.int16)
    table[list(known)] = BACKGROUND
    for kept in (*split.scored_ids, IGNORE):
        table[kept] = kept
    if mask.dtype != np.uint8 and mask.size:
        low, high = int(mask.min()), int(mask.max())
        if mask.dtype.kind not in "iu" or low < 0 or high > 255:
            raise DataError(
                f"{name + ': ' if name else ''}the mask holds {mask.dtype} "
                f"values from {low} to {high}; masks hold integers from 0 to "
                "255."
            )
    if mask.dtype == np.uint8:
        labels = np.flatnonzero(np.bincount(mask.ravel(), minlength=256))
    else:
        labels = np.unique(mask)
    strangers = labels[table[labels] < 0]
    if strangers.size:
        unknown = int(strangers.max())
        raise DataError(
            f"{name + ': ' if name else ''}the mask holds label {unknown}; "
            f"split '{split.name}' has ids 1 to {split.num_categories} (check "
            "that mask and split belong together)."
        )
    views = table.astype(np.uint8)
    if mask.dtype == np.uint8 and mask.ndim == 2 and mask.size:
        return cv2.LUT(np.ascontiguousarray(mask), views)
    return views[mask]


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    part, whole = np.asarray(part, float), np.asarray(whole, float)
    empty = np.full(whole.shape, np.nan)
    return np.divide(part, whole, out=empty, where=whole > 0)


def _mean_of_present(
    values: np.ndarray, classes: Iterable[int] | None
) -> float:
    if classes is not None:
        values = values[list(classes)]
    values = values[~np.isnan(values)]
    return float(values.mean()) if values.size else float("nan")
