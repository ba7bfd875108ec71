"""Boundary IoU: how well the outlines of the classes fit, over a set."""

from typing import Any, ClassVar

import cv2
import numpy as np

from keras_wsss.categories import IGNORE, Split
from keras_wsss.errors import DataError
from keras_wsss.evaluation.metrics.metric import Metric
from keras_wsss.files import number_or_none


def boundary_region(mask: np.ndarray, distance: int) -> np.ndarray:
    """The pixels of a mask that lie within `distance` of its outline.

    The mask less its erosion by `distance` pixels (Cheng et al., CVPR 2021,
    section 4: the inner part of the outline's band). The picture's edge is
    outside, so an object cut by it has an outline there, as in the authors'
    release.

    Args:
        mask: bool [height, width].
        distance: pixels, at least 1, in the chessboard metric.

    Returns:
        bool [height, width].
    """
    mask = mask.astype(np.uint8)
    # Outside the box around it there is nothing to erode.
    left, top, width, height = cv2.boundingRect(mask)
    box = slice(top, top + height), slice(left, left + width)
    band = np.zeros(mask.shape, bool)
    if not width:
        return band
    framed = cv2.copyMakeBorder(
        mask[box], 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0
    )
    eroded = cv2.erode(framed, np.ones((3, 3), np.uint8), iterations=distance)
    band[box] = mask[box] > eroded[1:-1, 1:-1]
    return band


class _TrueBands:
    """Bands of the last true mask, which is scored against many."""

    def __init__(self) -> None:
        self._truth: np.ndarray | None = None
        self._bands: dict[tuple[int, int], np.ndarray] = {}

    def get(self, truth: np.ndarray, label: int, distance: int) -> np.ndarray:
        """`boundary_region` of a label of it."""
        if truth.flags.writeable:  # it may be another one by the next call
            return boundary_region(truth == label, distance)
        if truth is not self._truth:
            self._truth, self._bands = truth, {}
        key = label, distance
        if key not in self._bands:
            self._bands[key] = boundary_region(truth == label, distance)
        return self._bands[key]


_TRUE_BANDS = _TrueBands()


class BoundaryIou(Metric):
    """Boundary IoU per class, from int64 pixel counts over the whole set.

    For each class: the bands of truth and prediction (`boundary_region`)
    are intersected and united, and the pixel counts summed over pictures
    (Cheng et al., "Boundary IoU", CVPR 2021, equation 3). Where mask IoU
    hardly sees a shift of a big object's outline, this does.

    Ignore pixels are cut out of both masks before their outlines are taken,
    so a prediction that agrees everywhere else scores 1 whatever it holds
    there.

    Args:
        num_classes: number of classes, background included.
        relative_distance: width of the band as a part of the picture's
            diagonal; the paper's 2 % by default. At least one pixel.

    Attributes:
        intersections: int64 [num_classes].
        unions: int64 [num_classes].
    """

    name = "boundary"
    columns: ClassVar = {"boundary IoU": "boundary_iou"}
    counted = ("intersections", "unions")

    def __init__(
        self, num_classes: int, relative_distance: float = 0.02
    ) -> None:
        if not 0 < relative_distance < 1:
            raise ValueError(
                f"relative_distance must be in (0, 1), got {relative_distance}"
            )
        super().__init__(num_classes)
        self.relative_distance = relative_distance
        self.intersections = np.zeros(num_classes, np.int64)
        self.unions = np.zeros(num_classes, np.int64)

    def update(
        self, truth: np.ndarray, prediction: np.ndarray, name: str = ""
    ) -> None:
        """See `Metric.update`."""
        where = f"{name}: " if name else ""
        if truth.ndim != 2 or truth.shape != prediction.shape:
            raise DataError(
                f"{where}the truth has shape {truth.shape} but the prediction "
                f"{prediction.shape}; both must be [height, width] at the "
                "picture's own size."
            )
        prediction = np.where(truth == IGNORE, truth, prediction)
        distance = max(
            1, round(self.relative_distance * float(np.hypot(*truth.shape)))
        )
        for label in _labels(truth) | _labels(prediction):
            if label == IGNORE:
                continue
            if not 0 <= label < self.num_classes:
                raise DataError(
                    f"{where}holds label {label}; there are "
                    f"{self.num_classes} classes (check that mask and split "
                    "belong together)."
                )
            true_band = _TRUE_BANDS.get(truth, label, distance)
            band = boundary_region(prediction == label, distance)
            self.intersections[label] += np.count_nonzero(true_band & band)
            self.unions[label] += np.count_nonzero(true_band | band)

    def iou(self) -> np.ndarray:
        """Boundary IoU per class.

        Returns:
            float64 [num_classes] in [0, 1]; NaN for a class that is neither
            in the truth nor predicted.
        """
        empty = np.full(self.num_classes, np.nan)
        return np.divide(
            self.intersections, self.unions, out=empty, where=self.unions > 0
        )

    def result(self, split: Split | None = None) -> dict[str, Any]:
        """As `Metric.result`.

        Returns:
            `boundary_iou`, the mean over the classes that are present, and
            `per_class`: name -> `boundary_iou`, None where undefined.
        """
        names, scores = self.names(split), self.iou()
        chosen = scores[list(names)]
        present = chosen[~np.isnan(chosen)]
        return {
            "boundary_iou": float(present.mean()) if present.size else None,
            "per_class": {
                name: {"boundary_iou": number_or_none(scores[c])}
                for c, name in names.items()
            },
        }


def _labels(mask: np.ndarray) -> set[int]:
    if mask.dtype != np.uint8:
        return set(np.unique(mask).tolist())
    counts = np.bincount(mask.ravel(), minlength=256)
    return set(np.flatnonzero(counts).tolist())
