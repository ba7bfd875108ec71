"""The one record type that every reader gives and everything else takes."""

import dataclasses
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from keras_wsss.errors import DataError

Domain = Literal["source", "target"]

# Reasons in `Dataset.skipped` that mean a file is at fault.
MISSING = "image file missing"
UNREADABLE = "unreadable image"
# A reason that is none.
NO_TARGET = "no target category among the tags, which are positives only"


class MaskReader(Protocol):
    """Reads one picture's index mask when it is needed, not before."""

    @property
    def place(self) -> str:
        """What messages call it: its file, or where in a file it stands."""

    def read(self) -> np.ndarray:
        """The mask as uint8 [height, width]: 0 background, ids, 255 ignore.

        Raises:
            DataError: names the file and the record.
        """


@dataclasses.dataclass(frozen=True)
class Record:
    """One picture with what training or evaluation may know of it.

    Attributes:
        image_id: name of the picture, unique in its data set; names outputs.
        image_path: JPEG or PNG file.
        domain: "source" (mask and labels) or "target" (tags only).
        labels: ids of the categories present, ascending. Only source ids in
            a source record, only target ids in a target record.
        mask: reader of the index mask, or None. In a target record that is
            meant for training it is None, a pseudo label that a model
            made from the tags, or one that a person drew, see `trusted`.
        uncertain: ids that may be present without being labels (a category
            that stands only in a crowd or is hidden, a target category in a
            source record, a tag marked as unknown). Neither present nor
            absent: never query them.
        annotated: ids that whoever labelled the picture looked for. One of
            these that is neither a label nor uncertain is absent; nothing is
            known of any other. Records of a data set share one tuple.
        trusted: whether a person drew the mask of this target picture: it
            is always trained on.
    """

    image_id: str
    image_path: Path
    domain: Domain
    labels: tuple[int, ...]
    mask: MaskReader | None = None
    uncertain: tuple[int, ...] = ()
    annotated: tuple[int, ...] = ()
    trusted: bool = False

    def read_mask(self) -> np.ndarray:
        """The index mask, uint8 [height, width].

        Raises:
            DataError: it cannot be read, or the record has none.
        """
        if self.mask is None:
            raise DataError(
                f"{self.image_path}: the picture has no mask; use a data set "
                "with masks."
            )
        return self.mask.read()

    @property
    def absent(self) -> tuple[int, ...]:
        """Ids of categories that are known not to be in the picture."""
        maybe = {*self.labels, *self.uncertain}
        return tuple(i for i in self.annotated if i not in maybe)


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Records in a fixed order, and what the reader left out.

    Attributes:
        records: the records, in the reader's documented order.
        skipped: reason -> image ids that were left out for it. Nothing is
            left out silently: counts reach the run folder, and the names of
            pictures with a bad file the log too.
        dropped: reason -> number of labels or objects that were left out of
            pictures that remain, e.g. tags of categories that are no target.
        negatives: pictures that have no label to train on but are known to
            hold no target category; to test with.
        left_out: other pictures that were skipped though they and their
            masks are there; to check.
        listed: ids of the categories that the files list, whether a picture
            shows them or not; empty if they list none.
        unknown: names that the files list and the split does not know.
        foreign: pictures of which the files name unknown categories alone.
    """

    records: tuple[Record, ...]
    skipped: dict[str, tuple[str, ...]] = dataclasses.field(
        default_factory=dict
    )
    dropped: dict[str, int] = dataclasses.field(default_factory=dict)
    negatives: tuple[Record, ...] = ()
    left_out: tuple[Record, ...] = ()
    listed: tuple[int, ...] = ()
    unknown: tuple[str, ...] = ()
    foreign: frozenset[str] = frozenset()
