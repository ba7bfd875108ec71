"""From a config to the records and streams that training reads."""

import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path

import keras

from keras_wsss.categories import Split
from keras_wsss.config import split_of
from keras_wsss.data.channel_dropout import ChannelDropout
from keras_wsss.data.coco import read_coco
from keras_wsss.data.pictures import PictureStore, drop_bad_images
from keras_wsss.data.pipeline import Stream
from keras_wsss.data.pseudo_masks import unknown_categories, with_pseudo_masks
from keras_wsss.data.records import MISSING, UNREADABLE, Dataset, Record
from keras_wsss.data.sampling import PairSampler
from keras_wsss.data.tags import read_tags
from keras_wsss.data.views import ViewSpec
from keras_wsss.encoders.vgg import architecture
from keras_wsss.errors import ConfigError, DataError
from keras_wsss.training.feature_cache import FeatureCache

# Seeds of the domains' samplers; they must differ.
_SOURCE_SEED, _TARGET_SEED = 0, 1


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
    source: tuple[Record, ...]
    heldout: tuple[Record, ...]
    target: tuple[Record, ...]
    heldout_tagged: tuple[Record, ...]
    heldout_negatives: tuple[Record, ...]
    counts: dict


def read_training_data(
    config, with_target: bool, with_source: bool = True
) -> TrainingData:
    """Reads the records of source and target pictures, no pixel yet.

    Args:
        config: the run's config.
        with_target: whether target pictures are used.
        with_source: whether source pictures are; if not, no file of theirs
            is touched.

    Raises:
        DataError: a file that cannot be used.
        ConfigError: a missing location.
    """
    split = split_of(config)
    data = config.data
    source = _read_source(data, split) if with_source else Dataset(())
    target = Dataset(())
    if with_target:
        target = read_target_records(config, split)
    for dataset, path, used in (
        (source, data.source_annotations, with_source),
        (target, data.target_tags, with_target),
    ):
        if used and not dataset.records:
            why = [f"{len(v)} {k}" for k, v in dataset.skipped.items()]
            raise DataError(
                f"{path}: no picture is left to train on ({', '.join(why)}); "
                "see exclude_images_with_target and min_pixels of config.data."
            )
    _check_disjoint(source, target, split)
    unknown: dict[str, int] = {}
    if with_target and data.target_masks:
        folder = Path(data.target_masks)
        target = with_pseudo_masks(target, folder, split, data.max_pixels)
        unknown = unknown_categories(folder, split)
    held, kept = _parted(source.records, data.heldout)
    held_tagged, tagged = _parted(target.records, data.heldout_tags)
    held_tagged, tagged = _none_lost(held_tagged, tagged)
    if with_target and not any(record.labels for record in tagged):
        raise DataError(
            f"{data.target_tags}: no picture with a tag is left to train on; "
            "hold out less of them (config.data.heldout_tags)."
        )
    # Those that nothing in a run trains on for want of a source label too.
    negatives = [
        record
        for record in (*held, *source.negatives)
        if set(split.target_ids) <= set(record.absent)
    ]
    counts = {
        "source_pictures": len(kept),
        "source_pairs": sum(len(r.labels) for r in kept),
        "heldout_pictures": len(held),
        "target_pictures": len(tagged),
        "target_pairs": sum(len(r.labels) for r in tagged),
        "target_negatives": sum(not r.labels for r in tagged),
        "heldout_tagged_pictures": len(held_tagged),
        "heldout_negatives": len(negatives),
        "source_left_out": {k: len(v) for k, v in source.skipped.items()},
        "target_left_out": {k: len(v) for k, v in target.skipped.items()},
        "source_labels_dropped": dict(source.dropped),
        "target_labels_dropped": dict(target.dropped),
        "pseudo_labels_ignored": unknown,
        "never_absent": [
            split.name_of(i) for i in _never_absent((*kept, *tagged), split)
        ],
        "bad_pictures": [*_bad_pictures(source), *_bad_pictures(target)],
    }
    return TrainingData(
        split, kept, held, tagged, held_tagged, tuple(negatives), counts
    )


