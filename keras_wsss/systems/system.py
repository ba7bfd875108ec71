"""The contract of a system: what a run, a prediction and an export ask of it.

Nothing here imports TensorFlow, so that flags and checks of a config can ask
a system for its phases without waiting for it.
"""

from __future__ import annotations

import abc
import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from keras_wsss.categories import Split
from keras_wsss.data.records import Record
from keras_wsss.data.views import ViewSpec
from keras_wsss.encoders import get_encoder
from keras_wsss.systems.category_axes import CategoryAxes
from keras_wsss.tagging import TagRule

if TYPE_CHECKING:
    import keras
    import numpy as np
    import tensorflow as tf

    from keras_wsss.data.encodings import Encodings
    from keras_wsss.data.pictures import PictureStore
    from keras_wsss.data.pipeline import Stream
    from keras_wsss.drawing import Row
    from keras_wsss.systems.network import Network
    from keras_wsss.systems.replicated_update import ReplicatedUpdate
    from keras_wsss.systems.steps import Steps


# Training pictures by which an encoder's features are brought to scale.
CALIBRATION_PICTURES = 64


@dataclasses.dataclass(frozen=True)
class Phase:
    """One row of the phase table.

    Attributes:
        name: value of `--phase`; its settings are the group of this name in
            the config.
        about: what it does, for help and docs.
        target: whether target pictures are used.
        source: whether source pictures are used; without, nothing of them
            is read.
        mask_weight: field of the config that weighs the loss by which masks
            are learned; "" where the phase teaches none.
        starts_from: phases whose run `--init_from` may name; empty when the
            phase starts from the encoder's weights alone.
        starts_alone: whether it may also start from the encoder's weights.
    """

    name: str
    about: str
    target: bool
    source: bool = True
    mask_weight: str = ""
    starts_from: tuple[str, ...] = ()
    starts_alone: bool = False


@dataclasses.dataclass(frozen=True)
class TrainingData:
    """The pictures of a run.

    Attributes:
        split: categories.
        source: pictures with masks, for training.
        heldout: pictures with masks, held out of training.
        target: pictures with tags; empty when the phase uses none. Their
            masks, if any, are pseudo labels.
        heldout_tagged: pictures with tags, held out of training.
        heldout_negatives: pictures, held out of training, of which it is
            known that they hold no target category.
        counts: what was read and what was left out, for results.json.
    """

    split: Split
    source: Sequence[Record]
    heldout: Sequence[Record]
    target: Sequence[Record]
    heldout_tagged: Sequence[Record]
    heldout_negatives: Sequence[Record]
    counts: dict


class MakeEncodings(Protocol):
    """Gives a frozen encoder's outputs, complete for the pictures asked for."""

    def __call__(
        self,
        records: Sequence[Record],
        levels: tuple[int, ...],
        pictures: PictureStore,
        shared: bool = True,
        written: tuple[int, ...] = (),
        whole: bool = False,
    ) -> Encodings:
        """Computes what is missing.

        Args:
            records: pictures.
            levels: of the encoder that are read, in any order.
            pictures: reads the pictures.
            shared: whether every process calls it, so that each computes its
                share.
            written: levels that are kept too, for later phases.
            whole: whether whole pictures alone are wanted, neither mirrored
                nor windows of them.
        """


@dataclasses.dataclass(frozen=True)
class Job:
    """A run that is about to begin.

    Attributes:
        config: the run's config.
        phase: its row of the phase table.
        settings: its group of the config.
        data: its pictures.
        views: how they are cut; see `System.views`.
        net: the network, with the weights that it starts from.
        optimizer: built for the network.
        strategy: distribution strategy.
        is_chief: whether this process watches: scores held-out pictures and
            draws sheets.
        encodings: gives the outputs of `net.encoder` on disk; None if the
            config keeps none.
    """

    config: Any
    phase: Phase
    settings: Any
    data: TrainingData
    views: ViewSpec
    net: Network
    optimizer: keras.optimizers.Optimizer
    strategy: tf.distribute.Strategy
    is_chief: bool = True
    encodings: MakeEncodings | None = None

    @property
    def watched(self) -> Sequence[Record]:
        """Held-out pictures with masks that this process scores."""
        return self.data.heldout if self.is_chief else ()


# What draws the sheets of a system: rows by name of a sheet, of the same
# pictures at every call.
SheetRows = Callable[[], Mapping[str, "Sequence[Row]"]]


