"""What an evaluation counts of pictures: time, and scores of each way."""

import contextlib
import functools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from keras_wsss.categories import Split
from keras_wsss.evaluation.metrics import all_metrics
from keras_wsss.evaluation.metrics.confusion import scored_view


class Clock:
    """Seconds spent per stage."""

    def __init__(self):
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Adds the time of a `with` block to a stage."""
        start = time.perf_counter()
        yield
        self.add(stage, time.perf_counter() - start)

    def add(self, stage: str, seconds: float) -> None:
        """Adds seconds to a stage."""
        self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds


class Scores:
    """What all metrics say of one way of predicting.

    Args:
        split: categories.
        baseline: leaves out what is not counted of baselines.
        **row: what the row says of itself.
    """

    def __init__(self, split: Split, *, baseline: bool = False, **row: Any):
        self.split = split
        self.row = row
        self.metrics = [
            metric(split.num_categories + 1)
            for metric in all_metrics()
            if metric.of_baselines or not baseline
        ]
        self.seconds: float | None = None

    def add(
        self,
        truth: np.ndarray,
        mask: np.ndarray,
        name: str,
        seconds: float | None = None,
    ) -> None:
        """Counts one picture.

        Args:
            truth: uint8 [H, W], its true mask, of what is scored.
            mask: uint8 [H, W], the mask to score.
            name: what errors call it.
            seconds: that the mask took, if known.
        """
        if seconds is not None:
            self.seconds = (self.seconds or 0.0) + seconds
        mask = scored_view(mask, self.split, name)
        for metric in self.metrics:
            metric.update(truth, mask, name)

    def state(self) -> dict[str, Any]:
        """JSON values of what was counted, for `add_state` of another job."""
        metrics = {metric.name: metric.state() for metric in self.metrics}
        return {"seconds": self.seconds, "metrics": metrics}

    def add_state(self, counts: Mapping[str, Any]) -> None:
        """Adds what `state` gave of other pictures."""
        if counts["seconds"] is not None:
            self.seconds = (self.seconds or 0.0) + counts["seconds"]
        for metric in self.metrics:
            metric.add_state(counts["metrics"][metric.name])

    def result(self, pictures: int) -> dict[str, Any]:
        """The row, with the figures of all metrics over so many pictures."""
        result = {**self.row}
        per_class: dict[str, dict[str, Any]] = {}
        for metric in self.metrics:
            figures = metric.result(self.split)
            for name, scores in figures.pop("per_class", {}).items():
                per_class.setdefault(name, {}).update(scores)
            result.update(figures)
        result["per_class"] = per_class
        if self.seconds is not None:
            result["milliseconds"] = 1e3 * self.seconds / pictures
        return result


class Scoring:
    """What is to be counted of a picture, once nobody waits for it."""

    def __init__(self) -> None:
        self._steps: list[Callable[[], None]] = []

    def add(self, step: Callable[..., None], *arguments: Any) -> None:
        """Puts off the call of a function."""
        self._steps.append(functools.partial(step, *arguments))

    def __call__(self) -> None:
        """Does what was put off."""
        for step in self._steps:
            step()


def strongest(
    scores: np.ndarray, ids: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """The largest of scores [K, H, W] at each pixel, and its id (uint8).

    Of equal ones the first wins; where none is above 0, both are 0. Label by
    label: `argmax` over the first axis takes many times as long.
    """
    highest = np.zeros(scores.shape[1:], scores.dtype)
    best = np.zeros(scores.shape[1:], np.uint8)
    for number, plane in zip(ids, scores, strict=True):
        above = plane > highest
        np.copyto(best, number, where=above, casting="unsafe")
        np.copyto(highest, plane, where=above)
    return highest, best
