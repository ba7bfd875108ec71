"""Writes the masks that a model gives to tagged training pictures."""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_wsss.categories import IGNORE
from keras_wsss.config import to_json
from keras_wsss.data.encodings import Encodings
from keras_wsss.data.formats.voc import write_classes
from keras_wsss.data.images import read_image
from keras_wsss.data.masks import read_palette_mask, write_palette_mask
from keras_wsss.data.pictures import PictureStore
from keras_wsss.data.pseudo_masks import (
    MANIFEST,
    MASKS,
    mask_path,
    read_manifest,
)
from keras_wsss.data.records import Record, Records
from keras_wsss.data.twins import alike_names
from keras_wsss.data.writers import check_writers, write_formats
from keras_wsss.data.writers.writer import LabelledPicture, WriterOptions
from keras_wsss.errors import ConfigError, DataError
from keras_wsss.files import write_json, write_text
from keras_wsss.inference.many_pictures import ManyPictures, Request
from keras_wsss.inference.mask_notes import MaskNote, make_note, read_note
from keras_wsss.inference.one_picture import Encoded
from keras_wsss.inference.prediction import Prediction
from keras_wsss.inference.predictor import Predictor
from keras_wsss.inference.shards import Shard
from keras_wsss.progress import progress
from keras_wsss.run_folder import CHECKPOINT_FOLDERS, weights_digest
from keras_wsss.strips import count_values, strips
from keras_wsss.systems.quality import Quality, choose_quality
from keras_wsss.training.inputs import build_cache, read_target_records


@dataclasses.dataclass(frozen=True)
class PseudoLabelOptions:
    """What decides the masks besides the model.

    Attributes:
        quality: what is done for a picture.
        margin: pixels whose highest probability is closer than this to the
            threshold are ignore (255).
    """

    quality: Quality
    margin: float

    def to_dict(self) -> dict[str, Any]:
        """JSON values that tell these settings from others."""
        tiling = self.quality.tiling
        return {
            "views": [[v.scale, v.mirror] for v in self.quality.views],
            "refine": self.quality.refine,
            "own_crf": self.quality.own_crf,
            "margin": self.margin,
            **({"tiling": dataclasses.asdict(tiling)} if tiling else {}),
        }


