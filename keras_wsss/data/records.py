"""The one record type that every reader gives and everything else takes."""

import dataclasses
import functools
import inspect
import itertools
import operator
import os
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, overload

import numpy as np

from keras_wsss.data.aside import Spool
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


_PLAIN = frozenset({str, int, bool, type(None)})
_PATH = type(Path())
_BUT_MASK = operator.attrgetter(
    *("image_id", "image_path", "domain", "labels"),
    *("uncertain", "annotated", "trusted"),
)
_OWN = object()  # stands where records differ
_IN_COMMON = object()  # what cannot be written as bytes


class Records(Sequence[Record]):
    """Records that are made anew whenever they are asked for.

    As objects they take 1 kB each, here 8 bytes and what they share: what is
    the same object in one record and the next, such as the instances of a
    file, is kept once. The rest is kept aside, some 100 bytes in a temporary
    file. Paths, and masks that are frozen dataclasses, are taken apart.

    Args:
        records: what it holds, in their order.
    """

    def __init__(self, records: Iterable[Record] = ()):
        # What makes paths and tuples, and by its ids, what records share.
        self._makers: list[Callable] = []
        self._shared: list[tuple[Any, ...]] = []
        self._places: dict[Any, int] = {}  # in these lists
        self._before: tuple[Any, ...] = ()
        self._spool = Spool()
        self._rows: range | array[int] = range(0)  # of it
        for record in records:
            self.append(record)

    @classmethod
    def of(cls, records: Iterable[Record]) -> "Records":
        """The same records, if they are not kept so already."""
        return records if isinstance(records, cls) else cls(records)

    def append(self, record: Record) -> None:
        """Adds a record behind the others."""
        mask: Any = record.mask
        kind: Any = type(mask)
        fields = _fields_of(kind)
        about_mask = (kind, *fields(mask)) if fields else (mask,)
        values = (*_BUT_MASK(record), *about_mask)
        if len(values) != len(self._before):
            self._before = (_OWN,) * len(values)
        own: list[Any] = []
        shared = []
        for value, before in zip(values, self._before, strict=True):
            packed = _IN_COMMON if value is before else self._pack(value)
            if packed is _IN_COMMON:
                shared.append(value)
            else:
                shared.append(_OWN)
                own.append(packed)
        self._before = values
        place = self._place(tuple(map(id, shared)), self._shared, tuple(shared))
        row, rows = len(self._spool), self._rows
        self._spool.append((place, *own))
        if rows == range(row):
            self._rows = range(row + 1)
            return
        if isinstance(rows, range):
            rows = self._rows = array("q", rows)
        rows.append(row)

    def pick(self, numbers: Iterable[int]) -> "Records":
        """Those of some numbers, in this order; no bytes are copied."""
        rows = array("q", (self._rows[number] for number in numbers))
        picked = Records()
        vars(picked).update({**vars(self), "_rows": rows})
        return picked

    def where(self, wanted: Callable[[Record], bool]) -> "Records":
        """Those that are wanted."""
        return self.pick(n for n, record in enumerate(self) if wanted(record))

    def __reduce__(self) -> tuple[type, tuple[list[Record]]]:
        # What is shared is known by where it lies, elsewhere in a copy.
        return Records, (list(self),)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Records) or len(self) != len(other):
            return False
        return all(map(operator.eq, self, other))

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Record: ...

    @overload
    def __getitem__(self, index: slice) -> "Records": ...

    def __getitem__(self, index):
        if isinstance(index, slice):
            return self.pick(range(len(self))[index])
        return self._made(*self._spool[self._rows[index]])

    def __iter__(self) -> Iterator[Record]:
        rows = self._rows
        if rows == range(len(self._spool)):
            return itertools.starmap(self._made, self._spool)
        return (self._made(*self._spool[row]) for row in rows)

    def _made(self, place: int, *own: Any) -> Record:
        packed = iter(own)
        name, path, domain, labels, uncertain, annotated, trusted, mask, *of = (
            self._unpack(next(packed)) if value is _OWN else value
            for value in self._shared[place]
        )
        return Record(
            name,
            path,
            domain,
            labels,
            mask(*of) if of else mask,
            uncertain,
            annotated,
            trusted,
        )

    def _pack(self, value: Any) -> Any:
        """What `marshal` writes, and `_unpack` undoes."""
        kind = type(value)
        if kind in _PLAIN:
            return value
        if kind is tuple:
            try:
                return bytes(value)  # ids
            except (TypeError, ValueError):
                return _IN_COMMON
        if kind is _PATH:
            folder, name = os.path.split(value)
            place = self._places.get(folder)
            if place is None:
                place = self._place(folder, self._makers, Path(folder).joinpath)
            return place, name
        if hasattr(kind, "_make") and _PLAIN.issuperset(map(type, value)):
            return self._place(kind, self._makers, kind), *value
        return _IN_COMMON

    def _unpack(self, value: Any) -> Any:
        if type(value) is bytes:
            return tuple(value)
        if type(value) is not tuple:
            return value
        maker, *rest = value
        return self._makers[maker](*rest)

    def _place(self, key: Any, values: list, value: Any) -> int:
        """Where in a list a value lies, which is kept from now on."""
        place = self._places.setdefault(key, len(values))
        if place == len(values):
            values.append(value)
        return place


@functools.cache
def _fields_of(kind: Any) -> Callable[[Any], list[Any]] | None:
    """Gives what a mask of a type is made of, in order, if that is known."""
    if not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
        return None
    names = [field.name for field in dataclasses.fields(kind)]
    taken = inspect.signature(kind).parameters.values()
    frozen = kind.__dataclass_params__.frozen  # type: ignore[attr-defined]
    # One that makes something of what it is given is not made of its fields.
    if not frozen or hasattr(kind, "__post_init__"):
        return None
    if names != [p.name for p in taken if p.kind is p.POSITIONAL_OR_KEYWORD]:
        return None
    return (lambda mask: [getattr(mask, n) for n in names]) if names else None


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Records in a fixed order, and what the reader left out.

    Attributes:
        records: the records, in the reader's documented order. As with the
            other fields of records, any iterable of them may be given.
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

    records: Records
    skipped: dict[str, tuple[str, ...]] = dataclasses.field(
        default_factory=dict
    )
    dropped: dict[str, int] = dataclasses.field(default_factory=dict)
    negatives: Records = dataclasses.field(default_factory=Records)
    left_out: Records = dataclasses.field(default_factory=Records)
    listed: tuple[int, ...] = ()
    unknown: tuple[str, ...] = ()
    foreign: frozenset[str] = frozenset()

    def __post_init__(self):
        for part in ("records", "negatives", "left_out"):
            records = Records.of(getattr(self, part))
            object.__setattr__(self, part, records)
