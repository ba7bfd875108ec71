"""From a config to the records and streams that training reads."""

import hashlib
import itertools
from array import array
from collections.abc import Sequence

import keras

from keras_wsss.categories import Split
from keras_wsss.config import data_of, split_of
from keras_wsss.data import formats
from keras_wsss.data.pictures import PictureStore, drop_bad_images
from keras_wsss.data.pseudo_masks import unknown_categories
from keras_wsss.data.records import (
    MISSING,
    UNREADABLE,
    Dataset,
    Record,
    Records,
)
from keras_wsss.data.target_masks import (
    TargetMasks,
    pseudo_folder,
    with_target_masks,
)
from keras_wsss.errors import DataError
from keras_wsss.systems import get_system
from keras_wsss.systems.system import TrainingData
from keras_wsss.training.feature_cache import FeatureCache


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
    data = data_of(config)
    source = Dataset(Records())
    if with_source:
        source = _readable(formats.read(data, split, "source"), data)
    target = Dataset(Records())
    if with_target:
        target = read_target_records(config, split)
    for dataset, path, used in (
        (source, data.source_annotations, with_source),
        (target, data.target_tags, with_target),
    ):
        if used and not dataset.records:
            why = [f"{len(v)} {k}" for k, v in dataset.skipped.items()]
            why += [f"{v} {k}" for k, v in dataset.dropped.items() if v]
            raise DataError(
                f"{path}: no picture is left to train on "
                f"({', '.join(why) or 'there is none'}); `keras-wsss data "
                "verify` with the same flags says more. Of config.data, "
                "exclude_images_with_target, min_pixels and "
                "crowds_as_instances decide what is left."
            )
    _check_disjoint(source, target, split)
    unknown: dict[str, int | None] = {}
    masks = TargetMasks(target)
    if with_target and data.target_masks:
        masks = with_target_masks(target, data, split)
        target = masks.dataset
        folder = pseudo_folder(data.target_masks)
        unknown = unknown_categories(folder, split) if folder else {}
    held, kept = _parted(source.records, data.heldout)
    held_tagged, tagged = _parted(
        target.records, data.heldout_tags, none_lost=True
    )
    if with_target and not any(record.labels for record in tagged):
        raise DataError(
            f"{data.target_tags}: no picture with a tag is left to train on; "
            "hold out less of them (config.data.heldout_tags)."
        )
    # Those that nothing in a run trains on for want of a source label too.
    negatives = Records(
        record
        for record in itertools.chain(held, source.negatives)
        if set(split.target_ids) <= set(record.absent)
    )
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
        "persons_masks": {
            "pictures": masks.persons,
            "retagged": list(masks.retagged),
            "digest": masks.digest,
        },
        "never_absent": [
            split.name_of(i) for i in _never_absent((kept, tagged), split)
        ],
        "bad_pictures": [*_bad_pictures(source), *_bad_pictures(target)],
    }
    return TrainingData(
        split, kept, held, tagged, held_tagged, negatives, counts
    )


def _never_absent(parts: Sequence[Records], split: Split) -> list[int]:
    """Targets that are tags of pictures, and that no picture is known to lack.

    The tagger would learn to name them everywhere.
    """
    left = {i for part in parts for record in part for i in record.labels}
    left &= set(split.target_ids)
    for record in itertools.chain(*parts):
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
    data = data_of(config)
    return _readable(formats.read(data, split, "target"), data)


def _readable(dataset: Dataset, data) -> Dataset:
    """Without the pictures that cannot be read, where that is asked for."""
    if not data.skip_bad_images:
        return dataset
    return drop_bad_images(dataset, data.max_pixels)


def _bad_pictures(dataset: Dataset) -> list[str]:
    reasons = (MISSING, UNREADABLE)
    return [name for why in reasons for name in dataset.skipped.get(why, ())]


def _parted(
    records: Records, share: float, none_lost: bool = False
) -> tuple[Records, Records]:
    """The records that are held out, and the others.

    What a person has drawn is always trained on.

    Args:
        records: of one domain.
        share: of them that is held out.
        none_lost: hold no category out with all of its pictures.
    """
    held, kept, rare = array("q"), array("q"), []
    left: set[int] = set()
    for number, record in enumerate(records):
        if not record.trusted and _is_held_out(record, share):
            held.append(number)
        else:
            kept.append(number)
            left.update(record.labels)
    if none_lost:
        rare = [n for n in held if not left.issuperset(records[n].labels)]
    common = sorted({*held} - {*rare})
    return records.pick(common), records.pick(itertools.chain(kept, rare))


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


def build_cache(
    config,
    records: Sequence[Record],
    encoder: keras.Model,
    levels: Sequence[int],
    pictures: PictureStore,
    log,
    shard: tuple[int, int] = (0, 1),
    written: Sequence[int] = (),
    whole: bool = False,
) -> FeatureCache:
    """The feature cache of the config's folder, complete for the records.

    With several workers it is complete when all of them are done.

    Args:
        config: `cache.folder` is set.
        records: pictures.
        encoder: see `FeatureCache`.
        levels: of the encoder that are read, in any order.
        pictures: reads the pictures.
        log: called with progress lines.
        shard: (index, count) of this worker, which builds its share.
        written: levels that new entries hold too, for others who read them.
        whole: whether whole pictures alone are wanted, neither mirrored nor
            windows of them.
    """
    cache = FeatureCache(
        config.cache.folder,
        encoder,
        get_system(config.system).views(config),
        crops=config.cache.windows - 1,
        seed=0,
        levels=levels,
        written=written,
        pictures=pictures,
        check=config.cache.check,
    )
    index, count = shard
    cache.build(
        records,
        views=(0,) if whole else None,
        index=index,
        count=count,
        log=log,
    )
    return cache
