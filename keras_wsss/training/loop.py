"""The training loop, one for all phases and strategies."""

import dataclasses
import hashlib
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_wsss.checkpoints import (
    BackgroundWriter,
    Checkpoint,
    list_checkpoints,
    load_latest,
    read_meta,
    save_checkpoint,
)
from keras_wsss.config import PhaseConfig, TrainConfig
from keras_wsss.data.failures import iterate
from keras_wsss.data.pipeline import make_batches
from keras_wsss.errors import ConfigError, DataError, Terminated
from keras_wsss.mask_updates import MASK_UPDATES
from keras_wsss.systems.network import (
    Network,
    assign_arrays,
    named_variables,
    read_arrays,
)
from keras_wsss.systems.replicated_update import own_optimizer
from keras_wsss.systems.system import Parts
from keras_wsss.training.claim import binding_differences
from keras_wsss.training.devices import share
from keras_wsss.training.heldout_tags import SHOWN, HeldOutTags
from keras_wsss.training.stop_signal import StopSignal
from keras_wsss.training.summaries import Watch, event_errors
from keras_wsss.training.tally import NotFiniteError, Tally
from keras_wsss.training.workers import Workers

_POWER = 0.9  # of DeepLab's "poly" policy


def learning_rate(settings: PhaseConfig, step: int) -> float:
    """The learning rate of update `step` (from 0).

    Constant during the warm-up; after it half a cosine, or a polynomial with
    power 0.9, from `learning_rate` to `final_learning_rate`, which is
    constant when the two are equal.
    """
    if step < settings.warmup_steps:
        return settings.warmup_learning_rate
    total = max(1, settings.steps - settings.warmup_steps)
    done = min(1.0, (step - settings.warmup_steps) / total)
    if settings.decay == "poly":
        share = (1 - done) ** _POWER
    else:
        share = 0.5 * (1 + math.cos(math.pi * done))
    low, high = settings.final_learning_rate, settings.learning_rate
    return low + (high - low) * share


