"""Records from annotated instances, of whatever format they come.

A format of instances says how its files become `Annotations`; what training
and scoring make of them is the same for all.
"""

import collections
import dataclasses
import functools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from keras_wsss.categories import Split
from keras_wsss.data.annotations import AnnotatedImage, Annotations, Mark
from keras_wsss.data.formats.names import (
    check_spelling,
    is_background,
    is_ignored,
    is_no_category,
)
from keras_wsss.data.formats.source import (
    HIDDEN,
    IN_CROWDS,
    UNPAINTED,
    Candidate,
    require_source,
    source_dataset,
)
from keras_wsss.data.instance_masks import (
    BACKGROUND,
    IGNORED,
    UNKNOWN,
    InstanceMask,
    Roles,
    region_of,
)
from keras_wsss.data.lookup import (
    IMAGE_SUFFIXES,
    Names,
    find_image,
    near_image,
    plain_files,
)
from keras_wsss.data.problems import (
    OnProblem,
    Problem,
    closest,
    raise_problem,
)
from keras_wsss.data.records import (
    MISSING,
    NO_TARGET,
    Dataset,
    Record,
    Records,
)
from keras_wsss.data.visible_labels import VisibleLabels, painted
from keras_wsss.errors import DataError
from keras_wsss.progress import progress

UNPLACED = "a category to score is in the picture, nobody drew where"
_PLAIN_NAME = re.compile(r"[\w-]+(/[\w-]+)*\.\w+", re.ASCII)


def source_records(
    file: Annotations,
    images: Path,
    split: Split,
    on_problem: OnProblem = raise_problem,
    *,
    min_pixels: int = 1,
    **switches: Any,
) -> Dataset:
    """Makes source records of a validated file; see `source_dataset`.

    Labels are the source categories with an instance that is no crowd and of
    which enough pixels are visible in the painted mask. Labels and pixels of
    target categories never reach a record (see `InstanceMask`): one that is
    annotated in a picture is `uncertain` there.

    Args:
        file: what `read_coco_file` gave.
        images: folder of the pictures.
        split: categories to use.
        on_problem: called with every problem; the picture is left out.
        min_pixels: 0 trusts the annotations and compares no outlines while
            reading, which saves more than half of the time.
        **switches: the others of `source_dataset`.

    Raises:
        DataError: the file has no source category of the split; and with
            the default `on_problem`, the first problem.
    """
    ids = _known(file, split)
    source, target = set(split.source_ids), set(split.target_ids)
    require_source(split, ids.values(), file.path, file.categories.values())
    wanted = source | target
    roles = _source_roles(file, ids, source, target)
    without_target = switches.get("exclude_images_with_target", False)

    def asked(marks: list[Mark]) -> tuple[int, ...]:
        if without_target and any(ids[c] in target for c, _, _ in marks):
            return ()
        return painted(marks, roles)

    visible = VisibleLabels(file, roles, min_pixels, asked)
    crowds: collections.Counter[int] = collections.Counter()
    one, many = roles.single, roles.crowd

    def candidates() -> Iterator[Candidate]:
        for image, name, path in _located(file, images, on_problem):
            named: set[int] = set()
            labels: set[int] = set()
            for category, crowd, _ in file.instances.marks(image.id):
                number = ids[category]
                if number in wanted:
                    named.add(number)
                    if crowd and number in source:
                        crowds[number] += 1
                if (role := (many if crowd else one)[category]) > 0:
                    labels.add(role)
            missing = None
            if path is None:
                missing = missing_image(file, images, image)
            mask = InstanceMask(file.path, image, file.instances, roles)
            yield Candidate(
                name,
                path,
                mask,
                frozenset(named),
                tuple(sorted(labels)),
                missing,
                _hidden_by,
                visible=functools.partial(visible.of, mask),
            )

    with visible:
        dataset = source_dataset(
            candidates(),
            split,
            {i for i in ids.values() if i is not None},
            on_problem,
            min_pixels=min_pixels,
            **switches,
        )
        visible.save()
    dropped = {crowds_of(split.name_of(i)): crowds[i] for i in sorted(+crowds)}
    return dataclasses.replace(
        dataset,
        dropped={**file.dropped, **dataset.dropped, **dropped},
        **_listed(file, split),
    )


def crowds_of(name: str) -> str:
    """Key of `Dataset.dropped` for the crowds of a category."""
    return f"crowds of {name}, ignored in masks"


