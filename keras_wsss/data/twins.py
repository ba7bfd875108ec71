"""Pictures that stand in a data set twice, or nearly."""

import collections
from collections.abc import Iterable, Iterator

from keras_wsss.data.problems import Problem
from keras_wsss.data.records import Record
from keras_wsss.files import sha256


def problems_across(good: dict[str, list[Record]]) -> Iterator[Problem]:
    """Yields what is wrong between pictures that are sound by themselves.

    Content is compared byte for byte (by SHA-256); a picture that was saved
    again at another size or quality is found by its name only.

    Args:
        good: part -> records without a problem.
    """
    sizes: dict[int, list[tuple[str, Record]]] = collections.defaultdict(list)
    for part, records in good.items():
        for record in records:
            sizes[record.image_path.stat().st_size].append((part, record))
    contents: dict[str, list[tuple[str, Record]]]
    contents = collections.defaultdict(list)
    for alike in sizes.values():
        if len(alike) > 1:  # equal content needs equal size
            for part, record in alike:
                contents[sha256(record.image_path)].append((part, record))
    same = {
        id(record): [other for other in twins if other[1] is not record]
        for twins in contents.values()
        for _, record in twins
    }
    names = {r.image_path.stem: r for r in good.get("evaluation", ())}
    for part in ("source", "target"):
        for record in good.get(part, ()):
            twins = same.get(id(record), ())
            scored = [r for p, r in twins if p == "evaluation"]
            # Two collections may number their pictures alike: there only the
            # content counts. Pictures of one are compared by name too.
            named = names.get(record.image_path.stem)
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


def _alike_names(records: Iterable[Record]) -> Iterator[Problem]:
    """Yields pictures whose outputs would be one file on many systems."""
    seen: dict[str, Record] = {}
    for record in records:
        other = seen.setdefault(record.image_id.casefold(), record)
        if other is not record:
            yield Problem(
                "names that differ by case",
                str(record.image_path),
                "",
                f"it and {other.image_path} differ in upper and lower case "
                "alone, which Windows and macOS take for one file; rename one",
            )
