"""Scores without masks: the tagger, and what is found where nothing is."""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from keras_wsss.categories import Split
from keras_wsss.data.images import read_image
from keras_wsss.errors import ConfigError, DataError
from keras_wsss.evaluation.report.pictures import (
    TAGS_RIGHT,
    Album,
    share_of_tags,
)
from keras_wsss.inference.many_pictures import ManyPictures, Request
from keras_wsss.inference.predict_files import find_pictures
from keras_wsss.inference.prediction import Prediction
from keras_wsss.inference.predictor import Predictor
from keras_wsss.progress import progress
from keras_wsss.run_folder import HELDOUT_FILE
from keras_wsss.systems.quality import Quality, choose_quality
from keras_wsss.tagging import tag_scores

_Item = TypeVar("_Item")
_MOST = 500  # pictures without a category that are looked at, of each heading


class FalsePositives:
    """Counts masks of pictures that hold no scored category.

    Args:
        of: which pictures these are, for tables.
    """

    def __init__(self, of: str):
        self.of = of
        self.shares: list[float] = []  # of the pixels of each picture

    def add(self, mask: np.ndarray) -> None:
        """Adds the mask of one picture, uint8 [H, W]; 0 is background."""
        self.shares.append(float(np.mean(mask > 0)))

    def result(self) -> dict:
        """Plain values: "of", "pictures", "with_mask", how many of them have
        a mask, and "share", the mean share of their pixels that it covers."""
        count = len(self.shares)
        # The exact sum, whatever the order.
        total = math.fsum(self.shares)
        return {
            "of": self.of,
            "pictures": count,
            "with_mask": sum(share > 0 for share in self.shares),
            "share": total / count if count else None,
        }


def score_negatives(
    predictor: Predictor,
    pictures: Mapping[str, Sequence[Path]],
    quality: Quality | None = None,
) -> list[dict]:
    """Asks for the masks of pictures that hold no scored category.

    Args:
        predictor: a trained network; its tagger is asked.
        pictures: heading -> files, of which the first 500 are looked at.
        quality: of the masks; the default if None.

    Returns:
        What `FalsePositives.result` gives, for each heading with a picture.

    Raises:
        DataError: a picture that cannot be read.
    """
    quality = quality or choose_quality(predictor.steps)
    found = []
    for heading, paths in pictures.items():
        counts = FalsePositives(heading)
        chosen = progress(paths[:_MOST], f"looking at {heading}")
        for _, prediction in _predictions(predictor, quality, chosen, Path):
            counts.add(prediction.mask)
        if counts.shares:
            found.append(counts.result())
    return found


def known_negatives(
    run: Path, folder: str | Path | None, log: Callable[[str], None] = print
) -> dict[str, list[Path]]:
    """The pictures that are known to hold no scored category.

    Args:
        run: a run folder; the pictures without a target category that it
            held out of training are taken, if they are still there.
        folder: a user's own folder of such pictures, or empty; the pictures
            of each folder in it are counted for themselves.
        log: takes a line about pictures that are not there any more.

    Raises:
        ConfigError: the folder holds no picture.
    """
    found: dict[str, list[Path]] = {}
    if folder:
        for picture in find_pictures([folder], run)[0]:
            found.setdefault(str(picture.path.parent), []).append(picture.path)
    listed = [Path(path) for path in read_heldout(run)["negatives"]]
    there = [path for path in listed if path.is_file()]
    if len(there) < len(listed):
        log(
            f"{len(listed) - len(there)} of {len(listed)} held-out pictures "
            f"without a target category are not there any more, such as "
            f"{next(path for path in listed if path not in there)}."
        )
    found["source pictures held out of training"] = there
    return found


