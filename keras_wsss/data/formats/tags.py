"""Target records from a tags file: pictures with image-level labels only."""

import collections
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from keras_wsss.categories import Split
from keras_wsss.data.aside import Spool
from keras_wsss.data.formats.format import Format
from keras_wsss.data.formats.tag_cells import (
    CellReader,
    Tags,
    WrongCell,
    has_minus_for_absent,
    is_yes_or_no,
)
from keras_wsss.data.formats.tag_table import TagTable, read_table
from keras_wsss.data.lookup import Names, find_image, near_image, plain_files
from keras_wsss.data.problems import (
    OnProblem,
    Problem,
    path_problem,
    raise_problem,
)
from keras_wsss.data.records import (
    MISSING,
    NO_TARGET,
    Dataset,
    Record,
    Records,
)
from keras_wsss.errors import DataError

# Reasons in `Dataset.dropped`.
NOT_TARGET = "tags of categories that are no target"
IGNORED = "tags that config.split.ignored names"
REPEATED = "rows that say nothing new of their picture"
UNREAD = "columns that nothing reads"
MINUS = "pairs marked -1, read as absent: the columns hold 1 and -1 alone"
_SHOWN = 5  # columns that are named


class _Line(NamedTuple):
    """A row of a tags file: its line from 1, name of the picture, tags."""

    line: int
    image: str
    tags: Tags


def _lines_of(spool: Spool) -> Iterator[_Line]:
    """Rows that `_read_lines` gave."""
    for line, image, *tags in spool:
        yield _Line(line, image, Tags(*tags))


def read_tags(
    path: str | Path,
    images: str | Path,
    split: Split,
    on_problem: OnProblem = raise_problem,
    *,
    skip_missing: bool = False,
    complete: bool = True,
    image_column: str = "",
    label_column: str = "",
) -> Dataset:
    """Reads target records for training; their mask is always None.

    The file is CSV (UTF-8) with the header `image,labels`, perhaps with a
    third column `unknown`; columns may be separated by `;` or tabs, and be
    called otherwise (`filename`, `tags`, ...). An image is a file name below
    `images`, with or without its ending, in one row or in several, whose tags
    are joined. Labels are separated by `;`, `|` or `,`; without these, the
    cell is one category name, or names with white space between them (names
    may hold spaces: the longest fits first). `?name` among the labels, and
    every name in the column `unknown`, may be in the picture or not. Without
    a column of labels there is one for each category, with 1, 0 or -1 (may be
    there; not there, if the columns hold 1 and -1 alone). A column `value`,
    `present`, `confidence` or the like says of the labels of its row whether
    they are there: 1, 0, or a number between for what may be there.

    Args:
        path: the tags file.
        images: folder of the pictures.
        split: categories to use; tags may be its aliases.
        on_problem: called with every problem; the line is left out.
        skip_missing: count pictures without a file instead of raising.
        complete: whether a target category that is no tag of a picture is
            known to be absent; False if tags are positives only.
        image_column: name of the column of pictures; found if empty.
        label_column: name of the column of tags; found if empty.

    Returns:
        Records in the order of the file, named by image without ending.
        A picture without any target tag is one of none of the targets; if
        tags are positives only it says nothing and is counted in `skipped`.
        Tags of categories that the split knows but that are no target, tags
        that it ignores, rows that repeat others and columns that nothing
        reads are counted in `dropped`.

    Raises:
        DataError: names file, line, value and remedy.
    """
    path, images = Path(path), Path(images)
    table, rows = read_table(path, image_column, label_column)
    if not images.is_dir():
        raise DataError(
            f"{images}: no such folder; give that of the tagged pictures."
        )
    minus = False
    if table.labels is None:
        minus = has_minus_for_absent(table, split, (row for _, row in rows))
        _, rows = read_table(path, image_column, label_column)
    reader = CellReader(table, split, minus)
    lines = _read_lines(table, rows, reader, on_problem)
    dropped: collections.Counter[str] = collections.Counter()
    if reader.unread:
        shown = ", ".join(list(reader.unread.values())[:_SHOWN])
        more = ", ..." if len(reader.unread) > _SHOWN else ""
        dropped[f"{UNREAD}: {shown}{more}"] = len(reader.unread)
    places = _placed(lines, images, dropped)
    joined = _joined(table, lines, places, split, on_problem, dropped)
    targets, all_targets = set(split.target_ids), split.target_ids
    dropped[REPEATED] = dropped[MINUS] = 0  # in this order
    root = len(_prefix(images))
    records = Records()
    skipped: dict[str, list[str]] = {}
    # Only of names that several pictures have, one has to be remembered.
    names = (os.path.splitext(p[root:])[0] for p in places if p[0] != "\0")
    repeated, named = Names(names).repeated(), dict[str, str]()
    for image, line in joined:
        labels = tuple(i for i in line.tags.labels if i in targets)
        if minus:
            dropped[MINUS] += len(targets) - len(labels)
        dropped[NOT_TARGET] += len(line.tags.labels) - len(labels)
        if image is None and not skip_missing:
            text = (
                f"{line.image} has no .jpg or .png file in {images}"
                f"{near_image(images, line.image)}; add the picture or "
                "remove the line"
            )
            on_problem(_problem("missing image", path, line.line, text))
        if image is None or not (labels or complete):
            reason = MISSING if image is None else NO_TARGET
            skipped.setdefault(reason, []).append(line.image)
            continue
        name = os.path.splitext(image[root:])[0]
        if name in named:
            text = (
                f"{image} and {named[name]} differ in their ending only; "
                "outputs are named without it, so rename one of them"
            )
            on_problem(_problem("duplicate name", path, line.line, text))
            continue
        if hash(name) in repeated:
            named[name] = image
        records.append(
            Record(
                name,
                Path(image),
                "target",
                labels,
                uncertain=tuple(i for i in line.tags.unknown if i in targets),
                annotated=all_targets
                if complete
                else tuple(i for i in line.tags.absent if i in targets),
            )
        )
    return Dataset(
        records=records,
        skipped={key: tuple(value) for key, value in skipped.items()},
        dropped=dict(+dropped),
    )