@dataclasses.dataclass(frozen=True)
class Parts:
    """What the training loop takes from a system.

    Attributes:
        update: makes an update of the weights.
        streams: "source" and "target" streams of `make_batches`.
        warmup: the update of the first steps, if it is another one.
        after_warmup: called between the two.
        heldout: scores on held-out pictures with masks, by name; "mask_iou"
            is what the best checkpoint is chosen by.
        tag_scorer: from pictures, at least one, to a function that gives the
            tagger's present probabilities of them, float32 [pictures, C].
        sheets: gives rows of the fixed pictures that TensorBoard shows.
        embeddings: a vector per category for TensorBoard, float [C, U].
    """

    update: ReplicatedUpdate
    streams: Mapping[str, Stream | None]
    warmup: ReplicatedUpdate | None = None
    after_warmup: Callable[[], None] = lambda: None
    heldout: Callable[[], Mapping[str, float]] = dict
    tag_scorer: (
        Callable[[Sequence[Record]], Callable[[], np.ndarray]] | None
    ) = None
    sheets: SheetRows = dict
    embeddings: Callable[[], np.ndarray] | None = None


class System(abc.ABC):
    """A method of weakly supervised segmentation.

    `keras_wsss.systems.register_system` makes one known; docs/systems.md
    shows what it takes. What has a body here is right for a network on a
    frozen encoder, its part `encoder`.

    Attributes:
        name: value of `config.system`.
        phases: how it is trained, in the order in which help names them.
        drawer: the part of the network that draws masks, for messages.
        start: fields of its configs that are not the defaults, by dotted
            names: what a file with `system: NAME` and no `base` begins with.
    """

    name: str
    phases: tuple[Phase, ...]
    drawer: str = "decoder"
    start: Mapping[str, Any] = {}

    def find_phase(self, name: str) -> Phase | None:
        """The phase called so, if the system has one."""
        return next((p for p in self.phases if p.name == name), None)

    def problems(self, config: Any, phase: str) -> list[str]:
        """Sentences about what this phase can't do with a config.

        Asked before anything is read or built.

        Args:
            config: the run's config.
            phase: name of one of the phases.
        """
        return []

    @abc.abstractmethod
    def build(self, config: Any, split: Split) -> Network:
        """Builds the network of a config, with random weights.

        Raises:
            ConfigError: a field that no network can have.
        """

    def category_axes(self, config: Any, split: Split) -> CategoryAxes:
        """The variables that are laid out by the categories of a split.

        Their names are those of `keras_wsss.systems.network.named_variables`.
        Asked where a run starts from another one, of other categories maybe.
        """
        return {}

    def shape_fields(self, config: Any) -> tuple[str, ...]:
        """The fields that decide shapes of variables, but for categories.

        Weights fit into the network of another config where these are equal.
        """
        return ("model.encoder",)

    def usage_fields(self, config: Any) -> tuple[str, ...]:
        """The fields that decide what weights mean, though no shape."""
        return ()

    @abc.abstractmethod
    def make_optimizer(self, config: Any) -> keras.optimizers.Optimizer:
        """The optimizer of a run, not built."""

    def views(self, config: Any, **grid: Any) -> ViewSpec:
        """How training pictures are cut and become the network's input.

        Args:
            config: the run's config.
            **grid: fields of `ViewSpec` that are not those of the encoder.
        """
        encoder = get_encoder(config.model.encoder)
        return ViewSpec(
            image_size=config.image.size,
            resize_size=config.image.resize,
            min_scale=config.image.min_scale,
            mirror=config.image.mirror,
            blank_padding=config.model.ignore_padding,
            **{"stride": encoder.stride, "pixels": encoder.pixels, **grid},
        )

    def load_start(
        self,
        config: Any,
        net: Any,
        data: TrainingData,
        log: Callable[[str], None],
    ) -> None:
        """Gives a new network the weights that nothing here has trained.

        Args:
            config: the run's config.
            net: of `build`.
            data: pictures that tell the scale of an encoder's features.
            log: called with lines for the log.

        Raises:
            ConfigError: they cannot be found or do not fit.
            DataError: a picture that cannot be read.
        """
        from keras_wsss.data.pictures import PictureStore
        from keras_wsss.data.pipeline import whole_inputs
        from keras_wsss.layers.feature_scale import calibrate

        encoder = get_encoder(config.model.encoder)
        weights = config.model.encoder_weights or None
        encoder.load_weights(net.encoder, weights)
        count = len(data.source) + len(data.target)
        step = max(1, count // CALIBRATION_PICTURES)
        records = itertools.islice(
            itertools.chain(data.source, data.target),
            *(0, step * CALIBRATION_PICTURES, step),
        )
        calibrate(
            net.encoder,
            whole_inputs(
                list(records),
                net.views,
                PictureStore(config.data.max_pixels),
            ),
        )

    @abc.abstractmethod
    def assemble(self, job: Job) -> Parts:
        """From a job to the parts of its loop.

        Raises:
            ConfigError: a field that does not fit.
            DataError: a picture that cannot be read.
        """

    @abc.abstractmethod
    def make_steps(
        self,
        net: Any,
        split: Split,
        config: Any,
        rule: TagRule | None = None,
    ) -> Steps:
        """The steps from a picture to a mask with a trained network.

        Args:
            net: of `build`.
            split: its categories.
            config: the run's config; `inference` gives the thresholds.
            rule: the thresholds of tags that the run chose for itself, used
                where the config names none.
        """
