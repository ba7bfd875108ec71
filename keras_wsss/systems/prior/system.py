"""The prior system in a training run: no source data, tags alone."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_wsss.categories import Split
from keras_wsss.checkpoints import find_latest
from keras_wsss.data.hide_and_seek import HideAndSeek
from keras_wsss.data.images import read_image
from keras_wsss.data.oracle_tags import with_true_masks
from keras_wsss.data.pictures import PictureStore
from keras_wsss.data.pipeline import Stream
from keras_wsss.data.preprocess import MEAN_COLOUR
from keras_wsss.data.records import Record
from keras_wsss.data.sampling import PairSampler
from keras_wsss.data.views import ViewSpec
from keras_wsss.errors import ConfigError
from keras_wsss.run_folder import CHECKPOINTS
from keras_wsss.systems.prior.examples import PriorExamples
from keras_wsss.systems.prior.network import SEGMENT_STRIDE, Prior
from keras_wsss.systems.prior.steps import PriorSteps
from keras_wsss.systems.prior.update import PriorUpdate, make_prior_optimizer
from keras_wsss.systems.prior.weights import (
    initialise_prior,
    start_from_classifier,
)
from keras_wsss.systems.system import Job, Parts, System
from keras_wsss.systems.transfernet.examples import tagged_examples
from keras_wsss.training.heldout import HeldOut

_SEED = 1  # as TransferNet's target pictures
_BATCH = 8  # pictures that are tagged at once


def load_prior_start(
    config,
    net: Prior,
    workdir: Path,
    init_from: Path | None,
    report: Callable[[str], None],
) -> None:
    """First weights, unless the folder has a checkpoint to go on from."""
    # The loop, which looks too, says what is damaged.
    if init_from or find_latest(workdir / CHECKPOINTS, lambda line: None):
        return
    origin = initialise_prior(net, config.model.encoder_weights or None)
    report(
        "fc6 and fc7 start from the "
        + (
            "decimated layers of the weights file."
            if origin == "decimated"
            else "random weights of their initializers: the weights file has "
            "convolutions only."
        )
    )


def assemble_prior(job: Job) -> Parts:
    """The parts of the loop.

    Raises:
        ConfigError: a field of `config.prior` that does not fit.
        DataError: a picture that cannot be read.
    """
    config, data = job.config, job.data
    if job.settings.source_pictures:
        raise ConfigError(
            "config.joint.source_pairs must be 0: the prior system uses no "
            "source pictures."
        )
    if not config.data.tags_complete:
        raise ConfigError(
            "config.data.tags_complete is False, but the prior system learns "
            "from tags alone what is absent; complete the tags, mark what is "
            "not sure as unknown, and set it to True."
        )
    pictures = PictureStore(
        config.data.max_pixels, config.data.memory_mb, MEAN_COLOUR
    )
    records = _tagged(config, data.target, data.split)

    def update(segment: bool) -> PriorUpdate:
        return PriorUpdate(
            job.net, data.split, job.optimizer, config, segment, job.strategy
        )

    start = config.prior.segment_start
    if start not in ("file", "classifier"):
        raise ConfigError(
            f"config.prior.segment_start is '{start}'; use file or classifier."
        )

    def after_warmup() -> None:
        if start == "classifier":
            start_from_classifier(job.net)

    return Parts(
        warmup=update(segment=False),
        update=update(segment=True),
        after_warmup=after_warmup,
        streams={
            "source": None,
            "target": _stream(
                config,
                records,
                job.settings.target_pictures,
                data.split.num_categories,
                pictures,
            ),
        },
        heldout=HeldOut(job.net, data.split, (), pictures),
        heldout_tags=job.watched_tags(
            lambda records: _tag_scorer(job.net, data.split, records, config)
        ),
        examples=PriorExamples(
            job.net, data.split, _examples(job), pictures, config
        ),
        graph=job.net.segmenter,
    )


PRIOR = System(make_prior_optimizer, load_prior_start, assemble_prior)


def _tagged(config, records: Sequence[Record], split: Split):
    """The records; with true masks for the oracle that reads their tags."""
    prior = config.prior
    if prior.tags == "image":
        return records
    if prior.tags != "crop_gt" or not prior.target_masks:
        raise ConfigError(
            f"config.prior.tags is '{prior.tags}'; use 'image', or 'crop_gt' "
            "with config.prior.target_masks, the folder of the true masks."
        )
    return with_true_masks(
        records, Path(prior.target_masks), split, config.data.max_pixels
    )


def prior_views(config) -> ViewSpec:
    """How training pictures are cut: windows within the picture."""
    return ViewSpec(
        image_size=config.image.size,
        resize_size=config.image.resize,
        min_scale=config.image.min_scale,
        mirror=config.image.mirror,
        stride=SEGMENT_STRIDE,
        points=True,
        inside=True,
    )


def _stream(
    config,
    records: Sequence[Record],
    size: int,
    num_categories: int,
    pictures: PictureStore,
) -> Stream:
    prior = config.prior
    # All tags of a picture at once, so that each picture is one slot.
    most = max((len(record.labels) for record in records), default=1)
    return Stream(
        PairSampler(records, most, seed=2 * config.train.seed + _SEED),
        size,
        prior_views(config),
        num_categories,
        pictures,
        with_mask=prior.tags == "crop_gt",
        hide=(
            HideAndSeek(prior.hide_grid, prior.hide_probability)
            if prior.hidden_stream
            else None
        ),
    )


def _examples(job: Job) -> dict:
    """Target pictures by their tags, of training and held out of it."""
    config, data = job.config, job.data
    if not job.workers.is_chief:
        return {}
    scored = data.split.scored_ids
    ids = (*scored, *(i for i in data.split.target_ids if i not in scored))
    count = config.train.examples
    return {
        "target": tagged_examples(data.target, ids, count),
        "heldout": tagged_examples(data.heldout_tagged, ids, count),
    }


def _tag_scorer(
    net: Prior, split: Split, records: Sequence[Record], config
) -> Callable[[], np.ndarray]:
    """As `tag_scorer` of TransferNet; here the features may change.

    Kept are the small pictures that stream A sees when it is asked for tags.
    """
    steps = PriorSteps(net, split, config)
    limit = config.data.max_pixels
    small = [
        tf.cast(steps.warped(read_image(record.image_path, limit), 1.0), "half")
        for record in records
    ]

    @tf.function(autograph=False, reduce_retracing=True)
    def probabilities(batch: tf.Tensor) -> tf.Tensor:
        batch = tf.cast(batch, tf.float32)
        both = tf.concat([batch, tf.reverse(batch, [2])], 0)
        outputs = net.classifier(both, training=False)
        scores = tf.map_fn(
            lambda logits: steps.tag_scores({"tag_logits": logits[None]}),
            outputs["tag_logits"],
        )
        return sum(tf.split(scores, 2)) / 2.0

    def score() -> np.ndarray:
        return np.concatenate(
            [
                probabilities(tf.stack(small[start : start + _BATCH])).numpy()
                for start in range(0, len(small), _BATCH)
            ]
        )

    return score