def _known(file: Annotations, split: Split) -> dict[int, int | None]:
    """Ids of the split for those of the categories of a file."""
    return {key: split.find(name) for key, name in file.categories.items()}


def _listed(file: Annotations, split: Split) -> dict[str, Any]:
    """What a data set tells of the categories of its file."""
    ids = _known(file, split)
    return {
        "listed": tuple(sorted({i for i in ids.values() if i is not None})),
        "unknown": tuple(
            sorted(
                name
                for key, name in file.categories.items()
                if ids[key] is None and not is_no_category(name)
            )
        ),
    }


def evaluation_records(
    file: Annotations,
    images: Path,
    split: Split,
    on_problem: OnProblem = raise_problem,
) -> Dataset:
    """Pictures with masks to score by, in the order of their ids.

    Crowds are not scored (255); what the split does not know is background,
    as in a folder in VOC layout. Every mask is painted once here, to know the
    labels.

    Args:
        file: annotations of pictures.
        images: folder of the pictures.
        split: categories to use. A scored one must be known to the file.
        on_problem: called with every problem; the picture is left out.

    Raises:
        DataError: a scored category is not in the file; and with the default
            `on_problem`, the first problem.
    """
    ids = _known(file, split)
    for name in split.scored:
        if split.id_of(name) not in ids.values():
            raise DataError(
                f"{file.path}: the scored category {name!r} is not among its "
                f"categories{closest(name, file.categories.values())}; correct "
                "the split or the file."
            )
    check_spelling(file.path, file.categories.values(), split, on_problem)
    roles = _evaluation_roles(file, ids)
    visible = VisibleLabels(file, roles, 1, lambda marks: painted(marks, roles))
    targets = set(split.target_ids)
    records = Records()
    skipped: list[str] = []
    crowds: collections.Counter[int | None] = collections.Counter()
    with visible:
        for image, record_id, path in _located(file, images, on_problem):
            if path is None:
                on_problem(missing_image(file, images, image))
                continue
            marks = file.instances.marks(image.id)
            unplaced = {ids[c] for c, _, placed in marks if not placed}
            unplaced &= set(split.scored_ids)
            crowds.update(ids[c] for c, crowd, at in marks if crowd and at)
            mask = InstanceMask(file.path, image, file.instances, roles)
            labels = visible.of(mask, painted(marks, roles))
            if not unplaced.issubset(labels):
                skipped.append(record_id)
                continue
            labels = tuple(i for i in labels if i in targets)
            records.append(Record(record_id, path, "target", labels, mask))
        visible.save()
    return Dataset(
        records,
        {UNPLACED: tuple(skipped)} if skipped else {},
        {
            **file.dropped,
            **{
                crowds_of(split.name_of(i)): crowds[i]
                for i in split.ids(split.categories)
                if crowds[i]
            },
        },
        **_listed(file, split),
    )


def tagged_records(
    file: Annotations,
    images: Path,
    split: Split,
    on_problem: OnProblem = raise_problem,
    *,
    skip_missing: bool = False,
    complete: bool = True,
) -> Dataset:
    """Pictures of which the names of their instances are tags.

    Args:
        file: annotations of pictures; outlines are not looked at.
        images: folder of the pictures.
        split: categories to use; others say nothing.
        on_problem: called with every problem; the picture is left out.
        skip_missing: count pictures without a file instead of reporting.
        complete: whether a target category that the file lists and that a
            picture has no instance of is absent there.

    Raises:
        DataError: no target category is in the file; and with the default
            `on_problem`, the first problem.
    """
    ids = _known(file, split)
    targets = set(split.target_ids)
    listed = tuple(sorted(targets & set(ids.values())))
    if not listed:
        name = split.target[0]
        raise DataError(
            f"{file.path}: none of the target categories of split "
            f"'{split.name}' is among its categories ({name!r} is not"
            f"{closest(name, file.categories.values())}); correct the split "
            "or the file."
        )
    check_spelling(file.path, file.categories.values(), split, on_problem)
    records = Records()
    foreign: set[str] = set()
    skipped: dict[str, list[str]] = {}
    for image, record_id, path in _located(file, images, on_problem):
        if path is None:
            if not skip_missing:
                on_problem(missing_image(file, images, image))
            skipped.setdefault(MISSING, []).append(record_id)
            continue
        found = {
            ids[category]
            for category, _, _ in file.instances.marks(image.id)
            if not is_no_category(file.categories[category])
        }
        labels = tuple(i for i in listed if i in found)
        if found == {None}:
            foreign.add(record_id)
        if not (labels or complete):
            skipped.setdefault(NO_TARGET, []).append(record_id)
            continue
        records.append(
            Record(
                record_id,
                path,
                "target",
                labels,
                annotated=listed if complete else (),
            )
        )
    return Dataset(
        records,
        {key: tuple(value) for key, value in skipped.items()},
        file.dropped,
        foreign=frozenset(foreign),
        **_listed(file, split),
    )