def _problem(kind: str, path: Path, line: int, text: str) -> Problem:
    return Problem(kind, str(path), f"line {line}", text)


def _read_lines(
    table: TagTable,
    rows: Iterator[tuple[int, list[str]]],
    reader: CellReader,
    on_problem: OnProblem,
) -> Spool:
    """The rows that can be used. Raises `DataError` if there is no row."""
    lines = Spool()
    number = None
    width = len(table.header)
    marks = set(reader.unread)  # columns that may be marks of the rows
    no: set[int] = set()
    names: set[str] = set()
    for number, row in rows:
        name = row[table.image].strip() if len(row) > table.image else ""
        text: str | None
        if len(row) != width:
            kind = "wrong entry"
            text = (
                f"{len(row)} cells instead of {width}; separate labels by ';' "
                "or put them in quotes"
            )
        elif text := path_problem(name):
            kind = "path leaving the root"
        else:
            try:
                lines.append((number, name, *reader.read(row)))
                if marks:
                    names.add(name)
                    marks = {i for i in marks if is_yes_or_no(row[i])}
                    no |= {i for i in marks if row[i].strip()[:1] in "0FfNn"}
                continue
            except WrongCell as wrong:
                kind, text = "unknown category", str(wrong)
        on_problem(_problem(kind, table.path, number, text))
    if number is None:
        raise DataError(
            f"{table.path}: it holds no picture; add lines image,labels."
        )
    if (marks & no) and table.labels is not None and len(names) < len(lines):
        column = reader.unread[min(marks & no)]
        raise DataError(
            f"{table.path}: line 1: nothing reads the column {column!r}, which "
            "holds yes and no where pictures have several rows; call it "
            "'value' if it says whether the tags of the row are there, or "
            "remove it."
        )
    return lines


