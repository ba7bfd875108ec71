"""Segments picture files: masks, overlays and a list of what was found."""

import dataclasses
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from keras_wsss.data.formats.voc import (
    CLASSES_FILE,
    read_classes,
    write_classes,
)
from keras_wsss.data.images import read_image
from keras_wsss.data.lookup import is_image_name
from keras_wsss.data.masks import write_palette_mask
from keras_wsss.drawing import Panel, draw_panel
from keras_wsss.errors import ConfigError, DataError
from keras_wsss.files import atomic_path, write_json
from keras_wsss.inference.predictor import Prediction, Predictor
from keras_wsss.systems.quality import Quality, choose_quality

PREDICTIONS_FILE = "predictions.json"
MASKS, OVERLAYS = "masks", "overlays"


@dataclasses.dataclass(frozen=True)
class Picture:
    """A file to segment.

    Attributes:
        path: where it lies.
        name: what its outputs are called, without ending; unique, and with
            folders where it was found in sub-folders.
    """

    path: Path
    name: str


def find_pictures(
    inputs: Sequence[str | Path], out: str | Path
) -> tuple[list[Picture], int]:
    """Lists the pictures to segment, with a name of their own for each.

    Folders are walked in sorted order; hidden files and `out` are left out,
    as are files that are no pictures by their names' endings. A file that is
    named itself is always taken. One that is met twice is taken once. Of two
    with the same name, the second gets `_2`.

    Args:
        inputs: files and folders.
        out: the folder that outputs go to.

    Returns:
        The pictures, and how many files of folders were passed over.

    Raises:
        ConfigError: there is none, or an input does not exist.
    """
    pictures: list[Picture] = []
    taken: set[str] = set()
    seen: set[Path] = set()
    passed = 0
    for given in map(Path, inputs):
        if not given.exists():
            raise ConfigError(f"{given}: no such file or folder.")
        if given.is_dir():
            found = list(_walk(given, _real(out)))
            files = [p for p in found if is_image_name(p)]
            passed += len(found) - len(files)
            names = [p.relative_to(given).with_suffix("") for p in files]
        else:
            files, names = [given], [Path(given.stem)]
        for path, name in zip(files, names, strict=True):
            if _real(path) in seen:
                continue
            seen.add(_real(path))
            pictures.append(Picture(path, _unique(name.as_posix(), taken)))
    if not pictures:
        raise ConfigError(
            f"There is no JPEG or PNG file in {', '.join(map(str, inputs))}."
        )
    return pictures, passed


def _real(path: str | Path) -> Path:
    # Not Path.resolve, which raises RuntimeError where links go in circles.
    return Path(os.path.realpath(path))


def _walk(folder: Path, out: Path) -> Iterator[Path]:
    """The visible files of a folder and those below, sorted."""
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and _real(Path(parent) / name) != out
        )
        for name in sorted(files):
            if not name.startswith("."):
                yield Path(parent) / name


def _unique(name: str, taken: set[str]) -> str:
    candidate, number = name, 1
    # Some file systems do not tell A from a.
    while candidate.lower() in taken:
        number += 1
        candidate = f"{name}_{number}"
    taken.add(candidate.lower())
    return candidate


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of all pictures.

    Attributes:
        written: how many have a mask now.
        failures: one sentence for each that could not be read.
    """

    written: int
    failures: tuple[str, ...]


def predict_files(
    predictor: Predictor,
    pictures: Iterable[Picture],
    out: str | Path,
    *,
    tags: Sequence[str | int] | None = None,
    quality: Quality | None = None,
    log: Callable[[str], None] = print,
) -> Outcome:
    """Segments pictures one by one, in constant memory.

    Writes `masks/NAME.png`, palette indices at the picture's own size,
    upright; `overlays/NAME.jpg`; `classes.txt`, the names of these indices;
    and `predictions.json`, last. A picture
    that cannot be read is reported and left out, the others go on.

    Args:
        predictor: a trained network.
        pictures: from `find_pictures`.
        out: folder, made when missing; files of the same names are replaced.
        tags: what is in every picture; None asks the tagger for each.
        quality: what is done for each; None is what `choose_quality` says
            of the network.
        log: takes a sentence about every picture that failed.

    Raises:
        ConfigError: an unknown tag, a CRF that the network has not, or
            `out` holds masks of other categories; before anything is
            written.
    """
    if quality is None:
        quality = choose_quality(predictor.steps)
    if quality.own_crf:
        predictor.steps.check_crf()

    def predict(image: np.ndarray) -> Prediction:
        return predictor.predict(image, ids, quality)

    out = Path(out)
    ids = None if tags is None else predictor.tag_ids(tags)
    _name_indices(out, predictor.split.categories)
    entries, failures = [], []
    for picture in pictures:
        try:
            entries.append(_predict(predictor, picture, out, predict))
        except DataError as error:
            text = str(error)
            if str(picture.path) not in text:
                text = f"{picture.path}: {text}"
            failures.append({"image": str(picture.path), "error": text})
            log(text)
    write_json(
        out / PREDICTIONS_FILE,
        {
            "categories": {
                str(number): name
                for number, name in enumerate(
                    predictor.split.categories, start=1
                )
            },
            "options": {
                "tags": None if tags is None else list(tags),
                "views": [dataclasses.asdict(view) for view in quality.views],
                "refine": quality.refine,
                "crf": quality.own_crf,
            },
            "pictures": entries,
            "failures": failures,
        },
    )
    return Outcome(len(entries), tuple(f["error"] for f in failures))


def _name_indices(out: Path, names: Sequence[str]) -> None:
    """Writes what the indices mean; masks that are there must mean the same."""
    if (out / CLASSES_FILE).exists() and read_classes(out) != tuple(names):
        raise ConfigError(
            f"{out / CLASSES_FILE}: the masks there are of other categories, "
            "or in another order; give another --out."
        )
    write_classes(out, names)


def _predict(
    predictor: Predictor,
    picture: Picture,
    out: Path,
    predict: Callable[[np.ndarray], Prediction],
) -> dict[str, Any]:
    """Writes the files of one picture; its entry in `predictions.json`."""
    image = read_image(picture.path, predictor.config.data.max_pixels)
    prediction = predict(image)
    mask_file = f"{MASKS}/{picture.name}.png"
    overlay_file = f"{OVERLAYS}/{picture.name}.jpg"
    write_palette_mask(out / mask_file, prediction.mask)
    with atomic_path(out / overlay_file) as temporary:
        drawn = draw_panel(image, Panel("mask", mask=prediction.mask))
        Image.fromarray(drawn).save(temporary, format="JPEG", quality=90)
    split = predictor.split
    counts = np.bincount(prediction.mask.ravel(), minlength=256)
    return {
        "image": str(picture.path),
        "height": image.shape[0],
        "width": image.shape[1],
        "mask": mask_file,
        "overlay": overlay_file,
        "tags": [split.name_of(i) for i in prediction.tags],
        # Of the mask's area, 0 to 1.
        "area": {
            split.name_of(i): _rounded(counts[i] / prediction.mask.size)
            for i in prediction.tags
        },
        # The tagger's probabilities, 0 to 1.
        "scores": {
            split.name_of(i): _rounded(prediction.tag_scores[i - 1])
            for i in split.scored_ids
        },
    }


def _rounded(value: float) -> float:
    return round(float(value), 5)
