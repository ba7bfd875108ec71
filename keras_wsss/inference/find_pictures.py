"""Which pictures are meant, and what the outputs of each are called."""

import dataclasses
import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from keras_wsss.data.lookup import find_image, is_image_name, near_image
from keras_wsss.errors import ConfigError
from keras_wsss.files import output_key


@dataclasses.dataclass(frozen=True)
class Picture:
    """A file to segment.

    Attributes:
        path: where it lies.
        name: what its outputs are called, without ending; unique, and with
            folders where it was found in sub-folders.
        file_name: what lists call it, below the folder that was named, with
            ending and `/` between folders; unique. The file's own name if
            not given.
    """

    path: Path
    name: str
    file_name: str = ""

    def __post_init__(self):
        if not self.file_name:
            object.__setattr__(self, "file_name", self.path.name)


_SUFFIX = ".png"  # of the outputs


def find_pictures(
    inputs: Sequence[str | Path], out: str | Path
) -> tuple[list[Picture], int]:
    """Lists the pictures to segment, with a name of their own for each.

    Folders are walked in sorted order; hidden files and `out` are left out,
    as are files that are no pictures by their names' endings. A file that is
    named itself is always taken. One that is met twice is taken once; links
    are files of their own. Of two with the same name, the second gets `_2`.

    Args:
        inputs: files and folders.
        out: the folder that outputs go to.

    Returns:
        The pictures, and how many files of folders were passed over.

    Raises:
        ConfigError: there is none, or an input does not exist.
    """
    pictures: list[Picture] = []
    names = OutputNames()
    seen: set[Path] = set()
    listed: set[str] = set()
    passed = 0
    for given in map(Path, inputs):
        if not given.exists():
            meant = find_image(given.parent, given.name)
            if meant is None:
                near = near_image(given.parent, given.name)
                raise ConfigError(f"{given}: no such file or folder{near}.")
            given = meant
        root, files = given.parent, [given]
        if given.is_dir():
            found = list(_walk(given, real_path(out)))
            files = [p for p in found if is_image_name(p)]
            passed += len(found) - len(files)
            root = given
        for path in files:
            place = own_path(path)
            if place not in seen:
                seen.add(place)
                own = path.relative_to(root)
                name = names.unique(own.with_suffix("").as_posix())
                file_name = own.as_posix()
                if file_name in listed:  # of another folder that was named
                    file_name = name + path.suffix
                listed.add(file_name)
                pictures.append(Picture(path, name, file_name))
    if not pictures:
        raise ConfigError(
            f"There is no JPEG or PNG file in {', '.join(map(str, inputs))}."
        )
    return pictures, passed


def real_path(path: str | Path) -> Path:
    """Where a path leads, all links followed."""
    # Not Path.resolve, which raises RuntimeError where links go in circles.
    return Path(os.path.realpath(path))


def own_path(path: str | Path) -> Path:
    """Where a file itself lies: links to its folder followed, not its own."""
    path = Path(path)
    return real_path(path.parent) / path.name


class OutputNames:
    """Names of outputs of which no two meet, on any file system.

    See `output_key`; and no folder can be called as a file is.
    """

    def __init__(self):
        self._files: set[str] = set()
        self._folders: set[str] = set()

    def unique(self, name: str) -> str:
        """`name`, or the first of `name_2`, `name_3`, ... that is free."""
        parents = PurePosixPath(output_key(name)).parents
        if self._files & set(map(str, parents)):
            name = name.replace("/", "_")  # a folder called as an output is
        candidate, number = name, 1
        file = output_key(candidate) + _SUFFIX
        while file in self._files or file in self._folders:
            number += 1
            candidate = f"{name}_{number}"
            file = output_key(candidate) + _SUFFIX
        self._files.add(file)
        self._folders.update(map(str, PurePosixPath(file).parents))
        return candidate


def _walk(folder: Path, out: Path) -> Iterator[Path]:
    """The visible files of a folder and those below, sorted.

    Links to folders are followed, but for those that lead back.
    """
    for parent, folders, files in os.walk(folder, followlinks=True):
        above = {real_path(parent), *real_path(parent).parents}
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".")
            and real_path(Path(parent) / name) not in {out, *above}
        )
        for name in sorted(files):
            if not name.startswith("."):
                yield Path(parent) / name
