"""What is kept with a mask: how sure it is, and what it was made of."""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from keras_wsss.data.masks import read_mask_note
from keras_wsss.inference.prediction import Prediction, region_scores


@dataclasses.dataclass(frozen=True)
class MaskNote:
    """What the file of a mask says of it.

    Attributes:
        made_of: digest of all that decides the mask; "" if nobody knows.
        tags: ids of the categories looked for, ascending.
        tag_scores: the tagger's probability of id 1, 2, ...
        scores: id -> confidence of its region, 0 to 1.
    """

    made_of: str
    tags: tuple[int, ...]
    tag_scores: tuple[float, ...]
    scores: dict[int, float]

    def to_dict(self) -> dict[str, Any]:
        """JSON values for `write_palette_mask`."""
        return dataclasses.asdict(self)


def digest(values: Any) -> str:
    """Digest of JSON values that together decide a mask."""
    text = json.dumps(values, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def digest_of_bytes(data: bytes) -> str:
    """Digest of a file's content."""
    return hashlib.sha256(data).hexdigest()


def make_note(
    prediction: Prediction, mask: np.ndarray, made_of: str
) -> MaskNote:
    """The note of a mask.

    Args:
        prediction: what the network says.
        mask: uint8 [H, W], what of it is kept.
        made_of: see `MaskNote`.
    """
    tag_scores = tuple(rounded(score) for score in prediction.tag_scores)
    scores = region_scores(prediction, mask)
    return MaskNote(made_of, prediction.tags, tag_scores, scores)


def read_note(path: Path) -> MaskNote | None:
    """The note of a mask file; None if it has none."""
    values = read_mask_note(path) if path.is_file() else None
    if values is None:
        return None
    try:
        return MaskNote(
            str(values["made_of"]),
            tuple(map(int, values["tags"])),
            tuple(map(float, values["tag_scores"])),
            {int(i): float(s) for i, s in values["scores"].items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def rounded(value: float) -> float:
    """A share or probability as it is written."""
    return round(float(value), 5)