def _located(
    file: Annotations, images: Path, on_problem: OnProblem
) -> Iterator[tuple[AnnotatedImage, str, Path | None]]:
    """Pictures with their record names and their files, where there are any.

    A record's name is the file name without its ending.
    """
    taken: dict[str, str] = {}
    places: dict[str, str] = {}
    plain = plain_files(images)
    # Where all names are those of files, pictures that are one have one name,
    # and none has to be remembered but those with a name that others have too.
    usual = all(image.file_name in plain for image in file.images)
    names = Names(_record_name(image.file_name) for image in file.images)
    repeated = names.repeated()
    for image in progress(file.images, "reading annotations"):
        name = _record_name(image.file_name)
        path: Path | None = images / image.file_name
        if usual and hash(name) not in repeated:
            yield image, name, path
            continue
        if image.file_name not in plain:
            path = find_image(images, image.file_name)
        place = str(path)
        if path is not None and place in places:
            kind = "duplicate image"
            text = f"{image.file_name} is the picture of {places[place]} too"
            text += "; join the entries"
        elif name in taken:
            kind = "duplicate name"
            text = (
                f"{image.file_name} and {taken[name]} differ only in their "
                "ending; rename one"
            )
        else:
            taken[name] = image.file_name
            if path is not None:
                places[place] = image.named
            yield image, name, path
            continue
        on_problem(Problem(kind, str(file.path), image.named, text))


def _record_name(file_name: str) -> str:
    """A file name without the ending of a picture, if it has one."""
    rest, _, ending = file_name.rpartition(".")
    if f".{ending.lower()}" not in IMAGE_SUFFIXES:
        return file_name  # "v1.1", of a tool that leaves endings out
    if _PLAIN_NAME.fullmatch(file_name):
        return rest  # the same in less time
    return str(Path(file_name).with_suffix(""))


def missing_image(
    file: Annotations, images: Path, image: AnnotatedImage
) -> Problem:
    """Problem of a listed picture without a file."""
    return Problem(
        "missing image",
        str(images / image.file_name),
        "",
        f"no such file, though {file.path} lists it as {image.named}"
        f"{near_image(images, image.file_name)}; check the image folder or "
        "remove the entry",
    )


def _source_roles(
    file: Annotations,
    ids: Mapping[int, int | None],
    source: set[int],
    target: set[int],
) -> Roles:
    """To train on: source categories are painted, others teach nothing."""
    single: dict[int, int] = {}
    crowd = dict.fromkeys(ids, IGNORED)
    for category, number in ids.items():
        name = file.categories[category]
        if number is None and is_background(name):
            single[category] = crowd[category] = BACKGROUND
            continue
        if number is not None and number in target:
            single[category] = IGNORED
        elif number is not None and number in source:
            single[category] = number
        elif number is None and is_ignored(name):
            single[category] = IGNORED
        else:
            single[category] = UNKNOWN
    return Roles(single, crowd)


def _evaluation_roles(
    file: Annotations, ids: Mapping[int, int | None]
) -> Roles:
    """To score by: what the split does not know is background."""
    single, crowd = {}, {}
    for category, number in ids.items():
        ignored = number is None and is_ignored(file.categories[category])
        known = BACKGROUND if number is None else number
        single[category] = IGNORED if ignored else known
        judged = number is None and not ignored
        crowd[category] = BACKGROUND if judged else IGNORED
    return Roles(single, crowd)


def _hidden_by(candidate: Candidate) -> str:
    """Why no label of a picture is visible."""
    mask = candidate.mask
    assert isinstance(mask, InstanceMask)
    if not candidate.labels:
        return IN_CROWDS
    areas = (
        region_of(i, mask.image).area
        for i in mask.instances
        if mask.roles.of(i.category, i.crowd) > 0
    )
    return HIDDEN if any(areas) else UNPAINTED
