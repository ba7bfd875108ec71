"""Pictures that stand in a data set twice, or nearly."""

import collections
from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from keras_wsss.data.problems import Problem
from keras_wsss.data.records import Record
from keras_wsss.files import output_key


def problems_across(
    good: dict[str, list[Record]], digests: Mapping[int, bytes]
) -> Iterator[Problem]:
    """Yields what is wrong between pictures that are sound by themselves.

    Content is compared pixel by pixel, whatever the kind of the file; a
    picture that was saved again at another size or quality is found by its
    name only.

    Args:
        good: part -> records without a problem.
        digests: of the pixels, by the `id` of the record.
    """
    contents: dict[bytes, list[tuple[str, Record]]]
    contents = collections.defaultdict(list)
    for part, records in good.items():
        for record in records:
            contents[digests[id(record)]].append((part, record))
    same = {
        id(record): [other for other in twins if other[1] is not record]
        for twins in contents.values()
        for _, record in twins
        if len(twins) > 1
    }
    names = {
        output_key(r.image_path.stem): r for r in good.get("evaluation", ())
    }
    for part in ("source", "target"):
        for record in good.get(part, ()):
            twins = same.get(id(record), ())
            scored = [r for p, r in twins if p == "evaluation"]
            # Two collections may number their pictures alike: there only the
            # content counts. Pictures of one are compared by name too.
            named = names.get(output_key(record.image_path.stem))
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
    yield from _tagged_twice(good.get("target", ()), same)
    yield from _scored_twice(good.get("evaluation", ()), same)
    for records in good.values():
        yield from _alike_names(records)


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


def _tagged_twice(
    records: Iterable[Record],
    same: dict[int, list[tuple[str, Record]]],
) -> Iterator[Problem]:
    """Yields tagged pictures of equal content and unlike tags."""
    seen: set[str] = set()
    for record in records:
        for part, other in same.get(id(record), ()):
            if (
                part == "target"
                and other.image_id in seen
                and other.labels != record.labels
            ):
                yield Problem(
                    "same image with other tags",
                    str(record.image_path),
                    "",
                    f"it is also {other.image_path}, which has other tags; "
                    "correct them, and remove one of the two",
                )
                break
        seen.add(record.image_id)


def _scored_twice(
    records: Iterable[Record],
    same: dict[int, list[tuple[str, Record]]],
) -> Iterator[Problem]:
    """Yields evaluation pictures of equal content and unlike masks."""
    seen: set[int] = set()
    for record in records:
        for _, other in same.get(id(record), ()):
            if id(other) in seen and not np.array_equal(
                other.read_mask(), record.read_mask()
            ):
                yield Problem(
                    "same image with another mask",
                    str(record.image_path),
                    "",
                    f"it is also {other.image_path}, which has another mask; "
                    "remove the one that is wrong",
                )
                break
        seen.add(id(record))


def _alike_names(records: Iterable[Record]) -> Iterator[Problem]:
    """Yields pictures whose outputs would be one file on many systems."""
    seen: dict[str, Record] = {}
    for record in records:
        other = seen.setdefault(output_key(record.image_id), record)
        if other is not record:
            yield Problem(
                "names that differ by case",
                str(record.image_path),
                "",
                f"it and {other.image_path} differ in upper and lower case "
                "alone, which Windows and macOS take for one file; rename one",
            )