def read_heldout(run: Path) -> dict:
    """The pictures that a run held out, see `heldout_lists`.

    Returns:
        "tagged" and "negatives", empty for runs of earlier versions.

    Raises:
        ConfigError: the file is damaged.
    """
    path = run / HELDOUT_FILE
    if not path.exists():
        return {"tagged": [], "negatives": []}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {key: list(found[key]) for key in ("tagged", "negatives")}
    except (KeyError, OSError, RecursionError, TypeError, ValueError) as error:
        raise ConfigError(
            f"{path}: cannot be read ({error}); restore it or remove it."
        ) from error


def evaluate_tagged(
    predictor: Predictor,
    pictures: Sequence[dict],
    quality: Quality | None = None,
    album: Album | None = None,
) -> dict:
    """Scores the tagger, and shows masks that nobody has drawn.

    Args:
        predictor: a trained network.
        pictures: "tagged" of `heldout_lists`: files, labels and what is
            unknown of each.
        quality: of the masks and of the tagger's scores; the default if None.
        album: collects small pictures for the report.

    Returns:
        Plain values, as `evaluate`: "rows" is empty, as no mask is known;
        "tagging", "pictures", "default" and "truth", which is "tags".

    Raises:
        DataError: no picture, or one that cannot be read.
    """
    split = predictor.split
    default = choose_quality(predictor.steps)
    quality = quality or default
    there = [entry for entry in pictures if Path(entry["image"]).is_file()]
    if not there:
        raise DataError(
            f"None of the {len(pictures)} held-out tagged pictures is there, "
            f"such as {pictures[0]['image']}; evaluate in the folder in which "
            "the run was trained, or put the pictures back."
        )
    columns = np.array(split.scored_ids)
    truth, known, scores = [], [], []
    right: dict[str, dict[str, float]] = {}
    way = f"predicted {quality.name}"
    empty = FalsePositives("tagged pictures held out of training")
    for entry, found in _predictions(
        predictor,
        quality,
        progress(there, "evaluating"),
        lambda entry: Path(entry["image"]),
    ):
        labels, unknown = (_ids(split, entry[k]) for k in ("labels", "unknown"))
        truth.append(np.isin(columns, labels))
        known.append(~np.isin(columns, unknown))
        scores.append(found.tag_scores[columns - 1])
        if known[-1].all() and not truth[-1].any():
            empty.add(found.mask)
        tags = [i for i in labels if i in split.scored_ids]
        name = Path(entry["image"]).stem
        right[name] = {way: share_of_tags(tags, found.tags)}
        if album is not None:
            album.add_tagged(
                name,
                found.image,
                tags,
                found.tags,
                found.tag_scores,
                {way: found.mask},
            )
    names = [split.name_of(i) for i in split.scored_ids]
    warning = predictor.warning
    return {
        **({"warning": warning} if warning else {}),
        "truth": "tags",
        "rows": [],
        "default": default.name,
        "mask_updates": predictor.mask_updates,
        "tagging": {
            "views": Quality(quality.views).name,
            **tag_scores(
                np.array(truth),
                np.array(scores),
                names,
                predictor.steps.rule,
                np.array(known),
            ),
        },
        "pictures": len(there),
        "per_picture": {"measure": TAGS_RIGHT, "first": way, "scores": right},
        "without": [empty.result()] if empty.shares else [],
        "left_out": {"not there any more": len(pictures) - len(there)},
    }


def _ids(split: Split, names: Sequence[str]) -> list[int]:
    """Ids of names; a run's own lists name nothing that its split lacks."""
    return [i for i in map(split.find, names) if i is not None]


def _predictions(
    predictor: Predictor,
    quality: Quality,
    items: Iterable[_Item],
    path_of: Callable[[_Item], Path],
) -> Iterator[tuple[_Item, Prediction]]:
    """Every item with what is said of its picture, by the tagger's tags."""
    limit = predictor.config.data.max_pixels
    many: ManyPictures[_Item, Any] = ManyPictures(
        predictor,
        quality,
        lambda item: Request(read_image(path_of(item), limit)),
        lambda item, request, found: (item, found),
    )
    return many.run(items)
