"""From a picture (and perhaps its tags) to a mask: one way for everyone."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keras_wsss.categories import Split
from keras_wsss.config import Config, split_of
from keras_wsss.config_fields import range_problems
from keras_wsss.config_files import load_run_config
from keras_wsss.data.images import read_image
from keras_wsss.errors import ConfigError
from keras_wsss.inference.compiled import CompiledSteps
from keras_wsss.inference.one_picture import OnePicture, Prediction
from keras_wsss.mask_updates import count_mask_updates, untrained_sentence
from keras_wsss.run_folder import (
    CHECKPOINT_FOLDERS,
    load_run_encoder,
    load_trained_parts,
    read_tag_rule,
)
from keras_wsss.systems import get_system
from keras_wsss.systems.network import Network
from keras_wsss.systems.problems import raise_problems
from keras_wsss.systems.quality import (
    RAW,
    Quality,
    View,
    augmented_views,
    choose_quality,
)
from keras_wsss.tagging import TagRule

__all__ = [
    "RAW",
    "Prediction",
    "Predictor",
    "Quality",
    "View",
    "augmented_views",
    "choose_quality",
]


class Predictor:
    """Segments pictures with a trained network of any system.

    Example:
        predictor = Predictor.from_workdir("runs/transfer")
        prediction = predictor("cat.jpg")
        prediction.mask  # uint8 [H, W]

    Args:
        net: a trained network.
        split: its categories.
        config: the run's config; `inference` gives the thresholds.
        mask_updates: how many updates have taught its masks, see
            `keras_wsss.mask_updates`; None if nobody counted.
        warning: a sentence about masks that are noise; "" if they are not.
        rule: thresholds of tags that the run chose for itself, used where
            the config names none.

    Attributes:
        steps: what it does with a picture.
        compiled: the same, as compiled functions.
    """

    def __init__(
        self,
        net: Network,
        split: Split,
        config: Config,
        mask_updates: int | None = None,
        warning: str = "",
        rule: TagRule | None = None,
    ):
        self.net = net
        self.split = split
        self.config = config
        self.mask_updates = mask_updates
        self.warning = warning
        system = get_system(config.system)
        self.steps = system.make_steps(net, split, config, rule)
        self.compiled = CompiledSteps(self.steps)

    @classmethod
    def from_workdir(
        cls,
        workdir: str | Path,
        config: Config | None = None,
        max_pixels: int | None = None,
        allow_untrained_decoder: bool = False,
        checkpoint: str = "last",
    ) -> "Predictor":
        """Loads a run of `train.py`.

        Args:
            workdir: the run folder.
            config: its group `inference` (thresholds, scales) replaces the
                run's; None keeps it.
            max_pixels: largest width times height of a picture; None keeps
                the run's.
            allow_untrained_decoder: also load a run that no mask has taught
                yet, for its attention and tags; its masks are noise.
            checkpoint: "last", or "best" on held-out source masks, which a
                run with `train.keep_best` keeps.

        Raises:
            ConfigError: not a run folder, nothing saved in it yet, or no mask
                has taught it.
            DataError: damaged weights.
        """
        workdir = Path(workdir)
        other, config = config, load_run_config(workdir)
        if other is not None:
            config = config.replace({"inference": other.inference})
            raise_problems(
                range_problems(config.inference, "config.inference.")
            )
        if max_pixels is not None:
            config = config.replace({"data.max_pixels": max_pixels})
        split = split_of(config)
        net = get_system(config.system).build(config, split)
        load_run_encoder(net, workdir)
        folder = CHECKPOINT_FOLDERS[checkpoint]
        step = load_trained_parts(net, workdir, folder)
        warning = untrained_sentence(workdir, step, folder)
        if warning and not allow_untrained_decoder:
            raise ConfigError(warning)
        updates = count_mask_updates(workdir, step, folder)
        rule = read_tag_rule(workdir, folder)
        return cls(net, split, config, updates, warning, rule)

    def __call__(
        self,
        image: np.ndarray | str | Path,
        tags: Sequence[int | str] | None = None,
        views: Sequence[View] | None = None,
        refine: bool | None = None,
        own_crf: bool | None = None,
    ) -> Prediction:
        """Segments one picture, as well as its system can if not told less.

        What is left at None is as `choose_quality` says: TransferNet's
        masks are augmented and refined, those of a network with a CRF of its
        own augmented and smoothed by it. `views=RAW, refine=False` is the
        network alone, in less than half of the time.

        Args:
            image: uint8 [H, W, 3], RGB, or a JPEG or PNG file.
            tags: what is in the picture: names or ids. None asks the tagger
                for the categories that the split scores.
            views: test-time augmentation; tag scores and probabilities are
                averaged.
            refine: let masks follow the picture's colours and edges.
            own_crf: let the network's own CRF smooth its logits first, as
                the published inference of the prior system does.

        Raises:
            DataError: a picture that cannot be read.
            ConfigError: an unknown tag, or the network has no CRF.
        """
        quality = choose_quality(self.steps, None, refine, own_crf)
        if views is not None:
            quality = dataclasses.replace(quality, views=tuple(views))
        return self.predict(image, tags, quality)

    def predict(
        self,
        image: np.ndarray | str | Path,
        tags: Sequence[int | str] | None = None,
        quality: Quality | None = None,
    ) -> Prediction:
        """As a call, in a quality made by `choose_quality`; None: its default.

        Raises:
            DataError: a picture that cannot be read.
            ConfigError: an unknown tag, or the network has no CRF.
        """
        if not isinstance(image, np.ndarray):
            image = read_image(Path(image), self.config.data.max_pixels)
        if quality is None:
            quality = choose_quality(self.steps)
        return OnePicture(self, image).predict(tags, quality)

    def choose_tags(self, scores: np.ndarray) -> tuple[int, ...]:
        """Scored categories that the tagger names, perhaps none."""
        chosen = self.compiled.choose_tags(scores)
        return tuple(int(i) for i in chosen.numpy())

    def tag_ids(self, tags: Sequence[int | str]) -> tuple[int, ...]:
        """Ids of names or ids, ascending, each once.

        Raises:
            ConfigError: an unknown tag.
        """
        ids = set()
        for tag in tags:
            found = self.split.find(tag) if isinstance(tag, str) else int(tag)
            if found is None or not 1 <= found <= self.split.num_categories:
                raise ConfigError(
                    f"Unknown tag '{tag}'; this model knows "
                    f"{', '.join(self.split.categories)}."
                )
            ids.add(found)
        return tuple(sorted(ids))
