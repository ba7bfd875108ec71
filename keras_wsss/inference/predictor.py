"""From a picture (and perhaps its tags) to a mask: one way for everyone."""

import dataclasses
import itertools
import numbers
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from PIL import Image

from keras_wsss.categories import Split
from keras_wsss.config import Config, split_of, to_json
from keras_wsss.config_fields import range_problems
from keras_wsss.config_files import load_run_config
from keras_wsss.data.pictures_in import as_picture
from keras_wsss.errors import ConfigError, DataError
from keras_wsss.inference.compiled import CompiledSteps
from keras_wsss.inference.many_pictures import ManyPictures, Request
from keras_wsss.inference.one_picture import OnePicture
from keras_wsss.inference.prediction import Prediction, Tags
from keras_wsss.mask_updates import count_mask_updates, untrained_sentence
from keras_wsss.run_folder import (
    CHECKPOINT_FOLDERS,
    load_run_encoder,
    load_trained_parts,
    read_tag_rule,
    weights_digest,
)
from keras_wsss.systems import get_system
from keras_wsss.systems.network import Network
from keras_wsss.systems.problems import raise_problems
from keras_wsss.systems.quality import (
    RAW,
    Quality,
    Tiling,
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
    "Tiling",
    "View",
    "augmented_views",
    "choose_quality",
]

_NONE_LEFT: Any = object()


