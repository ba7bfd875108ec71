"""Pictures that stand in a data set twice, or nearly."""

import collections
import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

import numpy as np

from keras_wsss.data.aside import Spool
from keras_wsss.data.lookup import Names
from keras_wsss.data.problems import Problem
from keras_wsss.data.records import Record, Records
from keras_wsss.files import output_key

# A part of the data, and a row of its records.
_Place: TypeAlias = tuple[str, int]


def problems_across(
    good: Mapping[str, Records], digests: Mapping[str, Spool]
) -> Iterator[Problem]:
    """Yields what is wrong between pictures that are sound by themselves.

    Content is compared pixel by pixel, whatever the kind of the file; a
    picture that was saved again at another size or quality is found by its
    name only.

    Args:
        good: part -> records without a problem.
        digests: part -> bytes of their pixels' digests.
    """
    same = same_content(good, digests)
    tagged = Names(map(_stem_key, good.get("target", ())))
    names = {}
    for record in good.get("evaluation", ()):
        if (key := _stem_key(record)) in tagged:
            names[key] = record
    for part in ("source", "target"):
        for row, record in enumerate(good.get(part, ())):
            twins = same.get((part, row), ())
            scored = [good[p][r] for p, r in twins if p == "evaluation"]
            # Two collections may number their pictures alike: there only the
            # content counts. Pictures of one are compared by name too.
            named = names.get(_stem_key(record))
            if scored:
                yield _in_both(
                    record, scored[0], "is also", "whatever its name"
                )
            elif part == "target" and named is not None:
                yield _in_both(
                    record,
                    named,
                    "has the name of",
                    "or rename it if it is another picture",
                )
    yield from _tagged_twice(good.get("target", Records()), same)
    yield from _scored_twice(good.get("evaluation", Records()), same)
    for records in good.values():
        for record, other in alike_names(records):
            yield Problem(
                "names that differ by case",
                str(record.image_path),
                "",
                f"it and {other.image_path} differ in upper and lower case "
                "alone, which Windows and macOS take for one file; rename one",
            )


def _stem_key(record: Record) -> str:
    return output_key(record.image_path.stem)


def same_content(
    good: Iterable[str], digests: Mapping[str, Spool]
) -> dict[_Place, list[_Place]]:
    """All pictures of equal content, itself too, of those that have others."""
    every = itertools.chain(*(digests[part] for part in good))
    repeated = Names(every).repeated()
    contents: dict[bytes, list[_Place]] = collections.defaultdict(list)
    for part in good:
        for row, digest in enumerate(digests[part]):
            if hash(digest) in repeated:
                contents[digest].append((part, row))
    # One list for all of them: of a picture that stands there 40,000 times,
    # lists of its own took 12 GB.
    return {
        place: twins
        for twins in contents.values()
        for place in twins
        if len(twins) > 1
    }


def _in_both(
    record: Record, scored: Record, relation: str, remedy: str
) -> Problem:
    return Problem(
        "same image in train and val",
        str(record.image_path),
        "",
        f"it {relation} the evaluation picture {scored.image_path}; remove it "
        f"from one of them, {remedy}",
    )


def _twins_before(
    part: str, count: int, same: Mapping[_Place, list[_Place]]
) -> Iterator[tuple[int, list[int]]]:
    """Rows of a part with those before them of equal content, if any."""
    for row in range(count):
        twins = same.get((part, row), ())
        if before := [r for p, r in twins if p == part and r < row]:
            yield row, before


def _tagged_twice(
    records: Records, same: Mapping[_Place, list[_Place]]
) -> Iterator[Problem]:
    """Yields tagged pictures of equal content and unlike tags."""
    for row, before in _twins_before("target", len(records), same):
        record = records[row]
        for other in map(records.__getitem__, before):
            if other.labels != record.labels:
                yield Problem(
                    "same image with other tags",
                    str(record.image_path),
                    "",
                    f"it is also {other.image_path}, which has other tags; "
                    "correct them, and remove one of the two",
                )
                break


def _scored_twice(
    records: Records, same: Mapping[_Place, list[_Place]]
) -> Iterator[Problem]:
    """Yields evaluation pictures of equal content and unlike masks."""
    for row, before in _twins_before("evaluation", len(records), same):
        record = records[row]
        for other in map(records.__getitem__, before):
            if not np.array_equal(other.read_mask(), record.read_mask()):
                yield Problem(
                    "same image with another mask",
                    str(record.image_path),
                    "",
                    f"it is also {other.image_path}, which has another mask; "
                    "remove the one that is wrong",
                )
                break


def alike_names(records: Records) -> Iterator[tuple[Record, Record]]:
    """Yields pictures whose outputs would be one file on many systems.

    Each with the first one of that name.
    """
    repeated = Names(output_key(r.image_id) for r in records).repeated()
    first: dict[str, Record] = {}
    for record in records if repeated else ():
        key = output_key(record.image_id)
        if hash(key) not in repeated:
            continue
        other = first.setdefault(key, record)
        if other is not record:
            yield record, other