def pseudo_labels(
    workdir: str | Path,
    out: str | Path,
    *,
    checkpoint: str = "last",
    compute_dtype: str | None = None,
    feature_cache: str | None = None,
    max_pixels: int | None = None,
    augment: bool | None = None,
    refine: bool | None = None,
    own_crf: bool | None = None,
    tile: int | None = None,
    tile_overlap: float | None = None,
    formats: Sequence[str] = ("png",),
    options: WriterOptions | None = None,
    shard: Shard | None = None,
    batch: int | None = None,
    log: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Masks of a run's own tagged target pictures, by their tags.

    Args:
        workdir: run folder of a training.
        out: folder that the masks go to; goes on where it stopped.
        checkpoint: "last", or "best" on held-out source masks.
        compute_dtype: see `Predictor.from_workdir`.
        feature_cache: folder of encoder outputs; that of the run's config if
            None, "" for none.
        max_pixels: largest width times height of a picture; None keeps the
            run's.
        augment: test-time augmentation; None as `choose_quality` says.
        refine: masks that follow the picture; likewise.
        own_crf: the network's own CRF; likewise.
        tile: side of tiles of larger pictures, see `choose_quality`; the
            cache, which holds whole pictures, is then of no use.
        tile_overlap: likewise.
        formats: names of writers, see `keras_wsss.data.writers`.
        options: what these are told.
        shard: which share of the pictures is done; all if None.
        batch: pictures that the encoder takes at once, see `ManyPictures`.
        log: takes lines about what is done.

    Returns:
        Content of the manifest, see `write_pseudo_labels`.

    Raises:
        ConfigError: not a run, a cache for a network without frozen encoder,
            or as `write_pseudo_labels` says.
        DataError: a picture or checkpoint that cannot be read.
    """
    predictor = Predictor.from_workdir(
        workdir,
        max_pixels=max_pixels,
        checkpoint=checkpoint,
        compute_dtype=compute_dtype,
    )
    config = predictor.config
    records = read_target_records(config, predictor.split).records
    settings = PseudoLabelOptions(
        choose_quality(
            predictor.steps, augment, refine, own_crf, tile, tile_overlap
        ),
        config.inference.pseudo_margin,
    )
    if tile is not None:
        config = config.replace({"cache.folder": ""})
    elif feature_cache is not None:
        config = config.replace({"cache.folder": feature_cache})
    cache = None
    if config.cache.folder and not predictor.net.frozen_parts:
        raise ConfigError(
            "--feature_cache: this run has no frozen encoder, so nothing can "
            "be kept of it; give --feature_cache=''."
        )
    if config.cache.folder:
        cache = build_cache(
            config,
            records,
            predictor.net.encoder,
            predictor.net.used_levels,
            PictureStore(config.data.max_pixels, config.data.memory_mb),
            log,
        )
    made_by = {
        "weights": weights_digest(workdir, CHECKPOINT_FOLDERS[checkpoint]),
        **settings.to_dict(),
        "inference": to_json(config.inference),
    }
    return write_pseudo_labels(
        predictor,
        records,
        Path(out),
        settings,
        made_by,
        cache,
        lambda items: progress(items, "writing masks"),
        formats,
        options,
        shard,
        batch,
    )


def write_pseudo_labels(
    predictor: Predictor,
    records: Iterable[Record],
    out: Path,
    settings: PseudoLabelOptions,
    made_by: dict[str, Any],
    cache: Encodings | None = None,
    watch: Callable[[Iterable[Any]], Iterable[Any]] = lambda items: items,
    formats: Sequence[str] = ("png",),
    options: WriterOptions | None = None,
    shard: Shard | None = None,
    batch: int | None = None,
) -> dict[str, Any]:
    """Writes a palette PNG for every picture; goes on where it stopped.

    A picture is asked for its own tags only; no true mask is read.

    Args:
        predictor: a trained network.
        records: pictures with tags.
        out: folder, see `keras_wsss.data.pseudo_masks`.
        settings: what decides the masks besides the model.
        made_by: JSON values that identify model and settings; a folder begun
            with others is refused.
        cache: encoder outputs of the pictures, whole and mirrored; spares
            the encoder.
        watch: wraps the records, e.g. to show progress.
        formats: names of writers, see `keras_wsss.data.writers`, that get
            the masks too.
        options: what these are told.
        shard: which share of the pictures is done. Manifest, list and formats
            are then of this share and go to its own folder in `out`, which
            is complete once this was called for all pictures.
        batch: pictures that the encoder takes at once, see `ManyPictures`.

    Returns:
        Content of the manifest: "pictures", "written" now, "pixels" and
        "pictures_with" of every category, "ignored" share.

    Raises:
        ConfigError: `out` holds pseudo labels made otherwise, the cache
            lacks a view, or what a format refuses.
        DataError: a picture cannot be read, or two have one name.
    """
    options = options or WriterOptions()
    records = Records.of(records)
    names = predictor.split.categories
    _refuse_same_names(records)
    check_writers(formats, [_file_name(r) for r in records], names, options)
    views = settings.quality.views
    if cache is not None and any(view.scale != 1.0 for view in views):
        raise ConfigError(
            "A feature cache holds one scale; set config.inference.scales to "
            "(1.0,), or give --noaugment or --feature_cache=''."
        )
    mirrored = any(view.mirror for view in views)
    if mirrored and cache is not None and not cache.views.mirror:
        raise ConfigError(
            "The feature cache of a run with image.mirror=False holds no "
            "mirrored views; give --noaugment or --feature_cache=''."
        )
    limit = predictor.config.data.max_pixels
    lists = out
    if shard is not None:
        records = records.where(lambda r: shard.has(r.image_id))
        lists = out / shard.folder
    _begin(out, made_by, predictor, shard)
    work = _Work(predictor, out, settings, cache)
    many = ManyPictures(
        predictor, settings.quality, work.read, work.finish, batch=batch
    )
    missing = records.where(lambda record: _is_missing(record, out))
    written = sum(1 for _ in many.run(watch(missing)))
    write_text(
        lists / "ImageSets" / "Segmentation" / "train.txt",
        "".join(f"{record.image_id}\n" for record in records),
    )
    write_formats(
        formats,
        lambda: (_labelled(record, out, limit) for record in records),
        lists,
        names,
        options,
    )
    manifest = {
        "complete": True,
        "made_by": made_by,
        "written": written,
        **_counts(predictor, records, out),
    }
    write_json(lists / MANIFEST, manifest)
    return manifest


def _refuse_same_names(records: Records) -> None:
    """Two pictures must not share a mask, on any file system."""
    for record, other in alike_names(records):
        raise DataError(
            f"{record.image_path}: its mask would have the name of that of "
            f"{other.image_path}; rename one of the pictures."
        )


def _file_name(record: Record) -> str:
    """The picture's name below the folder of tagged pictures."""
    return record.image_id + record.image_path.suffix


def _is_missing(record: Record, out: Path) -> bool:
    """Whether there is no mask of its tags; files are complete or absent."""
    note = read_note(mask_path(out, record.image_id))
    return note is None or note.tags != record.labels


def _labelled(record: Record, out: Path, limit: int) -> LabelledPicture:
    """A picture with the mask that is there, of `limit` pixels at most."""
    path = mask_path(out, record.image_id)
    note = read_note(path)
    return LabelledPicture(
        record.image_id,
        _file_name(record),
        record.image_path,
        read_palette_mask(path, limit),
        record.labels,
        note.scores if note else {},
    )


def _begin(
    out: Path,
    made_by: dict[str, Any],
    predictor: Predictor,
    shard: Shard | None,
) -> None:
    begun = (out / MANIFEST).exists()
    if begun:
        found = read_manifest(out).get("made_by")
        if found != made_by:
            raise ConfigError(
                f"{out}: holds pseudo labels of another model or with other "
                "settings; give another --out or remove the folder."
            )
    elif (out / MASKS).exists():
        raise ConfigError(
            f"{out}: holds {MASKS} that were not written here; give another "
            "--out."
        )
    if not (begun and shard):  # a share that is done again takes nothing away
        write_json(out / MANIFEST, {"complete": False, "made_by": made_by})
    # Every category, so that a mask index is the id in the split.
    write_classes(out, predictor.split.categories)


class _Work:
    """Masks of records, from the picture to the file.

    Args:
        predictor: a trained network.
        out: folder of the masks.
        settings: what decides the masks besides the model.
        cache: encoder outputs of the pictures.
    """

    def __init__(
        self,
        predictor: Predictor,
        out: Path,
        settings: PseudoLabelOptions,
        cache: Encodings | None,
    ):
        self._predictor, self._out = predictor, out
        self._settings, self._cache = settings, cache

    def read(self, record: Record) -> Request:
        """The picture, asked for its own tags."""
        config = self._predictor.config
        image = read_image(record.image_path, config.data.max_pixels)
        if not record.labels:  # none of the categories
            return Request(note=np.zeros(image.shape[:2], np.uint8))
        if self._cache is None:
            return Request(image, record.labels)
        encoded = {
            view: Encoded(
                *self._predictor.steps.from_cache(
                    self._cache.read(record, int(view.mirror))
                )
            )
            for view in self._settings.quality.views
        }
        return Request(image, record.labels, encoded)

    def finish(
        self, record: Record, request: Request, prediction: Prediction | None
    ) -> None:
        """Writes uint8 [H, W]: ids of the picture's tags, 0 and 255."""
        if prediction is None:
            mask, note = request.note, MaskNote("", (), (), {})
        else:
            threshold = self._predictor.config.inference.mask_threshold
            mask, highest = prediction.mask.copy(), prediction.highest()
            for rows in strips(*mask.shape):
                unsure = np.abs(highest[rows] - threshold)
                mask[rows][unsure < self._settings.margin] = IGNORE
            note = make_note(prediction, mask, "")
        path = mask_path(self._out, record.image_id)
        write_palette_mask(path, mask, note.to_dict())


def _counts(
    predictor: Predictor, records: Records, out: Path
) -> dict[str, Any]:
    limit = predictor.config.data.max_pixels
    pixels = np.zeros(256, np.int64)
    shown = np.zeros(256, np.int64)
    for record in records:
        counts = count_values(
            read_palette_mask(mask_path(out, record.image_id), limit)
        )
        pixels += counts
        shown += counts > 0
    names = predictor.split.categories
    return {
        "pictures": len(records),
        "pixels": {
            "background": int(pixels[0]),
            **{
                name: int(pixels[i])
                for i, name in enumerate(names, start=1)
                if pixels[i]
            },
        },
        "pictures_with": {
            name: int(shown[i])
            for i, name in enumerate(names, start=1)
            if shown[i]
        },
        "ignored": float(pixels[IGNORE] / max(1, pixels.sum())),
    }
