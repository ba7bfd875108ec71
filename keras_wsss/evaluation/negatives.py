"""What a network finds where there is nothing to find."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from keras_wsss.errors import ConfigError
from keras_wsss.inference.predict_files import find_pictures
from keras_wsss.inference.predictor import Predictor
from keras_wsss.progress import progress
from keras_wsss.run_folder import HELDOUT_FILE
from keras_wsss.systems.quality import Quality, choose_quality


class FalsePositives:
    """Counts masks of pictures that hold no scored category.

    Args:
        of: which pictures these are, for tables.
    """

    def __init__(self, of: str):
        self.of = of
        self.pictures = self.with_mask = 0
        self._shares: list[float] = []

    def add(self, mask: np.ndarray) -> None:
        """Adds the mask of one picture, uint8 [H, W]; 0 is background."""
        share = float(np.mean(mask > 0))
        self.pictures += 1
        self.with_mask += share > 0
        self._shares.append(share)

    def result(self) -> dict:
        """Plain values: "of", "pictures", "with_mask", how many of them have
        a mask, and "share", the mean share of their pixels that it covers."""
        return {
            "of": self.of,
            "pictures": self.pictures,
            "with_mask": int(self.with_mask),
            "share": float(np.mean(self._shares)) if self._shares else None,
        }


def score_negatives(
    predictor: Predictor,
    pictures: Mapping[str, Sequence[Path]],
    quality: Quality | None = None,
    limit: int = 500,
) -> list[dict]:
    """Asks for the masks of pictures that hold no scored category.

    Args:
        predictor: a trained network; its tagger is asked.
        pictures: heading -> files.
        quality: of the masks; the default if None.
        limit: pictures of each heading at most, the first ones.

    Returns:
        What `FalsePositives.result` gives, for each heading with a picture.

    Raises:
        DataError: a picture that cannot be read.
    """
    quality = quality or choose_quality(predictor.steps)
    found = []
    for heading, paths in pictures.items():
        counts = FalsePositives(heading)
        for path in progress(paths[:limit], f"looking at {heading}"):
            counts.add(predictor.predict(path, None, quality).mask)
        if counts.pictures:
            found.append(counts.result())
    return found


def known_negatives(
    run: Path, folder: str | None, log: Callable[[str], None] = print
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
