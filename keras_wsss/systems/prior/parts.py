"""What the training loop takes from the prior system: tags alone teach it."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_wsss.categories import Split
from keras_wsss.data.hidden import HideAndSeek
from keras_wsss.data.images import read_image
from keras_wsss.data.oracle_tags import with_true_masks
from keras_wsss.data.pictures import PictureStore
from keras_wsss.data.pipeline import Stream
from keras_wsss.data.records import Record
from keras_wsss.systems.prior.network import Prior
from keras_wsss.systems.prior.sheets import PriorSheets
from keras_wsss.systems.prior.steps import PriorSteps
from keras_wsss.systems.prior.update import PriorUpdate
from keras_wsss.systems.prior.weights import start_from_classifier
from keras_wsss.systems.sheets import preferred_ids, tagged_pairs
from keras_wsss.systems.streams import make_stream
from keras_wsss.systems.system import Job, Parts

_BATCH = 8  # pictures that are tagged at once


def assemble(job: Job) -> Parts:
    """The parts of the loop.

    Raises:
        DataError: a picture that cannot be read.
    """
    config, data = job.config, job.data
    pictures = PictureStore(
        config.data.max_pixels,
        config.data.memory_mb,
        job.views.pixels.mean_colour,
    )
    records = _tagged(config, data.target, data.split)

    def update(segment: bool) -> PriorUpdate:
        return PriorUpdate(
            job.net, data.split, job.optimizer, config, segment, job.strategy
        )

    def after_warmup() -> None:
        if config.prior.segment_start == "classifier":
            start_from_classifier(job.net)

    return Parts(
        warmup=update(segment=False),
        update=update(segment=True),
        after_warmup=after_warmup,
        streams={"source": None, "target": _stream(job, records, pictures)},
        tag_scorer=lambda records: _tag_scorer(
            job.net, data.split, records, config
        ),
        sheets=PriorSheets(
            job.net, data.split, _sheet_pairs(job), pictures, config
        ),
    )


def _tagged(config, records: Sequence[Record], split: Split):
    """The records; with true masks for the oracle that reads their tags."""
    prior = config.prior
    if prior.tags == "image":
        return records
    return with_true_masks(
        records, Path(prior.target_masks), split, config.data.max_pixels
    )


def _stream(job: Job, records: Sequence[Record], pictures) -> Stream | None:
    prior = job.config.prior
    # All tags of a picture at once, so that each picture is one slot.
    most = max((len(record.labels) for record in records), default=1)
    return make_stream(
        job,
        "target",
        records,
        pictures,
        most,
        with_mask=prior.tags == "crop_gt",
        hide=(
            HideAndSeek(prior.hide_grid, prior.hide_probability)
            if prior.hidden_stream
            else None
        ),
    )


def _sheet_pairs(job: Job) -> dict:
    """Target pictures by their tags, of training and held out of it."""
    if not job.is_chief:
        return {}
    data, count = job.data, job.config.train.examples
    ids = preferred_ids(data.split)
    return {
        "target": tagged_pairs(data.target, ids, count),
        "heldout": tagged_pairs(data.heldout_tagged, ids, count),
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