def _placed(
    lines: Spool, images: Path, dropped: collections.Counter[str]
) -> Spool:
    """The file of each row's picture, or a zero byte and its name if none.

    Ignored tags are counted in `dropped`.
    """
    plain, prefix = plain_files(images), _prefix(images)
    places = Spool()
    for line in _lines_of(lines):
        dropped[IGNORED] += line.tags.ignored
        place = prefix + line.image
        if line.image not in plain:
            image = find_image(images, line.image)
            # No file is called so: "images/a" may be there, but not in images.
            place = f"\0{line.image}" if image is None else str(image)
        places.append(place)
    return places


def _joined(
    table: TagTable,
    lines: Spool,
    places: Spool,
    split: Split,
    on_problem: OnProblem,
    dropped: collections.Counter[str],
) -> Iterator[tuple[str | None, _Line]]:
    """Pictures with all tags that their rows give them.

    Args:
        table: the columns.
        lines: the rows.
        places: see `_placed`.
        split: names the ids.
        on_problem: called with rows that contradict one before.
        dropped: rows that repeat others are counted here.

    Yields:
        The picture's file, None if there is none, and what is said of it.
    """
    # Most pictures have one row: no other has to be remembered.
    repeated = Names(places).repeated()
    found: dict[str, _Line] = {}
    both = zip(places, _lines_of(lines), strict=True)
    for key, line in both if repeated else ():
        if hash(key) not in repeated:
            continue
        first = found.setdefault(key, line)
        if first is line:
            continue
        if text := _contradiction(table, first, line, split):
            on_problem(_problem("duplicate image", table.path, line.line, text))
            continue
        labels = {*first.tags.labels, *line.tags.labels}
        unknown = {*first.tags.unknown, *line.tags.unknown}
        ignored = first.tags.ignored + line.tags.ignored
        absent = {*first.tags.absent, *line.tags.absent}
        tags = Tags(
            tuple(sorted(labels)),
            tuple(sorted(unknown)),
            ignored,
            tuple(sorted(absent)),
        )
        if tags == first.tags:
            dropped[REPEATED] += 1
        found[key] = first._replace(tags=tags)
    for key, line in zip(places, _lines_of(lines), strict=True):
        whole: _Line | None = line
        if hash(key) in repeated:
            whole = found.pop(key, None)
        if whole is not None:
            yield None if key.startswith("\0") else key, whole


def _prefix(folder: Path) -> str:
    """What the paths of the files in a folder begin with."""
    return str(folder / "x")[:-1]


def _contradiction(
    table: TagTable, first: _Line, line: _Line, split: Split
) -> str | None:
    """Why two rows of one picture cannot both be true, if so."""
    one, other = first.tags, line.tags
    if any(one) != any(other):
        return (
            f"{line.image} has tags here or in line {first.line}, and none in "
            "the other; remove one of them"
        )
    # A column for each category says of every one whether it is there.
    if table.labels is None and one != other:
        return (
            f"{line.image} has other marks in line {first.line}; remove one of "
            "them"
        )
    for this, that in ((one, other), (other, one)):
        if both := {*this.labels, *this.unknown} & {*that.absent}:
            return (
                f"{split.name_of(min(both))!r} is a tag of {line.image} here "
                f"or in a row before (from line {first.line} on), and not "
                "there in the other; remove one of them"
            )
    both = {*one.labels} & {*other.unknown} | {*one.unknown} & {*other.labels}
    if both:
        return (
            f"{split.name_of(min(both))!r} is a tag of {line.image} here or in "
            f"a row before (from line {first.line} on), and unknown in the "
            "other; remove one of them"
        )
    return None


class _Csv(Format):
    """A CSV of tags, and a folder of pictures."""

    name = "csv"

    def recognises(self, path, part):
        """Whether it is no folder; others that are none come before."""
        return part == "target" and not path.is_dir()

    def read_target(self, data, split, on_problem=raise_problem):
        """See `read_tags`."""
        return read_tags(
            Path(data.target_tags),
            Path(data.target_images),
            split,
            on_problem,
            skip_missing=data.skip_bad_images,
            complete=data.tags_complete,
            image_column=data.tags_image_column,
            label_column=data.tags_label_column,
        )


CSV = _Csv()
