"""What a run asks of the system that it trains."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_wsss.config import PhaseConfig
from keras_wsss.data.pipeline import Stream
from keras_wsss.data.records import Record
from keras_wsss.systems.prior.network import Prior
from keras_wsss.systems.replicated_update import ReplicatedUpdate
from keras_wsss.systems.transfernet.examples import ExampleRows
from keras_wsss.systems.transfernet.network import TransferNet
from keras_wsss.training.heldout import HeldOut
from keras_wsss.training.heldout_tags import HeldOutTags
from keras_wsss.training.inputs import TrainingData
from keras_wsss.training.phases import Phase
from keras_wsss.training.workers import Workers


@dataclasses.dataclass(frozen=True)
class Job:
    """A run that is about to begin.

    Attributes:
        config: the run's config.
        phase: its row of the phase table.
        settings: its group of the config.
        data: its pictures.
        net: the network, with the weights that it starts from.
        optimizer: built for the network.
        workers: this process and those that it trains with.
        report: called with progress lines.
        mask_updates: updates that taught masks in the runs before.
    """

    config: Any
    phase: Phase
    settings: PhaseConfig
    data: TrainingData
    net: TransferNet | Prior
    optimizer: keras.optimizers.Optimizer
    workers: Workers
    report: Callable[[str], None]
    mask_updates: int = 0

    @property
    def strategy(self) -> tf.distribute.Strategy:
        """Distribution strategy."""
        return self.workers.strategy

    @property
    def watched(self) -> Sequence[Record]:
        """Held-out pictures that this process scores: the chief, all."""
        return self.data.heldout if self.workers.is_chief else ()

    def watched_tags(
        self, scorer: Callable[[Sequence[Record]], Callable[[], np.ndarray]]
    ) -> HeldOutTags:
        """Held-out tags that this process scores: the chief, all.

        Without target pictures nothing teaches the tagger what is scored.

        Args:
            scorer: see `HeldOutTags`.
        """
        data = self.data
        watched = self.workers.is_chief and len(data.target) > 0
        return HeldOutTags(
            data.split,
            data.heldout_tagged if watched else (),
            data.heldout_negatives if watched else (),
            scorer,
        )


@dataclasses.dataclass(frozen=True)
class Parts:
    """What the training loop takes from a system.

    Attributes:
        warmup: the update of the first steps.
        update: the update of all others.
        after_warmup: called between the two.
        streams: "source" and "target" streams of `make_batches`.
        heldout: scores on held-out pictures with masks.
        heldout_tags: scores of the tagger on held-out pictures with tags.
        examples: rows of the fixed pictures that TensorBoard shows.
        graph: the model whose graph TensorBoard shows.
        embeddings: a vector per category for TensorBoard, or None.
        results: further entries of results.json.
    """

    warmup: ReplicatedUpdate
    update: ReplicatedUpdate
    streams: Mapping[str, Stream | None]
    heldout: HeldOut
    heldout_tags: HeldOutTags
    examples: ExampleRows
    graph: keras.Model
    embeddings: Callable[[], np.ndarray] | None = None
    results: Callable[[], dict] = dict
    after_warmup: Callable[[], None] = lambda: None


@dataclasses.dataclass(frozen=True)
class System:
    """One of the two methods.

    Attributes:
        make_optimizer: from a config to the optimizer.
        load_start: (config, net, workdir, init_from, report) gives the
            network the weights of layers that nothing has trained yet.
        assemble: from a job to the parts of its loop.
    """

    make_optimizer: Callable[[Any], keras.optimizers.Optimizer]
    load_start: Callable[
        [Any, Any, Path, Path | None, Callable[[str], None]], None
    ]
    assemble: Callable[[Job], Parts]
