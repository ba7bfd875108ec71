"""What the cells of a tags file say of a picture: names, or marks."""

import re
from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import NamedTuple

from keras_wsss.categories import Split
from keras_wsss.data.formats.tag_table import HEADER, TagTable
from keras_wsss.data.problems import closest
from keras_wsss.errors import DataError
from keras_wsss.files import normal_name

_REMEMBERED = 10_000  # rows that are written differently
_DOUBT = "?"  # before a name that may be in the picture or not
# Cells of a column for each category.
_PRESENT = ("1", "1.0", "true", "yes", "x")
_ABSENT = ("", "0", "0.0", "false", "no")
_MINUS = ("-1", "-1.0")
_MAYBE = (*_MINUS, "?", "nan", "unknown")


class Tags(NamedTuple):
    """What a row says of its picture.

    Attributes:
        labels: ids of its tags in the split, ascending; source ids too.
        unknown: ids that are marked as unknown, likewise.
        ignored: how many tags were left out that the split ignores.
        absent: ids that are said not to be there, ascending; of a table with
            a column that says so.
    """

    labels: tuple[int, ...] = ()
    unknown: tuple[int, ...] = ()
    ignored: int = 0
    absent: tuple[int, ...] = ()


class WrongCell(Exception):
    """A row cannot be used: why, without a final full stop."""


class CellReader:
    """Reads the cells of rows; what is written alike is looked up once.

    Args:
        table: the columns.
        split: categories that tags may name.
        minus_is_absent: whether -1 in the column of a category means that it
            is not there.

    Attributes:
        unread: index and name of the columns that nothing reads.

    Raises:
        DataError: the table has no column of labels, and its columns are no
            categories.
    """

    def __init__(
        self, table: TagTable, split: Split, minus_is_absent: bool = False
    ):
        self._table, self._split = table, split
        names = (*split.categories, *split.aliases, *split.ignored)
        self._words = {tuple(name.split()): name for name in names}
        self._ids: dict[str, int | None] = {}
        self._rows: dict[str | tuple[str, ...], Tags] = {}
        self._marked: dict[int, int | None] = {}
        self._doubled: dict[int, int] = {}
        self._absent = (*_ABSENT, *_MINUS) if minus_is_absent else _ABSENT
        if table.labels is None:
            self._marked = category_columns(table, split)
        else:
            ids = {i: split.find(table.header[i]) for i in table.others}
            self._doubled = {i: id_ for i, id_ in ids.items() if id_}
        columns = (table.labels, table.unknown, table.value)
        known = (*columns, *self._marked, *self._doubled)
        read = [i for i in known if i is not None]
        self._cells = itemgetter(*read)
        self.unread = {
            i: table.header[i] or "one without a name"
            for i in table.others
            if i not in read
        }

    def read(self, row: Sequence[str]) -> Tags:
        """What a row of as many cells as the header says.

        Raises:
            WrongCell: a name that the split does not know, or a wrong mark.
        """
        cells = self._cells(row)
        tags = self._rows.get(cells)
        if tags is None:
            if len(self._rows) == _REMEMBERED:
                self._rows.clear()
            tags = self._rows[cells] = self._read(row)
        return tags

    def _read(self, row: Sequence[str]) -> Tags:
        # Names and marks, and whether each is unsure.
        found: list[tuple[int | None, bool]] = []
        absent: list[int | None] = []
        table = self._table
        if table.labels is not None:
            found += self._named(row[table.labels])
        if table.value is not None:
            sure = _value(table.header[table.value], row[table.value])
            if sure == 0:
                absent, found = [i for i, _ in found], []
            found = [(i, maybe or sure != 1) for i, maybe in found]
        for index, category in self._marked.items():
            found += self._mark(table.header[index], row[index], category)
        if table.unknown is not None:
            found += [(i, True) for i, _ in self._named(row[table.unknown])]
        labels = {i for i, maybe in found if i is not None and not maybe}
        unknown = {i for i, maybe in found if i is not None and maybe}
        if both := labels & unknown:
            raise WrongCell(
                f"{self._split.name_of(min(both))!r} is a tag and unknown at "
                "once; remove one of them"
            )
        for index, category in self._doubled.items():
            mark = row[index].strip().lower()
            there = category in labels | unknown
            if mark in _PRESENT if not there else mark in _ABSENT[1:]:
                raise WrongCell(
                    f"the cell of {table.header[index]!r} is {row[index]!r}, "
                    "and its tags say otherwise; correct one of them, or "
                    "remove the columns of categories"
                )
        ignored = sum(i is None for i in (*(i for i, _ in found), *absent))
        return Tags(
            tuple(sorted(labels)),
            tuple(sorted(unknown)),
            ignored,
            tuple(sorted({i for i in absent if i is not None})),
        )

    def _mark(
        self, name: str, cell: str, category: int | None
    ) -> list[tuple[int | None, bool]]:
        """The tag of a cell of a category's column, if it is one."""
        mark = cell.strip().lower()
        if mark in self._absent:
            return []
        if mark in _PRESENT or mark in _MAYBE:
            return [(category, mark in _MAYBE)]
        # What stands in a column that is ignored need be no mark.
        if category is not None:
            raise WrongCell(
                f"the cell of {name!r} is {cell!r}; write 1, 0, or -1 for what "
                "may be there"
            )
        return []

    def _named(self, cell: str) -> list[tuple[int | None, bool]]:
        """Ids in a cell of names, and whether each is marked as unknown."""
        return [
            (self._id(name.removeprefix(_DOUBT).strip()), name[0] == _DOUBT)
            for name in self._names(normal_name(cell.strip()))
            if name
        ]

    def _id(self, name: str) -> int | None:
        """Id of a name; None if it is to be left out."""
        if name not in self._ids:
            found = self._split.find(name)
            if found is None and not self._split.ignores(name):
                raise WrongCell(_no_category(name, self._split))
            self._ids[name] = found
        return self._ids[name]

    def _names(self, cell: str) -> list[str]:
        if self._split.find(cell.removeprefix(_DOUBT)) is not None:
            return [cell]
        if re.search("[;|,]", cell):
            return [part.strip() for part in re.split("[;|,]", cell)]
        names = self._longest_names(cell.split())
        plain = [name.removeprefix(_DOUBT) for name in names]
        # Where all other tags are ignored, "dog house" must not become a dog.
        loose = [name for name in plain if self._is_loose(name)]
        if len(loose) == len(names):
            return [cell]
        if loose:
            raise WrongCell(
                f"{cell!r} may be one tag or several; separate tags by ';', "
                f"and name {cell!r} or {loose[0]!r} in config.split.ignored if "
                "it is not wanted"
            )
        return names

    def _is_loose(self, name: str) -> bool:
        """Whether only the '*' of the split leaves a name out."""
        return self._id(name) is None and tuple(name.split()) not in self._words

    def _longest_names(self, cell: list[str]) -> list[str]:
        """Cuts words into category names, the longest that fits first.

        A mark of doubt stays before the name that it stands at.
        """
        longest = max(map(len, self._words))
        names = []
        start = 0
        while start < len(cell):
            doubt = _DOUBT if cell[start].startswith(_DOUBT) else ""
            rest = [cell[start].removeprefix(_DOUBT), *cell[start + 1 :]]
            for length in range(min(longest, len(rest)), 0, -1):
                name = self._words.get(tuple(rest[:length]))
                if name is not None or length == 1:
                    names.append(doubt + (name or rest[0]))
                    start += length
                    break
        return names


