"""Writes a trained run as a SavedModel for TensorFlow Serving."""

import dataclasses
import itertools
import os
import platform
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from keras_wsss import __version__
from keras_wsss.data.images import open_regular
from keras_wsss.data.lookup import is_image_name
from keras_wsss.errors import ConfigError
from keras_wsss.files import atomic_folder, write_json
from keras_wsss.inference.predictor import Predictor
from keras_wsss.serving.check import CheckResult, check_export, sample_files
from keras_wsss.serving.manifest import verify_manifest, write_manifest
from keras_wsss.serving.options import ServingOptions
from keras_wsss.serving.signatures import ServingModule
from keras_wsss.serving.warmup import Request, write_warmup
from keras_wsss.systems.quality import choose_quality

CATEGORIES_FILE = "assets.extra/categories.json"
CHECKED_PICTURES = 3  # real ones, where the run's pictures are still there


def export_model(
    predictor: Predictor,
    out: Path,
    options: ServingOptions,
    check_images: Sequence[Path] = (),
    log: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Writes, checks and only then names a version of a served model.

    Everything happens in a hidden folder beside `out`, which is renamed at
    the end: TensorFlow Serving, which watches for new numbers, never sees
    half a model.

    Args:
        predictor: a trained network.
        out: `MODEL/N`; N is the version, a whole number from 1.
        options: limits and quality.
        check_images: pictures to compare on; when empty, some of the run's
            target pictures, if they are there.
        log: takes lines about what was done.

    Returns:
        The manifest.

    Raises:
        ConfigError: no version number, or one that exists.
        DataError: the export does not answer as the predictor does.
    """
    check_version(out)
    known = check_images or known_pictures(predictor, CHECKED_PICTURES)
    pictures = [read_file(path) for path in known]
    # The manifest says what was served, not that nothing was said.
    quality = options.quality or choose_quality(predictor.steps)
    options = dataclasses.replace(options, quality=quality)
    with atomic_folder(out) as folder:
        module = ServingModule(predictor.steps, options)
        tf.saved_model.save(
            module,
            str(folder),
            signatures=module.signatures(),
            options=tf.saved_model.SaveOptions(
                experimental_custom_gradients=False
            ),
        )
        result = check_export(folder, predictor, options, pictures)
        log(
            f"Checked in a fresh process without keras_wsss: {result.masks} "
            f"masks ({len(pictures)} of pictures, the others generated), at "
            f"most {result.most_different:.3%} of a mask's pixels and "
            f"{result.score_difference:.1g} of a score differ."
        )
        write_warmup(folder, warmup_requests(predictor))
        categories = dict(enumerate(predictor.split.categories, start=1))
        write_json(folder / CATEGORIES_FILE, categories)
        write_manifest(folder, _about(predictor, options, result))
    return verify_manifest(out)


def export_run(
    workdir: str | Path,
    out: str | Path,
    *,
    checkpoint: str = "last",
    compute_dtype: str | None = None,
    max_pixels: int = ServingOptions.max_pixels,
    max_tags: int = ServingOptions.max_tags,
    max_batch: int = ServingOptions.max_batch,
    check_images: Sequence[Path] = (),
    augment: bool | None = None,
    refine: bool | None = None,
    own_crf: bool | None = None,
    log: Callable[[str], None] = print,
) -> dict[str, Any]:
    """`export_model` of a run folder.

    Args:
        workdir: run folder of a training.
        out: `MODEL/N`, as for `export_model`.
        checkpoint: "last", or "best" on held-out source masks.
        compute_dtype: see `Predictor.from_workdir`.
        max_pixels: largest width times height of a picture.
        max_tags: most tags of a picture.
        max_batch: most pictures of a request.
        check_images: as for `export_model`.
        augment: test-time augmentation; None as `choose_quality` says.
        refine: masks that follow the picture; likewise.
        own_crf: the network's own CRF; likewise.
        log: takes lines about what was done.

    Returns:
        The manifest.

    Raises:
        ConfigError: not a run, no version number, or one that exists.
        DataError: the export does not answer as the predictor does.
    """
    out = Path(out)
    check_version(out)
    predictor = Predictor.from_workdir(
        workdir, checkpoint=checkpoint, compute_dtype=compute_dtype
    )
    quality = choose_quality(predictor.steps, augment, refine, own_crf)
    options = ServingOptions(
        max_pixels=max_pixels,
        max_tags=max_tags,
        max_batch=max_batch,
        quality=quality,
    )
    return export_model(predictor, out, options, check_images, log)


def check_version(out: Path) -> None:
    """Raises `ConfigError` unless `out` can become a new version."""
    if not (out.name.isdecimal() and int(out.name) > 0):
        raise ConfigError(
            f"--out {out}: it must end in a version number, such as "
            f"{out / '1'}; TensorFlow Serving takes the highest one."
        )
    if found := set(str(out.absolute())) & set("[]*?"):
        raise ConfigError(
            f"--out {out}: TensorFlow takes {' '.join(sorted(found))} in a "
            "path for a pattern; give one without."
        )
    if out.exists():
        raise ConfigError(
            f"--out {out} exists; versions are not replaced, take the next "
            "number."
        )


def warmup_requests(predictor: Predictor) -> list[Request]:
    """Requests that touch every signature, on generated pictures."""
    files = np.array(sample_files(), object)
    tags = np.array(["", predictor.split.scored[0], ""], object)
    images = np.zeros((1, 120, 160, 3), np.uint8)
    return [
        Request("serving_default", {"image_bytes": files}),
        Request("with_tags", {"image_bytes": files, "tags": tags}),
        Request("png", {"image_bytes": files, "tags": tags}),
        Request("tensors", {"images": images, "tags": tags[:1]}),
    ]


def _about(
    predictor: Predictor, options: ServingOptions, result: CheckResult
) -> dict[str, Any]:
    return {
        "config": predictor.config.name,
        "split": predictor.split.name,
        "categories": list(predictor.split.categories),
        "scored": list(predictor.split.scored),
        "options": dataclasses.asdict(options),
        "rule": predictor.steps.rule.to_dict(),
        "compute_dtype": predictor.net.compute_dtype,
        "check": dataclasses.asdict(result),
        "versions": {
            "keras_wsss": __version__,
            "tensorflow": tf.__version__,
            "python": platform.python_version(),
        },
    }


def known_pictures(predictor: Predictor, count: int) -> list[Path]:
    """The first of the run's target pictures, in sub-folders too.

    None if they are no longer there.
    """
    folder = predictor.config.data.target_images
    pictures = _pictures_below(Path(folder)) if folder else iter(())
    return list(itertools.islice(pictures, count))


def _pictures_below(root: Path) -> Iterator[Path]:
    """Pictures below a folder in sorted order, without hidden ones."""
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(n for n in folders if not n.startswith("."))
        for name in sorted(names):
            if is_image_name(name) and not name.startswith("."):
                yield Path(folder, name)


def read_file(path: Path) -> bytes:
    """The content of a plain file."""
    with open_regular(path) as file:
        return file.read()
