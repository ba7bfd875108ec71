"""tf.data pipelines: from records to the batches of training and evaluation.

A data set made here gives the same batches in the same order whatever the
number of threads, and can start at any step. Iterate over it within
`keras_wsss.data.failures.user_errors` so that a bad file is named in one
sentence.
"""

import dataclasses
import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_wsss.data import preprocess
from keras_wsss.data.encodings import Encodings
from keras_wsss.data.hidden import ChannelDropout, HideAndSeek
from keras_wsss.data.pictures import PictureStore
from keras_wsss.data.reading import Arrays, Entries, ViewReader
from keras_wsss.data.records import Record
from keras_wsss.data.sampling import PairSampler
from keras_wsss.data.views import ViewSpec
from keras_wsss.errors import ConfigError

THREADS = os.cpu_count() or 2  # pictures read at the same time
_TOGETHER = 2  # batches that are read at the same time
_AHEAD = 1  # batches that wait, besides
_WHOLE = 4  # pictures of a batch of `whole_inputs`

# AutoGraph would first rewrite all that these functions call, for two seconds.
_as_written = tf.autograph.experimental.do_not_convert


@dataclasses.dataclass(frozen=True)
class Stream:
    """One domain's part of each update.

    Attributes:
        sampler: which pictures and labels.
        size: pictures of this domain per update, of all workers together.
        views: input size and augmentation.
        num_categories: C, the length of the multi-hot tags.
        taught: ids that some picture of the run has as a label. A category
            that nothing shows is not taught to be absent; None is all.
        pictures: reads pictures and masks.
        cache: when given, batches hold the frozen encoder's outputs in place
            of pictures, and views are those of the cache.
        with_mask: whether batches hold masks.
        hide: draws the cells to hide; None hides nothing.
        dropout: draws the channels to hide; None hides nothing.
    """

    sampler: PairSampler
    size: int
    views: ViewSpec
    num_categories: int
    pictures: PictureStore = dataclasses.field(default_factory=PictureStore)
    cache: Encodings | None = None
    with_mask: bool = False
    hide: HideAndSeek | None = None
    dropout: ChannelDropout | None = None
    taught: frozenset[int] | None = None

    def known(self, record: Record) -> np.ndarray:
        """float32 [C], 1 for what a picture's tags say something about."""
        ids = (*record.labels, *record.absent)
        if self.taught is not None:
            ids = tuple(i for i in ids if i in self.taught)
        known = np.zeros(self.num_categories, np.float32)
        known[np.array(ids, int) - 1] = 1
        return known


def make_batches(
    source: Stream | None = None,
    target: Stream | None = None,
    *,
    first_step: int = 0,
    num_steps: int | None = None,
    shard: tuple[int, int] = (0, 1),
) -> tf.data.Dataset:
    """The batches of the updates `first_step`, `first_step` + 1, ...

    Each element is a dict with the keys "source" and "target" (those given),
    each a dict of tensors; B is the worker's share of the stream's size, S
    the input size, g = S / stride, K the queries per slot:

    * "image": float32 [B, S, S, 3], see `ViewSpec.pixels`; with a cache
      instead "features": float16 [B, g, g, D] and "levels": a tuple,
      one for each level that the cache keeps: uint8 [B, side, side, channels]
      with values 0 to 3, or float16, see `LevelSpec`.
    * "labels": int32 [B, K], category ids, 0 padding.
    * "weights": float32 [B, K], 0 for padding. Where windows are smaller than
      the picture (`min_scale` below 1) and masks are read, also 0 for a
      present label of which the window shows no pixel.
    * "present": float32 [B, K], the right answer to each query.
    * "tags": float32 [B, C], 1 for every label of the picture.
    * "known": float32 [B, C], 1 where "tags" is known to be right.
    * "valid": float32 [B, g, g], 1 for picture, 0 for padding. With
      `ViewSpec.points`, g = (S - 1) / stride + 1.
    * "record": int32 [B], index into the sampler's records.
    * "hidden": float32 [B, cells, cells], 1 for hidden, if `hide`.
    * "kept": float32 [B, D], factors of the channels, if `dropout`.
    * "mask": uint8 [B, S, S], if `with_mask`: ids, 0, 255.

    Args:
        source: stream of pictures with masks.
        target: stream of pictures with tags.
        first_step: update to begin with.
        num_steps: number of updates, endless if None.
        shard: (index, count) of this worker; count divides the sizes.

    Raises:
        ConfigError: no stream.
    """
    streams = {"source": source, "target": target}
    parts = {
        name: _stream_batches(stream, first_step, num_steps, shard)
        for name, stream in streams.items()
        if stream is not None
    }
    if not parts:
        raise ConfigError("An update needs source or target pictures.")
    return _finish(tf.data.Dataset.zip(parts))


