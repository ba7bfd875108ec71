"""Tags by folders: one for each category, with its pictures in it."""

import os
from collections.abc import Iterator
from pathlib import Path

from keras_wsss.categories import Split
from keras_wsss.data.formats.format import Format
from keras_wsss.data.formats.tags import IGNORED, NOT_TARGET
from keras_wsss.data.lookup import is_image_name
from keras_wsss.data.problems import OnProblem, Problem, closest, raise_problem
from keras_wsss.data.records import NO_TARGET, Dataset, Record, Records
from keras_wsss.errors import DataError

NONE = "_none_"  # the folder of pictures of no category
# Reasons in `Dataset.skipped`.
NOT_WANTED = "in a folder that config.split.ignored names"
NO_FOLDER = "beside the folders of the categories"
TOO_DEEP = "in a folder within that of a category"
NO_PICTURE = "whose name has no ending of a JPEG or PNG"


class _ClassFolders(Format):
    """A folder such as photos/ with photos/cat/1.jpg."""

    name = "folders"
    own_images = True

    def recognises(self, path, part):
        """Whether it is a folder of folders with pictures."""
        return (
            part == "target"
            and path.is_dir()
            and any(
                is_image_name(name)
                for folder in _folders(path)
                for name in os.listdir(folder)
            )
        )

    def read_target(self, data, split, on_problem=raise_problem):
        """See `read_class_folders`."""
        return read_class_folders(
            Path(data.target_tags),
            split,
            on_problem,
            complete=data.tags_complete,
        )


def read_class_folders(
    root: Path,
    split: Split,
    on_problem: OnProblem = raise_problem,
    *,
    complete: bool = True,
) -> Dataset:
    """Reads target records: the name of a picture's folder is its tag.

    Args:
        root: folder of the folders; `_none_` holds pictures of no category.
        split: categories to use; folders may be called by its aliases.
        on_problem: called with every problem; the folder is left out.
        complete: whether a picture is known to show no other target.

    Returns:
        Records named by folder and picture, in the order of their names:
        "cat/1" and "dog/1" are two pictures. Files that are not read are
        counted in `skipped`: what lies beside the folders or deeper in them,
        what is no picture by its name, and all of a folder whose name the
        split ignores, which may hold anything.

    Raises:
        DataError: no such folder, or none in it; with the default `on_problem`,
            also the first problem.
    """
    if not root.is_dir():
        raise DataError(f"{root}: no such folder; give one of folders.")
    folders = _folders(root)
    if not folders:
        raise DataError(
            f"{root}: there is no folder in it; make one for each category, "
            "with its pictures."
        )
    records = Records()
    skipped: dict[str, list[str]] = {}
    dropped = {NOT_TARGET: 0, IGNORED: 0}

    def skip(reason: str, *names: str) -> None:
        if names:
            skipped.setdefault(reason, []).extend(names)

    skip(NO_FOLDER, *filter(is_image_name, _files(root)))
    targets = split.target_ids
    annotated = targets if complete else ()
    for folder in folders:
        found = split.find(folder.name)
        pictures, others, deep = _content(folder)
        if folder.name != NONE and found is None:
            if split.ignores(folder.name):
                skip(NOT_WANTED, *(f"{folder.name}/{n}" for n in pictures))
                dropped[IGNORED] += len(pictures)
            else:
                on_problem(_no_category(folder, split))
            continue
        skip(NO_PICTURE, *(f"{folder.name}/{name}" for name in others))
        skip(TOO_DEEP, *(f"{folder.name}/{name}" for name in sorted(deep)))
        labels = (found,) if found in targets else ()
        if found is not None and not labels:
            dropped[NOT_TARGET] += len(pictures)
        taken: dict[str, str] = {}
        for picture in pictures:
            name = os.path.splitext(picture)[0]
            if name in taken:
                text = (
                    f"it and {taken[name]} differ in their ending only; "
                    "outputs are named without it, so rename one of them"
                )
                on_problem(
                    Problem("duplicate name", str(folder / picture), "", text)
                )
                continue
            taken[name] = picture
            name = f"{folder.name}/{name}"
            if not (labels or complete):
                skip(NO_TARGET, name)
                continue
            records.append(
                Record(
                    name,
                    folder / picture,
                    "target",
                    labels,
                    annotated=annotated,
                )
            )
    return Dataset(
        records,
        {reason: tuple(names) for reason, names in skipped.items()},
        {reason: number for reason, number in dropped.items() if number},
    )


def _no_category(folder: Path, split: Split) -> Problem:
    known = (*split.categories, *split.aliases)
    text = (
        f"the folder is no category of split '{split.name}'"
        f"{closest(folder.name, known)}; correct its name, call it {NONE} if "
        "its pictures show no category, or name it in config.split.ignored"
    )
    return Problem("unknown category", str(folder), "", text)


def _folders(root: Path) -> list[Path]:
    return sorted(
        path
        for path in root.iterdir()
        if path.is_dir() and not path.name.startswith(".")
    )


def _files(folder: Path) -> list[str]:
    """Names of all but folders, hidden ones left out, sorted."""
    with os.scandir(folder) as entries:
        return sorted(
            entry.name
            for entry in entries
            if not entry.name.startswith(".")
            # os.path raises nothing where links go in circles.
            and not entry.is_dir(follow_symlinks=False)
            and not (entry.is_symlink() and os.path.isdir(entry.path))
        )


def _content(folder: Path) -> tuple[list[str], list[str], Iterator[str]]:
    """Names of pictures, of other files, and of pictures farther down."""
    files = _files(folder)
    deep = (
        os.path.relpath(os.path.join(place, name), folder)
        for place, _, names in os.walk(folder)
        if place != str(folder)
        for name in names
        if is_image_name(name)
    )
    return (
        [name for name in files if is_image_name(name)],
        [name for name in files if not is_image_name(name)],
        deep,
    )


CLASS_FOLDERS = _ClassFolders()
