"""Target records from a tags file: pictures with image-level labels only."""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from keras_wsss.categories import Split
from keras_wsss.data.formats.format import Format
from keras_wsss.data.lookup import find_image, near_image
from keras_wsss.data.problems import (
    Problem,
    Report,
    closest,
    path_problem,
    raise_problem,
    read_text,
)
from keras_wsss.data.records import MISSING, Dataset, Record
from keras_wsss.errors import DataError

HEADER = ("image", "labels")
UNKNOWN = "unknown"  # a third column, which may be left out
_DOUBT = "?"  # before a name that may be in the picture or not
NO_TARGET = "no target category among the tags, which are positives only"
NOT_TARGET = "tags of categories that are no target"


class TagLine(NamedTuple):
    """One picture of a tags file.

    Attributes:
        line: its line in the file, from 1.
        image: its name as written.
        labels: ids of its tags in the split, ascending; source ids too.
        unknown: ids that are marked as unknown, likewise.
    """

    line: int
    image: str
    labels: tuple[int, ...]
    unknown: tuple[int, ...] = ()


def read_tags(
    path: str | Path,
    images: str | Path,
    split: Split,
    *,
    skip_missing: bool = False,
    complete: bool = True,
) -> Dataset:
    """Reads target records for training; their mask is always None.

    The file is CSV (UTF-8) with the header `image,labels`, perhaps with a
    third column `unknown`. An image is a file name below `images`, with or
    without its ending. Labels are separated by `;` or `|`; without these, the
    cell is one category name, or names with white space between them (names
    may hold spaces: the longest fits first). `?name` among the labels, and
    every name in the column `unknown`, may be in the picture or not.

    Args:
        path: the tags file.
        images: folder of the pictures.
        split: categories to use; tags may be its aliases.
        skip_missing: count pictures without a file instead of raising.
        complete: whether a target category that is no tag of a picture is
            known to be absent; False if tags are positives only.

    Returns:
        Records in the order of the file, named by image without ending.
        A picture without any target tag is one of none of the targets; if
        tags are positives only it says nothing and is counted in `skipped`.
        Tags of categories that the split knows but that are no target are
        counted in `dropped`.

    Raises:
        DataError: names file, line, value and remedy.
    """
    lines = list(read_tag_lines(path, split))
    return tag_records(
        Path(path),
        lines,
        Path(images),
        split,
        skip_missing=skip_missing,
        complete=complete,
    )


def tag_records(
    path: Path,
    lines: Sequence[TagLine],
    images: Path,
    split: Split,
    report: Report = raise_problem,
    *,
    skip_missing: bool = False,
    complete: bool = True,
) -> Dataset:
    """Makes target records of tag lines; arguments as for `read_tags`."""
    if not images.is_dir():
        raise DataError(
            f"{images}: no such folder; give that of the tagged pictures."
        )
    targets = set(split.target_ids)
    records: list[Record] = []
    skipped: dict[str, list[str]] = {}
    not_target = 0
    taken: dict[Path, int] = {}  # lines by picture
    named: dict[str, Path] = {}
    for line in lines:
        labels = tuple(label for label in line.labels if label in targets)
        not_target += len(line.labels) - len(labels)
        image = find_image(images, line.image)
        if image in taken:
            text = f"{image} is tagged in line {taken[image]} too; join them"
            report(Problem("duplicate image", str(path), _at(line.line), text))
            continue
        if image is not None:
            taken[image] = line.line
        elif not skip_missing:
            text = (
                f"{line.image} has no .jpg or .png file in {images}"
                f"{near_image(images, line.image)}; add the picture or "
                "remove the line"
            )
            report(Problem("missing image", str(path), _at(line.line), text))
        if image is None or not (labels or complete):
            reason = MISSING if image is None else NO_TARGET
            skipped.setdefault(reason, []).append(line.image)
            continue
        name = str(image.relative_to(images).with_suffix(""))
        if name in named:
            text = (
                f"{image} and {named[name]} differ in their ending only; "
                "outputs are named without it, so rename one of them"
            )
            report(Problem("duplicate name", str(path), _at(line.line), text))
            continue
        named[name] = image
        records.append(
            Record(
                name,
                image,
                "target",
                labels,
                uncertain=tuple(i for i in line.unknown if i in targets),
                annotated=split.target_ids if complete else (),
            )
        )
    return Dataset(
        records=tuple(records),
        skipped={key: tuple(value) for key, value in skipped.items()},
        dropped={NOT_TARGET: not_target} if not_target else {},
    )