def evaluation_batches(
    records: Sequence[Record],
    views: ViewSpec,
    batch_size: int,
    *,
    mirror: bool = False,
    with_mask: bool = False,
    pictures: PictureStore | None = None,
    cache: Encodings | None = None,
) -> tf.data.Dataset:
    """All pictures once, whole, in the order of the records.

    Each element is a dict: "image" (or "features" and "levels"), "labels",
    "weights", "valid", "record" and "mask" as for `make_batches`, with all
    labels of a record in ascending order, and

    * "height", "width": int32 [B], size of the original picture.
    * "used": float32 [B], 0 for the black pictures that fill the last batch
      (their "record" is -1).

    Args:
        records: at least one.
        views: the network's input; how windows are drawn does not matter.
        batch_size: B.
        mirror: give every picture mirrored (test-time augmentation).
        with_mask: give masks at input size.
        pictures: reads pictures and masks.
        cache: its whole views replace pictures; mirrored ones are in it
            where they are asked for.

    Raises:
        ConfigError: the cache holds other sizes.
    """
    most = max((len(record.labels) for record in records), default=0)
    queries = max(most, 1)
    view = views.whole(mirror)
    reader = ViewReader(
        pictures or PictureStore(), cache, views, view.size, with_mask, THREADS
    )
    entries: Entries = {
        "labels": (tf.int32, [queries]),
        "weights": (tf.float32, [queries]),
        "used": (tf.float32, []),
        "record": (tf.int32, []),
    }

    def load(number: int, rows: Arrays) -> dict[str, Any]:
        labels = np.zeros(queries, np.int32)
        used = number < len(records)
        if used:
            known = records[number].labels
            labels[: len(known)] = known
            reader.read(records[number], lambda *_: view, int(mirror), rows)
        else:
            reader.blank(view, rows)
        return {
            "labels": labels,
            "weights": labels > 0,
            "used": used,
            "record": number if used else -1,
        }

    @_as_written
    def batch(first: tf.Tensor) -> dict[str, Any]:
        return reader.assemble(load, first, batch_size, entries)

    firsts = tf.data.Dataset.range(0, len(records), batch_size)
    return _finish(firsts.map(batch, _TOGETHER, deterministic=True))


def whole_inputs(
    records: Sequence[Record],
    views: ViewSpec,
    pictures: PictureStore,
) -> Iterator[tf.Tensor]:
    """A network's inputs of whole pictures, float32 [4, S, S, 3] at a time.

    The last one has what is left. Nothing is read before it is asked for.

    Args:
        records: the pictures.
        views: the network's input.
        pictures: reads them.
    """
    for start in range(0, len(records), _WHOLE):
        squares = [
            pictures.image(record, views.image_size, keep=False).image
            for record in records[start : start + _WHOLE]
        ]
        yield preprocess.to_encoder_input(np.stack(squares), views.pixels)


def _stream_batches(
    stream: Stream,
    first_step: int,
    num_steps: int | None,
    shard: tuple[int, int],
) -> tf.data.Dataset:
    part = stream.size // shard[1]
    sampler, views, cache = stream.sampler, stream.views, stream.cache
    reader = ViewReader(
        stream.pictures,
        cache,
        views,
        views.base_size,
        stream.with_mask,
        THREADS,
    )
    entries: Entries = {
        "labels": (tf.int32, [sampler.queries]),
        "weights": (tf.float32, [sampler.queries]),
        "present": (tf.float32, [sampler.queries]),
        "tags": (tf.float32, [stream.num_categories]),
        "known": (tf.float32, [stream.num_categories]),
        "record": (tf.int32, []),
    }
    if stream.hide is not None:
        entries["hidden"] = (tf.float32, [stream.hide.grid] * 2)
    if stream.dropout is not None:
        entries["kept"] = (tf.float32, [stream.dropout.channels])
    crops_objects = (
        stream.with_mask
        and (views if cache is None else cache.views).min_scale < 1
    )

    def load(number: int, rows: Arrays) -> dict[str, Any]:
        step, row = divmod(number, part)
        slot = sampler.slot(step * stream.size + shard[0] * part + row)
        index, seed = int(slot.record[0]), int(slot.seed[0])
        record = sampler.records[index]
        reader.read(
            record,
            lambda height, width: views.draw(seed, height, width),
            seed % cache.num_views if cache is not None else 0,
            rows,
        )
        labels, weights = slot.labels[0], slot.weights[0]
        if crops_objects:
            seen = [
                (rows["mask"] == label).any()
                for label in labels.astype(np.uint8)
            ]
            weights = weights * (np.array(seen) | (slot.present[0] == 0))
        tags = np.zeros(stream.num_categories, np.float32)
        tags[np.array(record.labels, int) - 1] = 1
        values = {
            "labels": labels,
            "weights": weights,
            "present": slot.present[0],
            "tags": tags,
            "known": stream.known(record),
            "record": index,
        }
        if stream.hide is not None:
            values["hidden"] = stream.hide.cells(seed)
        if stream.dropout is not None:
            values["kept"] = stream.dropout.kept(seed)
        return values

    @_as_written
    def batch(first: tf.Tensor) -> dict[str, Any]:
        values = reader.assemble(load, first, part, entries)
        del values["height"], values["width"]
        return values

    stop = (
        tf.int64.max if num_steps is None else (first_step + num_steps) * part
    )
    firsts = tf.data.Dataset.range(first_step * part, stop, part)
    return firsts.map(batch, _TOGETHER, deterministic=True)


def _finish(dataset: tf.data.Dataset) -> tf.data.Dataset:
    options = tf.data.Options()
    options.deterministic = True
    # Threads and buffers are chosen here. The tuner's own thread sleeps up to
    # a minute between two looks, and the end of a data set at times waits for
    # it to wake: 6 to 50 s were seen at the end of one phase in two.
    options.autotune.enabled = False
    # Workers share batches by `shard` above, not by files.
    options.experimental_distribute.auto_shard_policy = (
        tf.data.experimental.AutoShardPolicy.OFF
    )
    return dataset.with_options(options).prefetch(_AHEAD)