def _value(name: str, cell: str) -> float:
    """How sure the tags of a row are: 1 there, 0 not there, else unsure.

    Raises:
        WrongCell: no mark, and no number from 0 to 1.
    """
    mark = cell.strip().lower()
    if mark in _PRESENT or (mark and mark in _ABSENT):
        return float(mark in _PRESENT)
    if mark in _MAYBE:
        return 0.5
    try:
        share = float(mark)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise WrongCell(
            f"the cell of {name!r} is {cell!r}; write 1 if the tags of the row "
            "are there, 0 if not, a number between for what may be there, or "
            "remove the column"
        )
    return share


def has_minus_for_absent(
    table: TagTable, split: Split, rows: Iterable[Sequence[str]]
) -> bool:
    """Whether -1 in the columns of categories means that it is not there.

    So it does where 1 and -1 are all that the columns hold.
    """
    columns = [i for i, id_ in category_columns(table, split).items() if id_]
    found = {
        row[i].strip().lower() for row in rows for i in columns if i < len(row)
    }
    return found <= {*_PRESENT, *_MINUS} and not found.isdisjoint(_MINUS)


def is_yes_or_no(cell: str) -> bool:
    """Whether a cell says 1 or 0, in words or numbers."""
    mark = cell.strip().lower()
    return mark in _PRESENT or mark in _ABSENT[1:]


def category_columns(table: TagTable, split: Split) -> dict[int, int | None]:
    """Ids of the columns that are one category each; None if ignored."""
    columns = {i: table.header[i] for i in table.others if table.header[i]}
    ids = {i: split.find(name) for i, name in columns.items()}
    line = f"{table.path}: line 1:"
    if not any(ids.values()):
        near = (closest(name, split.categories) for name in columns.values())
        raise DataError(
            f"{line} the header is {table.separator.join(table.header)!r}, "
            "without a column of labels and without one of a category"
            f"{next(filter(None, near), '')}; write '{','.join(HEADER)}', or "
            "name the column by config.data.tags_label_column."
        )
    first: dict[int, str] = {}
    for i, name in columns.items():
        category = ids[i]
        if category is None and not split.ignores(name):
            raise DataError(
                f"{line} the column {name!r} is no category of split "
                f"'{split.name}'{closest(name, split.categories)}; correct "
                "it, or name it in config.split.ignored."
            )
        if category in first:
            raise DataError(
                f"{line} the columns {first[category]!r} and {name!r} are one "
                "category; remove one of them."
            )
        if category is not None:
            first[category] = name
    return ids


def _no_category(name: str, split: Split) -> str:
    known = (*split.categories, *split.aliases)
    all_others = ""
    if "*" in split.ignored:
        all_others = ", where '*' leaves out only what is like no category"
    return (
        f"the tag {name!r} is no category of split "
        f"'{split.name}'{closest(name, known)}; correct it, add the category "
        f"to the split, or name it in config.split.ignored{all_others}"
    )