def _never_absent(records: Sequence[Record], split: Split) -> list[int]:
    """Targets that are tags of pictures, and that no picture is known to lack.

    The tagger would learn to name them everywhere.
    """
    left = {i for record in records for i in record.labels}
    left &= set(split.target_ids)
    for record in records:
        if not left:
            break
        left.difference_update(record.absent)
    return sorted(left)


def heldout_lists(data: TrainingData) -> dict:
    """The pictures held out of training whose tags are known, as JSON values.

    Returns:
        "tagged": "image", the file, "labels", names of the target categories
        in it, and "unknown", of those of which nothing is known; "negatives":
        files of pictures that hold no target category.
    """
    name, targets = data.split.name_of, data.split.target_ids
    return {
        "tagged": [
            {
                "image": str(record.image_path),
                "labels": [name(i) for i in record.labels],
                "unknown": [
                    name(i)
                    for i in targets
                    if i not in record.labels and i not in record.absent
                ],
            }
            for record in data.heldout_tagged
        ],
        "negatives": [str(r.image_path) for r in data.heldout_negatives],
    }


def read_target_records(config, split: Split) -> Dataset:
    """Reads the records of tagged pictures, no pixel yet.

    Raises:
        DataError: a file that cannot be used.
        ConfigError: a missing location.
    """
    data = config.data
    for field in ("target_tags", "target_images"):
        _require(data, field)
    dataset = read_tags(
        Path(data.target_tags),
        Path(data.target_images),
        split,
        skip_missing=data.skip_bad_images,
        complete=data.tags_complete,
    )
    return _readable(dataset, data)


def _read_source(data, split: Split) -> Dataset:
    for field in ("source_annotations", "source_images"):
        _require(data, field)
    dataset = read_coco(
        Path(data.source_annotations),
        Path(data.source_images),
        split,
        exclude_images_with_target=data.exclude_images_with_target,
        min_pixels=data.min_pixels,
        skip_missing=data.skip_bad_images,
        max_pixels=data.max_pixels,
        negatives=data.source_negatives,
    )
    return _readable(dataset, data)


def _readable(dataset: Dataset, data) -> Dataset:
    """Without the pictures that cannot be read, where that is asked for."""
    if not data.skip_bad_images:
        return dataset
    return drop_bad_images(dataset, data.max_pixels)


def _bad_pictures(dataset: Dataset) -> list[str]:
    reasons = (MISSING, UNREADABLE)
    return [name for why in reasons for name in dataset.skipped.get(why, ())]


def _require(data, field: str) -> None:
    if not data[field]:
        raise ConfigError(
            f"config.data.{field} is empty; set it in the config file or with "
            f"--config.data.{field}=PATH."
        )


def _parted(
    records: Sequence[Record], share: float
) -> tuple[tuple[Record, ...], tuple[Record, ...]]:
    """The records that are held out, and the others."""
    held = tuple(r for r in records if _is_held_out(r, share))
    return held, tuple(r for r in records if not _is_held_out(r, share))


def _none_lost(
    held: tuple[Record, ...], kept: tuple[Record, ...]
) -> tuple[tuple[Record, ...], tuple[Record, ...]]:
    """The same, but no category is held out with all of its pictures."""
    left = {i for record in kept for i in record.labels}
    common = tuple(r for r in held if left.issuperset(r.labels))
    rare = (r for r in held if not left.issuperset(r.labels))
    return common, (*kept, *rare)


def _is_held_out(record: Record, share: float) -> bool:
    """A choice by name, so that it is the same in every run and phase."""
    digest = hashlib.sha256(record.image_id.encode()).digest()
    return int.from_bytes(digest[:4], "big") < share * 2**32


def _check_disjoint(source: Dataset, target: Dataset, split: Split) -> None:
    """Nothing known of target pixels may come in with the records."""
    for record in source.records:
        if not set(record.labels) <= set(split.source_ids):
            raise AssertionError(f"{record.image_id}: target label in source")
    for record in target.records:
        if record.mask is not None:
            raise AssertionError(f"{record.image_id}: target record with mask")