@dataclasses.dataclass
class Loop:
    """Everything a run repeats until its last step.

    Attributes:
        net: the network, built under the strategy's scope.
        optimizer: its optimizer.
        parts: updates, streams and scores of the system; its warm-up is the
            update of the first `settings.warmup_steps` steps.
        settings: steps and learning rates of the phase.
        workers: this process and those that it trains with; only the chief
            scores, saves and writes.
        heldout_tags: scores of the tagger on held-out tagged pictures; the
            rule that fits them is kept beside the checkpoints.
        folder: where checkpoints are.
        writer: TensorBoard writer.
        watch: writes sheets and more for TensorBoard, with the scores.
        meta: what identifies the run; kept in every checkpoint.
        mask_updates: from a step to the updates so far that taught masks;
            kept in every checkpoint and in the results.
        log: called with progress lines.
        train: the config's group: how often the loop logs, saves and scores.
        best: where the checkpoint that is best on held-out source masks is
            kept, or None.
    """

    net: Network
    optimizer: keras.optimizers.Optimizer
    parts: Parts
    settings: PhaseConfig
    workers: Workers
    heldout_tags: HeldOutTags
    folder: Path
    writer: tf.summary.SummaryWriter
    watch: Watch
    meta: Mapping
    mask_updates: Callable[[int], int]
    log: Callable[[str], None]
    train: TrainConfig
    best: Path | None = None

    def run(self) -> dict:
        """Trains up to the last step, from the newest checkpoint if any.

        Returns:
            Figures for results.json.

        Raises:
            NotFiniteError: a loss is not finite; nothing of it is saved.
            ConfigError: the newest checkpoint is of another configuration.
            Terminated: SIGTERM came; the last step done is saved.
        """
        with StopSignal() as stop, BackgroundWriter() as saving:
            return self._train(stop, saving)

    def _train(self, stop: StopSignal, saving: BackgroundWriter) -> dict:
        first = self._resume()
        start = time.perf_counter()
        if first == 0 and self.workers.is_chief:
            try:
                self.score(0)  # where the curves begin
            except DataError:  # of spoiled weights the first update tells
                self.watch(0)
        tally = Tally(self, first, time.perf_counter() - start)
        batches = iterate(
            make_batches(
                self.parts.streams.get("source"),
                self.parts.streams.get("target"),
                first_step=first,
                num_steps=self.settings.steps - first,
                shard=self.workers.shard,
            )
        )
        pending = None
        for step, batch in zip(
            range(first, self.settings.steps), batches, strict=True
        ):
            if step == self.settings.warmup_steps:
                self._restart_optimizer()
                self.parts.after_warmup()
            rate = learning_rate(self.settings, step)
            update = self.parts.update
            if step < self.settings.warmup_steps:
                update = self.parts.warmup or update
            shared = share(self.workers.strategy, batch, self.workers.count)
            values = update(shared, rate)
            # Look at the losses one step late, so that the device never
            # waits for the host.
            if pending is not None:
                tally.add(*pending)
            pending = (step, values, batch, rate, time.perf_counter())
            done = step + 1
            due = done % self.train.checkpoint_every == 0
            if done == self.settings.steps:
                self._take_averages()
            if due or done == self.settings.steps:
                tally.add(*pending)
                pending = None
                self._save(done, saving)
            if self.workers.any_asked(stop.requested):
                if pending is not None:
                    tally.add(*pending)
                    self._save(done, saving)
                saving.wait()
                # The chief may still be saving: who leaves is taken for lost.
                self.workers.meet()
                raise Terminated(
                    f"step {done} is saved; repeat the command to go on."
                )
            if (
                done % self.train.heldout_every == 0
                and done < self.settings.steps
            ):
                tally.heldout(done)
        scores = tally.heldout(self.settings.steps)
        saving.wait()
        return {**tally.results(), **scores}

    def score(self, step: int) -> tuple[dict[str, float], dict[str, Any]]:
        """Scores held-out pictures; writes and prints them, and sheets.

        Returns:
            Scores of source pictures by their masks, and of the tagger.

        Raises:
            DataError: the tagger's probabilities are not finite.
        """
        scores = dict(self.parts.heldout())
        tags = self.heldout_tags.scores()
        shown = {
            "source": scores,
            "tags": _defined({name: tags.get(name) for name in SHOWN}),
            "tag_average_precision": _defined(
                {
                    name: values["average_precision"]
                    for name, values in tags.get("per_category", {}).items()
                }
            ),
        }
        with event_errors(), self.writer.as_default(step=step):
            for kind, values in shown.items():
                for name, value in values.items():
                    tf.summary.scalar(f"heldout_{kind}/{name}", value)
        self.watch(step)
        for kind in ("source", "tags"):
            if shown[kind]:
                text = "  ".join(f"{k} {v:.3f}" for k, v in shown[kind].items())
                self.log(f"step {step}  held-out {kind}: {text}")
        return scores, tags

    def _variables(self) -> dict:
        named = {
            f"model/{name}": variable
            for name, variable in named_variables(
                self.net, self.net.trained_parts
            ).items()
        }
        for index, variable in enumerate(self.optimizer.variables):
            named[f"optimizer/{index:04d}/{variable.path}"] = variable
        return named

    def _resume(self) -> int:
        checkpoint = load_latest(self.folder, self.log)
        first = 0 if checkpoint is None else self._restore(checkpoint)
        self.workers.same(
            "a checkpoint or first weights",
            f"{first} {self._digest()}",
            "--workdir, --init_from and the encoder's weights must be on a "
            "file system that all workers share",
        )
        return first

    def _digest(self) -> str:
        digest = hashlib.sha256()
        for array in read_arrays(self._variables()).values():
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def _restore(self, checkpoint: Checkpoint) -> int:
        changed = binding_differences(
            checkpoint.meta.get("config", {}), self.meta["config"]
        )
        if changed:
            raise ConfigError(
                f"{self.folder}: the checkpoint of step {checkpoint.step} is "
                f"of another configuration: {'; '.join(changed)}. Choose "
                "another --workdir, or restore the run's own checkpoints."
            )
        assign_arrays(self._variables(), checkpoint.arrays, str(self.folder))
        self.log(f"Resuming after step {checkpoint.step}.")
        return checkpoint.step

    def _save(self, step: int, saving: BackgroundWriter) -> None:
        if self.workers.is_chief:
            checkpoint = self._checkpoint(step, {})
            saving.save(self.folder, checkpoint, self.train.keep_checkpoints)

    def keep_if_best(self, step: int, scores: Mapping[str, float]) -> bool:
        """Keeps the weights if no step before had a better mask IoU."""
        warm = step <= self.settings.warmup_steps  # nothing taught the masks
        if self.best is None or warm or "mask_iou" not in scores:
            return False
        kept = list_checkpoints(self.best)
        reached = [read_meta(path)["heldout"]["mask_iou"] for path in kept]
        if scores["mask_iou"] <= max(reached, default=-1.0):
            return False
        best = self._checkpoint(step, {"heldout": dict(scores)})
        written = save_checkpoint(self.best, best, len(kept) + 1)
        # Not before the new one is there, whose step may be an earlier one,
        # or the same where a run was killed and goes on.
        for path in kept:
            if path != written:
                path.unlink()
        return True

    def _checkpoint(self, step: int, meta: dict) -> Checkpoint:
        arrays = read_arrays(self._variables())
        # The losses of this step were those before its update.
        for name, array in arrays.items():
            if not np.isfinite(array).all():
                raise NotFiniteError(
                    f"{name} is not finite after step {step}. Lower the "
                    "learning rate; the last checkpoint is sound."
                )
        about = {**self.meta, MASK_UPDATES: self.mask_updates(step), **meta}
        return Checkpoint(step, arrays, about)

    def _restart_optimizer(self) -> None:
        """Moments and step count begin anew, as in published step 2."""
        for variable in own_optimizer(self.optimizer).variables:
            variable.assign(tf.zeros(variable.shape, variable.dtype))

    def _take_averages(self) -> None:
        """The averages become the weights, where there are averages."""
        named = named_variables(self.net, self.net.trained_parts)
        own_optimizer(self.optimizer).finalize_variable_values(
            [variable for variable in named.values() if variable.trainable]
        )


def _defined(values: Mapping[str, float | None]) -> dict[str, float]:
    return {name: v for name, v in values.items() if v is not None}
