"""What the updates of a run come to: lines, curves, results.json."""

import math
import resource
import time
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from keras_wsss.errors import UserError
from keras_wsss.files import write_json
from keras_wsss.mask_updates import MASK_UPDATES
from keras_wsss.progress import duration
from keras_wsss.run_folder import TAGGING_FILE
from keras_wsss.training.summaries import event_errors

if TYPE_CHECKING:
    from keras_wsss.training.loop import Loop

_TIMED = 3  # steps that tell what all of them will take
_LONG = 60.0  # seconds of a phase of which it is told


class NotFiniteError(UserError):
    """A loss became infinite or not a number."""


class Tally:
    """Collects what updates return; prints and writes it now and then.

    Args:
        loop: the training.
        first: steps that are done already.
        scoring: seconds of scoring held-out pictures once, if it is known.
    """

    def __init__(self, loop: "Loop", first: int, scoring: float = 0.0):
        self._loop = loop
        self._first = first
        self._scoring = scoring
        # First steps of an update, which is traced then, and when one of them
        # was done: those of the warm-up are cheaper than the ones after it.
        warm = loop.settings.warmup_steps
        self._begun = {first, warm} if first < warm else {first}
        self._traced = 0.0
        self._seen: list[dict[str, float]] = []
        self._last: dict[str, float] = {}
        self._start = self._window = time.perf_counter()
        self._pairs = 0
        self._done = first

    def add(self, step: int, values, batch, rate: float, moment: float) -> None:
        """Takes what an update returned, at a moment (the next one began)."""
        # Stacked, they are one transfer from a GPU.
        read = tf.stack([*values.values()]).numpy().tolist()
        numbers = dict(zip(values, read, strict=True))
        bad = [n for n, v in numbers.items() if not np.isfinite(v)]
        if bad:
            raise NotFiniteError(self._not_finite(step, bad[0], batch))
        self._seen.append(numbers)
        self._pairs += sum(
            int((np.asarray(part["weights"]) > 0).sum())
            for part in batch.values()
        )
        self._done = step + 1
        if step in self._begun:
            self._traced = moment
        elif step - _TIMED in self._begun:
            self._foretell((moment - self._traced) / _TIMED)
        every = self._loop.train.log_every
        if self._done % every == 0 or self._done == self._loop.settings.steps:
            self._write(rate, moment)

    def _foretell(self, seconds: float) -> None:
        """Says at the beginning what a long phase will cost."""
        loop = self._loop
        left = loop.settings.steps - self._done
        scores = math.ceil(left / loop.train.heldout_every)
        total = left * seconds + scores * self._scoring
        if total < _LONG:
            return
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        loop.log(
            f"{left} steps of {1000 * seconds:.0f} ms to go, held-out pictures "
            f"are scored {scores} times: about {duration(total)}; "
            f"{peak:.1f} GB of memory so far."
        )

    def _write(self, rate: float, now: float) -> None:
        names = self._seen[-1]
        means = {
            name: float(np.mean([v[name] for v in self._seen if name in v]))
            for name in names
        }
        pairs_per_second = self._pairs / max(now - self._window, 1e-9)
        with event_errors(), self._loop.writer.as_default(step=self._done):
            for name, value in means.items():
                tf.summary.scalar(f"train/{name}", value)
            tf.summary.scalar("train/learning_rate", rate)
            tf.summary.scalar("speed/pairs_per_second", pairs_per_second)
        total = self._loop.settings.steps
        per_step = (now - self._start) / (self._done - self._first)
        left = per_step * (total - self._done)
        shown = "  ".join(f"{k} {v:.3f}" for k, v in sorted(means.items()))
        self._loop.log(
            f"step {self._done}/{total}  {shown}  "
            f"{pairs_per_second:.1f} pairs/s  {left / 60:.1f} min left"
        )
        self._last = means | {"pairs_per_second": pairs_per_second}
        self._seen, self._pairs, self._window = [], 0, now

    def heldout(self, step: int) -> dict[str, dict]:
        """Scores of held-out pictures; what fits them best is kept."""
        loop = self._loop
        if not loop.workers.is_chief:
            return {}
        start = time.perf_counter()
        scores, tags = loop.score(step)
        folders = [loop.folder]
        if loop.best is not None and loop.keep_if_best(step, scores):
            folders.append(loop.best)
        for folder in folders:
            if tags:
                write_json(folder / TAGGING_FILE, {"step": step, **tags})
        # The time it took is not training time.
        self._window += time.perf_counter() - start
        return {"heldout": scores, "heldout_tags": tags}

    def results(self) -> dict:
        """Figures of the whole loop for results.json."""
        seconds = time.perf_counter() - self._start
        steps = self._done - self._first
        return {
            "steps": self._done,
            "resumed_after_step": self._first,
            MASK_UPDATES: self._loop.mask_updates(self._done),
            "train_minutes": seconds / 60,
            "seconds_per_step": seconds / steps if steps else None,
            "last": self._last,
        }

    def _not_finite(self, step: int, name: str, batch) -> str:
        pairs = []
        for domain, part in batch.items():
            stream = self._loop.parts.streams[domain]
            assert stream is not None  # the batch came of it
            records = stream.sampler.records
            for row, index in enumerate(np.asarray(part["record"])):
                labels = [int(v) for v in np.asarray(part["labels"][row]) if v]
                pairs.append(f"{records[index].image_path} {labels}")
        return (
            f"{name} is not finite at step {step}. The pairs of this update: "
            f"{'; '.join(pairs)}. Lower the learning rate or look at these "
            "pictures; the last checkpoint is sound."
        )