def make_streams(
    config,
    data: TrainingData,
    source_pictures: int,
    target_pictures: int,
    pictures: PictureStore,
    caches: dict[str, FeatureCache],
) -> dict[str, Stream | None]:
    """The two domains' streams for `make_batches`.

    Args:
        config: the run's config.
        data: its records.
        source_pictures: source pictures per update; each brings
            `labels_per_image` pairs at most.
        target_pictures: target pictures per update, may be 0.
        pictures: reads the pictures.
        caches: "source" and "target" caches, or empty.
    """
    views = training_views(config)
    taught = taught_ids(data)
    dropout = None
    if config.train.feature_dropout:
        channels = architecture(config.model.encoder).channels
        dropout = ChannelDropout(channels, config.train.feature_dropout)

    def stream(domain: str, records, size, ids, seed) -> Stream | None:
        if not size:
            return None
        return Stream(
            PairSampler(
                records,
                pairs_per_image=config.train.labels_per_image,
                seed=2 * config.train.seed + seed,
                absent_per_image=config.train.absent_per_image,
                absent_ids=ids,
            ),
            size,
            views,
            data.split.num_categories,
            pictures,
            caches.get(domain),
            with_mask=has_masks(records),
            dropout=dropout,
            taught=taught,
        )

    return {
        "source": stream(
            "source",
            data.source,
            source_pictures,
            data.split.source_ids,
            _SOURCE_SEED,
        ),
        "target": stream(
            "target",
            data.target,
            target_pictures,
            data.split.target_ids,
            _TARGET_SEED,
        ),
    }


def taught_ids(data: TrainingData) -> frozenset[int]:
    """Ids that some training picture has as a label."""
    records = (*data.source, *data.target)
    return frozenset(i for record in records for i in record.labels)


def has_masks(records: Sequence[Record]) -> bool:
    """Whether pictures have masks, true ones or pseudo labels."""
    return any(record.mask is not None for record in records)


def training_views(config) -> ViewSpec:
    """How training pictures are cut and mirrored."""
    return ViewSpec(
        image_size=config.image.size,
        resize_size=config.image.resize,
        min_scale=config.image.min_scale,
        mirror=config.image.mirror,
    )


def build_caches(
    config,
    data: TrainingData,
    encoder: keras.Model,
    switches: tuple[int, ...],
    pictures: PictureStore,
    report,
    shard: tuple[int, int] = (0, 1),
) -> dict[str, FeatureCache]:
    """Builds what is missing of the feature cache; empty if none is set.

    With several workers it is complete when all of them are done.
    """
    if not config.cache.folder:
        return {}
    caches = {}
    for domain, records in (("source", data.source), ("target", data.target)):
        if not records:
            continue
        # Without masks, pictures never reach the decoder in training.
        drawn = has_masks(records) or config.cache.switches
        kept = switches if drawn else ()
        caches[domain] = build_cache(
            config, records, encoder, kept, pictures, report, shard
        )
    return caches


def build_cache(
    config,
    records: Sequence[Record],
    encoder: keras.Model,
    switches: tuple[int, ...],
    pictures: PictureStore,
    report,
    shard: tuple[int, int] = (0, 1),
) -> FeatureCache:
    """The feature cache of the config's folder, complete for the records.

    Args:
        config: `cache.folder` is set.
        records: pictures.
        encoder: see `FeatureCache`.
        switches: pools whose switches are kept, in any order.
        pictures: reads the pictures.
        report: called with progress lines.
        shard: (index, count) of this worker, which builds its share.
    """
    cache = FeatureCache(
        config.cache.folder,
        encoder,
        training_views(config),
        crops=config.cache.windows - 1,
        seed=0,
        switches=tuple(sorted(switches)),
        pictures=pictures,
    )
    index, count = shard
    cache.build(records, index=index, count=count, report=report)
    return cache