def read_tag_lines(
    path: str | Path, split: Split, report: Report = raise_problem
) -> Iterator[TagLine]:
    """Yields the valid lines of a tags file.

    Args:
        path: the tags file.
        split: categories that tags may name.
        report: called with every problem; the line is left out.

    Raises:
        DataError: the file is unreadable, or has another header or no line.
    """
    path = Path(path)
    reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    rows = _rows(path, reader)
    header = next(rows, (1, []))[1]
    columns = tuple(cell.strip().lower() for cell in header)
    if columns not in (HEADER, (*HEADER, UNKNOWN)):
        raise DataError(
            f"{path}: line 1: the header is {','.join(header)!r}; write "
            f"'{','.join(HEADER)}', or '{','.join(HEADER)},{UNKNOWN}'."
        )
    words = _word_table(split)
    seen: dict[str, int] = {}
    for number, row in rows:
        kind, text = "wrong entry", None
        labels: tuple[int, ...] = ()
        unknown: tuple[int, ...] = ()
        name = row[0].strip()
        if len(row) != len(columns):
            text = (
                f"{len(row)} cells instead of {len(columns)}; separate labels "
                "by ';' or put them in quotes"
            )
        elif text := path_problem(name):
            kind = "path leaving the root"
        elif name in seen:
            kind = "duplicate image"
            text = f"{name} stands in line {seen[name]} too; join them"
        else:
            seen[name] = number
            kind = "unknown category"
            labels, unknown, text = _cells(row[1:], split, words)
        if text:
            report(Problem(kind, str(path), _at(number), text))
        else:
            yield TagLine(number, name, labels, unknown)
    if not seen:
        raise DataError(f"{path}: it holds no picture; add lines image,labels.")


def _at(line: int) -> str:
    return f"line {line}"


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


def _word_table(split: Split) -> dict[tuple[str, ...], str]:
    """Category names and aliases by the words they are made of."""
    names = (*split.categories, *split.aliases)
    return {tuple(name.split()): name for name in names}


def _cells(
    cells: Sequence[str], split: Split, words: dict[tuple[str, ...], str]
) -> tuple[tuple[int, ...], tuple[int, ...], str | None]:
    """Ids of labels, ids of unknown ones, or what is wrong with a line."""
    labels: set[int] = set()
    unknown: set[int] = set()
    for number, cell in enumerate(cells):
        for name, doubted in _names(cell, split, words):
            found = split.find(name)
            if found is None:
                return (), (), _no_category(name, split, words)
            (unknown if doubted or number else labels).add(found)
    if both := labels & unknown:
        return (
            (),
            (),
            (
                f"{split.name_of(min(both))!r} is a tag and unknown at once; "
                "remove one of them"
            ),
        )
    return tuple(sorted(labels)), tuple(sorted(unknown)), None


def _no_category(name: str, split: Split, words) -> str:
    return (
        f"the tag {name!r} is no category of split "
        f"'{split.name}'{closest(name, words.values())}; correct it "
        "or add the category to the split"
        + ("; between tags stands ';'" if "," in name else "")
    )


def _names(
    cell: str, split: Split, words: dict[tuple[str, ...], str]
) -> list[tuple[str, bool]]:
    """Names in a cell, and whether each is marked as unknown."""
    cell = cell.strip()
    if ";" in cell or "|" in cell:
        names = [part.strip() for part in re.split("[;|]", cell)]
    elif split.find(cell.removeprefix(_DOUBT).strip()) is not None:
        names = [cell]
    else:
        names = _longest_names(cell.split(), words)
    return [
        (name.removeprefix(_DOUBT).strip(), name.startswith(_DOUBT))
        for name in names
        if name
    ]


def _longest_names(
    cell: list[str], words: dict[tuple[str, ...], str]
) -> list[str]:
    """Cuts words into category names, the longest that fits first.

    A mark of doubt stays before the name that it stands at.
    """
    longest = max(map(len, words))
    names = []
    start = 0
    while start < len(cell):
        doubt = _DOUBT if cell[start].startswith(_DOUBT) else ""
        rest = [cell[start].removeprefix(_DOUBT), *cell[start + 1 :]]
        for length in range(min(longest, len(rest)), 0, -1):
            name = words.get(tuple(rest[:length]))
            if name is not None or length == 1:
                names.append(doubt + (name or rest[0]))
                start += length
                break
    return names


class _Csv(Format):
    """A CSV of tags, and a folder of pictures."""

    name = "csv"

    def read_target(self, data, split):
        """See `read_tags`."""
        return read_tags(
            Path(data.target_tags),
            Path(data.target_images),
            split,
            skip_missing=data.skip_bad_images,
            complete=data.tags_complete,
        )


CSV = _Csv()
