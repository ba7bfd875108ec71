"""What the training loop takes from TransferNet."""

import itertools
from collections.abc import Mapping, Sequence

from keras_wsss.data.encodings import Encodings
from keras_wsss.data.hidden import ChannelDropout
from keras_wsss.data.pictures import PictureStore
from keras_wsss.data.pipeline import Stream
from keras_wsss.data.records import Record
from keras_wsss.encoders import get_encoder
from keras_wsss.systems.sheets import (
    masked_pairs,
    preferred_ids,
    tagged_pairs,
)
from keras_wsss.systems.streams import make_stream
from keras_wsss.systems.system import Job, Parts, TrainingData
from keras_wsss.systems.transfernet.heldout import (
    HeldOut,
    encoding_of,
    tag_scorer,
)
from keras_wsss.systems.transfernet.sheets import TransferSheets
from keras_wsss.systems.transfernet.update import Update

# Held-out pictures with masks that are scored at most, the first ones.
_HELD_OUT = 200


def assemble(job: Job) -> Parts:
    """The parts of the loop.

    Raises:
        ConfigError: a field that does not fit.
        DataError: a picture that cannot be read.
    """
    config, data, net = job.config, job.data, job.net
    pictures = PictureStore(config.data.max_pixels, config.data.memory_mb)
    levels = net.used_levels if job.phase.mask_weight else ()
    encode = encoding_of(net)

    def scorer(records: Sequence[Record]):
        cache = None
        if job.encodings and config.image.mirror:
            cache = job.encodings(
                records,
                (),
                pictures,
                shared=False,
                # Pseudo labels are made of them too.
                written=net.used_levels if config.cache.switches else (),
            )
        return tag_scorer(net, records, pictures, encode, cache)

    def update(mask_weight: float) -> Update:
        train = config.train.replace({"mask_weight": mask_weight})
        return Update(net, job.optimizer, train, job.strategy)

    weight = config.train.mask_weight if job.phase.mask_weight else 0.0
    return Parts(
        warmup=update(0.0),
        update=update(weight),
        streams=_streams(job, build_caches(job, levels, pictures), pictures),
        heldout=HeldOut(
            net,
            data.split,
            job.watched[:_HELD_OUT],
            pictures,
            encode,
            _heldout_cache(job, pictures),
        ).scores,
        tag_scorer=scorer,
        sheets=_sheets(job, pictures, encode),
        embeddings=net.label_embeddings,
    )


def build_caches(
    job: Job, levels: tuple[int, ...], pictures: PictureStore
) -> dict[str, Encodings]:
    """What the cache has of both domains; empty if the config keeps none.

    Args:
        job: the run.
        levels: of the encoder that the phase draws masks from.
        pictures: reads the pictures.
    """
    caches: dict[str, Encodings] = {}
    if job.encodings is None:
        return caches
    data = {"source": job.data.source, "target": job.data.target}
    for domain, records in data.items():
        if records:
            drawn = has_masks(records)
            # Without masks, pictures reach the decoder only when pseudo
            # labels are made of them; with masks, in some later phase.
            kept = drawn or job.config.cache.switches
            caches[domain] = job.encodings(
                records,
                levels if drawn else (),
                pictures,
                written=job.net.used_levels if kept else (),
            )
    return caches


def _heldout_cache(job: Job, pictures: PictureStore) -> Encodings | None:
    """What the cache has of the held-out pictures that are scored."""
    records = job.watched[:_HELD_OUT]
    if job.encodings is None or not records:
        return None
    levels = job.net.used_levels
    return job.encodings(records, levels, pictures, shared=False, whole=True)


def _streams(
    job: Job, caches: Mapping[str, Encodings], pictures: PictureStore
) -> dict[str, Stream | None]:
    """The streams of both domains, from the cache where there is one."""
    train = job.config.train
    dropout = None
    if train.feature_dropout:
        channels = get_encoder(job.config.model.encoder).channels
        dropout = ChannelDropout(channels, train.feature_dropout)
    data = {"source": job.data.source, "target": job.data.target}
    return {
        domain: make_stream(
            job,
            domain,
            records,
            pictures,
            train.labels_per_image,
            train.absent_per_image,
            cache=caches.get(domain),
            with_mask=has_masks(records),
            dropout=dropout,
            taught=taught_ids(job.data),
        )
        for domain, records in data.items()
    }


def taught_ids(data: TrainingData) -> frozenset[int]:
    """Ids that some training picture has as a label."""
    records = itertools.chain(data.source, data.target)
    return frozenset(i for record in records for i in record.labels)


def has_masks(records: Sequence[Record]) -> bool:
    """Whether pictures have masks, true ones or pseudo labels."""
    return any(record.mask is not None for record in records)


def _sheets(job: Job, pictures: PictureStore, encode) -> TransferSheets:
    """Held-out source pictures and tagged target pictures to look at."""
    config, data, pairs = job.config, job.data, {}
    if job.is_chief:
        count, size = config.train.examples, config.image.size
        ids = preferred_ids(data.split)
        pairs = {
            "source": masked_pairs(data.heldout, pictures, size, count),
            "target": tagged_pairs(data.target, ids, count),
        }
    return TransferSheets(
        job.net, data.split, pairs, pictures, config.inference, encode
    )
