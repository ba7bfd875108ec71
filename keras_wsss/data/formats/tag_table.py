"""Rows of a tags file, whatever its separator and columns are called."""

import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from keras_wsss.data.lookup import is_image_name
from keras_wsss.data.problems import check_text, read_text
from keras_wsss.errors import DataError
from keras_wsss.files import normal_name

HEADER = ("image", "labels")
UNKNOWN = "unknown"  # a third column, which may be left out
# What tools call the columns of a picture's name and of its tags.
_IMAGE = (
    "image", "file", "filename", "file_name", "image_id", "image_path",
    "img", "path", "picture", "name",
)  # fmt: skip
_LABELS = (
    "labels", "label", "tags", "tag", "classes", "class", "categories",
    "category",
)  # fmt: skip
# And that which says whether the tags of a row are there.
_VALUE = (
    "value", "present", "presence", "is_present", "confidence", "score",
    "probability",
)  # fmt: skip
_SEPARATORS = ",;\t"
_FIELDS = "let config.data.tags_image_column and tags_label_column"
_CHECKED = 1 << 16  # characters at a time
_SEP_LINE = re.compile(r'\s*"?sep=([,;\t])"?\s', re.IGNORECASE)  # Excel's


class TagTable(NamedTuple):
    """The columns of a tags file.

    Attributes:
        path: the file.
        separator: between columns.
        header: names of all columns; those without a name stand before one.
        image: column of the picture's name.
        labels: column of its tags; None if there is one for each category.
        unknown: column of the categories that may be there; None if none.
        value: column of whether the tags of its row are there; None if none.
    """

    path: Path
    separator: str
    header: tuple[str, ...]
    image: int
    labels: int | None
    unknown: int | None
    value: int | None = None

    @property
    def others(self) -> tuple[int, ...]:
        """All other columns."""
        known = (self.image, self.labels, self.unknown, self.value)
        return tuple(i for i in range(len(self.header)) if i not in known)


def read_table(
    path: Path, image_column: str = "", label_column: str = ""
) -> tuple[TagTable, Iterator[tuple[int, list[str]]]]:
    """The columns of a tags file, and its rows that are not empty.

    Args:
        path: the file.
        image_column: name of the column of pictures; found if empty.
        label_column: name of the column of tags; found if empty.

    Returns:
        The table, and (line number, cells) of each row, cells unchecked.
        Empty cells behind the last name of the header are cut off.

    Raises:
        DataError: unreadable, or a header that names no picture, or several
            columns of pictures or tags.
    """
    head = _head(path)
    separator = _separator(head)
    lines = _lines(path)
    rows = _rows(path, csv.reader(lines, delimiter=separator, strict=True))
    if _SEP_LINE.match(head):
        next(rows)
    header = tuple(normal_name(c.strip()) for c in next(rows, (1, []))[1])
    width = max((i + 1 for i, cell in enumerate(header) if cell), default=0)
    header = header[:width]
    given = [normal_name(name.strip()) for name in (image_column, label_column)]
    image = _given(path, header, given[0], "tags_image_column")
    labels = _given(path, header, given[1], "tags_label_column")
    # A name means one column: what is given is not also found.
    free = [cell.lower() for cell in header]
    for taken in (image, labels):
        if taken is not None:
            free[taken] = ""
    if image is None:
        image = _usual_image(path, header, free)
    if labels is None:
        labels = _usual_labels(path, header, free)
    if image is None:
        pictures = any(is_image_name(cell) for cell in header)
        raise DataError(
            f"{path}: line 1: the header is {separator.join(header)!r}; "
            + ("put a line above the first picture: " if pictures else "write ")
            + f"'{','.join(HEADER)}', or '{','.join(HEADER)},{UNKNOWN}'"
            + ("" if pictures else f", or {_FIELDS} name its columns")
            + "."
        )
    unknown = free.index(UNKNOWN) if UNKNOWN in free else None
    value = None if labels is None else _value(path, header, free)
    table = TagTable(path, separator, header, image, labels, unknown, value)
    return table, ((line, _cut(row, width)) for line, row in rows)


def _head(path: Path) -> str:
    """A file down to the first line that is not empty.

    Raises:
        DataError: the file is no text in UTF-8, wherever it is wrong.
    """
    check_text(path)
    head = ""
    try:
        with open(path, encoding="utf-8-sig") as file:
            while line := file.readline():
                head += line
                if line.strip():
                    break
            while file.read(_CHECKED):
                pass
    except (OSError, ValueError):
        read_text(path)  # tells what is wrong
        raise
    return head


def _lines(path: Path) -> Iterator[str]:
    """The lines of a file, whose ends may be those of any system."""
    with open(path, encoding="utf-8-sig") as file:
        yield from file


def _cut(row: list[str], width: int) -> list[str]:
    """A row without the empty cells that stand behind the header's last."""
    if len(row) > width and not any(map(str.strip, row[width:])):
        return row[:width]
    return row


def _separator(text: str) -> str:
    """What stands most often in the header, quoted names left out."""
    if said := _SEP_LINE.match(text):
        return said[1]
    first = re.search(r"^.*\S.*$", text, re.MULTILINE)
    header = re.sub('"[^"]*"', "", first[0]) if first else ""
    return max(_SEPARATORS, key=header.count)


def _given(
    path: Path, header: Sequence[str], name: str, field: str
) -> int | None:
    """Index of the column that the config names; None if it names none."""
    if not name:
        return None
    if header.count(name) != 1:
        wrong = "several columns" if name in header else "no column"
        raise DataError(
            f"{path}: line 1: there is {wrong} {name!r} (config.data.{field}) "
            f"among {', '.join(header)}; correct it."
        )
    return header.index(name)


def _usual_image(
    path: Path, header: Sequence[str], free: Sequence[str]
) -> int | None:
    """Column with the first of the usual names of pictures, if any."""
    name = next((name for name in _IMAGE if name in free), None)
    if name is None:
        return None
    if free.count(name) > 1:
        raise _several(path, header, name, "pictures", "tags_image_column")
    return free.index(name)


def _usual_labels(
    path: Path, header: Sequence[str], free: Sequence[str]
) -> int | None:
    """The column with one of the usual names of tags, if any."""
    found = [i for i, name in enumerate(free) if name in _LABELS]
    if len(found) > 1:
        names = ", ".join(header[i] for i in found)
        raise _several(path, header, names, "tags", "tags_label_column")
    return found[0] if found else None


def _value(
    path: Path, header: Sequence[str], free: Sequence[str]
) -> int | None:
    """The column that says whether a row's tags are there, if any."""
    found = [i for i, name in enumerate(free) if name in _VALUE]
    if len(found) > 1:
        names = " and ".join(repr(header[i]) for i in found)
        raise DataError(
            f"{path}: line 1: the columns {names} may both say whether the "
            "tags of a row are there; remove one of them."
        )
    return found[0] if found else None


def _several(
    path: Path, header: Sequence[str], names: str, what: str, field: str
) -> DataError:
    return DataError(
        f"{path}: line 1: of the columns {', '.join(map(repr, header))} more "
        f"than one may be that of the {what} ({names}); name it by "
        f"config.data.{field}, or remove the other."
    )


def _rows(path: Path, reader) -> Iterator[tuple[int, list[str]]]:
    """Yields (line number, cells) of the lines that are not empty."""
    while True:
        line = reader.line_num + 1  # a quoted cell may span several lines
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise DataError(
                f"{path}: line {line}: not CSV ({error}); check its quotes."
            ) from None
        if row is None:
            return
        if any(cell.strip() for cell in row):
            yield line, row
