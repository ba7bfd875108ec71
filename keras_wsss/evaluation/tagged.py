"""Scores a predictor on pictures of which only the tags are known."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keras_wsss.categories import Split
from keras_wsss.data.images import read_image
from keras_wsss.errors import DataError
from keras_wsss.evaluation.negatives import FalsePositives
from keras_wsss.evaluation.report.pictures import Album
from keras_wsss.inference.predictor import Predictor
from keras_wsss.progress import progress
from keras_wsss.systems.quality import Quality, choose_quality
from keras_wsss.tagging import tag_scores


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
    split, limit = predictor.split, predictor.config.data.max_pixels
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
    empty = FalsePositives("tagged pictures held out of training")
    for entry in progress(there, "evaluating"):
        image = read_image(Path(entry["image"]), limit)
        found = predictor.predict(image, None, quality)
        labels, unknown = (_ids(split, entry[k]) for k in ("labels", "unknown"))
        truth.append(np.isin(columns, labels))
        known.append(~np.isin(columns, unknown))
        scores.append(found.tag_scores[columns - 1])
        if known[-1].all() and not truth[-1].any():
            empty.add(found.mask)
        if album is not None:
            album.add_tagged(
                Path(entry["image"]).stem,
                image,
                [i for i in labels if i in split.scored_ids],
                {i: float(found.tag_scores[i - 1]) for i in found.tags},
                {f"predicted {quality.name}": found.mask},
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
        "without": [empty.result()] if empty.pictures else [],
        "left_out": {"not there any more": len(pictures) - len(there)},
    }


def _ids(split: Split, names: Sequence[str]) -> list[int]:
    """Ids of names; a run's own lists name nothing that its split lacks."""
    return [i for i in map(split.find, names) if i is not None]