class Predictor:
    """Segments pictures with a trained network of any system.

    Example:
        predictor = Predictor.from_workdir("runs/transfer")
        prediction = predictor("cat.jpg")
        prediction.mask  # uint8 [H, W]

    Args:
        net: a trained network. What its weights become later shows only in
            part: some were made ready for computing.
        split: its categories.
        config: the run's config; `inference` gives the thresholds.
        mask_updates: how many updates have taught its masks, see
            `keras_wsss.mask_updates`; None if nobody counted.
        warning: a sentence about masks that are noise; "" if they are not.
        rule: thresholds of tags that the run chose for itself, used where
            the config names none.
        weights: digest of the weights; "" if nobody has taken it.

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
        weights: str = "",
    ):
        self.net = net
        self.split = split
        self.config = config
        self.mask_updates = mask_updates
        self.warning = warning
        self._rule, self._weights = rule, weights
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
        compute_dtype: str | None = None,
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
            compute_dtype: as `config.model.compute_dtype`; None keeps the
                run's. The weights are the same in all of them.

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
        if compute_dtype is not None:
            config = config.replace({"model.compute_dtype": compute_dtype})
            raise_problems(range_problems(config.model, "config.model."))
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
        weights = weights_digest(workdir, folder)
        return cls(net, split, config, updates, warning, rule, weights)

    @property
    def made_by(self) -> dict[str, Any] | None:
        """JSON values that tell this network's masks from others'.

        None if its weights have no digest.
        """
        if not self._weights:
            return None
        other = self.net.compute_dtype
        return {
            "weights": self._weights,
            "inference": to_json(self.config.inference),
            "rule": repr(self._rule),
            # Of float32, what earlier folders have.
            **({"compute_dtype": other} if other != "float32" else {}),
        }

    def __call__(
        self,
        image: Any,
        tags: Tags | None = None,
        views: Sequence[View] | None = None,
        refine: bool | None = None,
        own_crf: bool | None = None,
        tile: int | None = None,
        tile_overlap: float | None = None,
    ) -> Prediction:
        """Segments one picture, as well as its system can if not told less.

        What is left at None is as `choose_quality` says: TransferNet's
        masks are augmented and refined, those of a network with a CRF of its
        own augmented and smoothed by it. `views=RAW, refine=False` is the
        network alone, in less than half of the time.

        Args:
            image: a path, the content of a JPEG or PNG file, an open binary
                file, a Pillow image, or an array: uint8, uint16 or float
                from 0 to 1, of grey, RGB or RGBA; see `as_picture`.
            tags: what is in the picture: names or ids, or a single one. None
                asks the tagger for the categories that the split scores.
            views: test-time augmentation; tag scores and probabilities are
                averaged.
            refine: let masks follow the picture's colours and edges.
            own_crf: let the network's own CRF smooth its logits first, as
                the published inference of the prior system does.
            tile: side in pixels of the tiles that a larger picture is cut
                into, 0 for that of the network's input; None does not cut.
            tile_overlap: share of the side that neighbours have in common.

        Raises:
            DataError: a picture that cannot be read.
            ConfigError: an unknown tag, the network has no CRF, or tiles of
                no use.
        """
        quality = choose_quality(
            self.steps, None, refine, own_crf, tile, tile_overlap
        )
        if views is not None:
            quality = dataclasses.replace(quality, views=tuple(views))
        return self.predict(image, tags, quality)

    def predict(
        self,
        image: Any,
        tags: Tags | None = None,
        quality: Quality | None = None,
    ) -> Prediction:
        """As a call, in a quality made by `choose_quality`; None: its default.

        Raises:
            DataError: a picture that cannot be read.
            ConfigError: an unknown tag, or the network has no CRF.
        """
        image = as_picture(image, self.config.data.max_pixels)
        if quality is None:
            quality = choose_quality(self.steps)
        return OnePicture(self, image).predict(tags, quality)

    def predict_many(
        self,
        images: Iterable[Any],
        tags: Tags | None = None,
        quality: Quality | None = None,
        *,
        tags_each: Iterable[Tags | None] | None = None,
        batch: int | None = None,
    ) -> Iterator[Prediction]:
        """Predictions of many pictures, in their order.

        Memory does not grow with their number: a few are read and computed
        side by side, before they are asked for, and no more.

        Args:
            images: pictures as `predict` takes them, of any sizes: a list, a
                generator, or a batch [B, H, W], [B, H, W, 1], [B, H, W, 3]
                or [B, H, W, 4].
            tags: what is in every picture.
            quality: see `predict`.
            tags_each: in place of `tags`, what is in each picture, in the
                order of `images`; None asks the tagger.
            batch: pictures that the encoder takes at once, see
                `ManyPictures`.

        Raises:
            DataError: a picture that cannot be read; says which, from 0.
            ConfigError: an unknown tag, tags in both ways, the network has
                no CRF, or `images` is a single picture.
        """
        if tags is not None and tags_each is not None:
            raise ConfigError("Give tags or tags_each, not both.")
        _refuse_single(images)
        asked = itertools.repeat(tags) if tags_each is None else tags_each
        limit = self.config.data.max_pixels

        def read(item: tuple[int, tuple[Any, Tags | None]]) -> Request:
            number, (image, own) = item
            try:
                return Request(as_picture(image, limit), own)
            except DataError as error:
                raise DataError(f"Picture {number}: {error}") from None

        many: ManyPictures[Any, Any] = ManyPictures(
            self,
            choose_quality(self.steps) if quality is None else quality,
            read,
            lambda item, request, found: found,
            batch=batch,
        )
        yield from many.run(enumerate(_pairs(images, asked)))

    def choose_tags(self, scores: np.ndarray) -> tuple[int, ...]:
        """Scored categories that the tagger names, perhaps none."""
        chosen = self.compiled.choose_tags(scores)
        return tuple(int(i) for i in chosen.numpy())

    def tag_ids(self, tags: Tags) -> tuple[int, ...]:
        """Ids of names or ids, or of a single one, ascending, each once.

        Raises:
            ConfigError: an unknown tag.
        """
        if isinstance(tags, str | numbers.Integral):
            tags = (tags,)
        ids: set[int] = set()
        for tag in cast("Sequence[int | str]", tags):
            found = self.split.find(tag) if isinstance(tag, str) else tag
            if (
                not isinstance(found, numbers.Integral)
                or not 1 <= int(found) <= self.split.num_categories
            ):
                raise ConfigError(
                    f"Unknown tag '{tag}'; this model knows "
                    f"{', '.join(self.split.categories)}."
                )
            ids.add(int(found))
        return tuple(sorted(ids))


def _refuse_single(images: Any) -> None:
    single = isinstance(images, str | bytes | os.PathLike | Image.Image)
    rank = getattr(images, "ndim", None)
    # [H, W, 3] could be a batch of grey pictures 3 pixels wide: no.
    if single or rank == 2 or (rank == 3 and images.shape[-1] in (1, 3, 4)):
        raise ConfigError(
            "predict_many takes several pictures; give a list, or call the "
            "predictor with one."
        )


def _pairs(
    images: Iterable[Any], asked: Iterable[Tags | None]
) -> Iterator[tuple[Any, Tags | None]]:
    """Pictures with their tags, of which there must be as many."""
    tags = iter(asked)
    for image in images:
        found = next(tags, _NONE_LEFT)
        if found is _NONE_LEFT:
            raise ConfigError("tags_each has fewer entries than pictures.")
        yield image, found
    endless = isinstance(tags, itertools.repeat)
    if not endless and next(tags, _NONE_LEFT) is not _NONE_LEFT:
        raise ConfigError("tags_each has more entries than pictures.")
