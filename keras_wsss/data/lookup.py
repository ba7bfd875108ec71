"""Finds the picture that a data file names, also where its spelling differs.

Tools and systems spell one file in several ways: Windows separates folders by
backslashes, macOS takes letters and their accents apart, web tools write
blanks as %20, and the ending comes in either case and as `.jpg`, `.jpeg` or
`.jfif`. All readers of file names look here, so that all find the same.
"""

import bisect
import contextlib
import difflib
import functools
import os
import time
from array import array
from collections.abc import Container, Hashable, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import unquote

import numpy as np

from keras_wsss.data.problems import path_problem
from keras_wsss.files import normal_name

# Endings of pictures, in small letters -> what they mean.
_MEANING = {
    ".jpg": ".jpg",
    ".jpeg": ".jpg",
    ".jpe": ".jpg",
    ".jfif": ".jpg",
    ".png": ".png",
}
IMAGE_SUFFIXES = tuple(_MEANING)
_SEARCHED = 3000  # names of a folder that are compared letter by letter
_FRESH = 1_000_000_000  # nanoseconds
_FOLDERS = 100  # below the root that are searched for a name


def is_image_name(path: str | os.PathLike[str]) -> bool:
    """Whether a name's ending is one of pictures, in any case.

    Hidden files are none: macOS leaves "._a.jpg" beside "a.jpg".
    """
    name = os.path.basename(path)
    return not name.startswith(".") and _split(name)[1] != ""


def files_below(root: str | os.PathLike[str], *endings: str) -> list[Path]:
    """Visible files below a folder, sorted; links to folders are followed.

    Args:
        root: the folder; there are no files in one that does not exist.
        endings: in small letters, such as ".txt", in any case; all files if
            there is none.
    """
    return sorted(_files_below(Path(root), endings, frozenset()))


def _files_below(
    folder: Path, endings: tuple[str, ...], above: frozenset[str]
) -> Iterator[Path]:
    real = os.path.realpath(folder)
    if real in above or not folder.is_dir():  # a link that leads back
        return
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries]
    for name in names:
        path = folder / name
        if name.startswith("."):
            continue
        if path.is_dir():
            yield from _files_below(path, endings, above | {real})
        elif not endings or name.lower().endswith(endings):
            yield path


class Names(Container[Hashable]):
    """A set of names, or the like, of which only hashes are kept, 8 bytes.

    With a million names in it, one in 10^13 others seems to be there too.
    """

    def __init__(self, names: Iterable[Hashable] = ()):
        hashes = np.fromiter(map(hash, names), np.int64)
        hashes.sort()
        self._hashes = array("q", hashes.tobytes())

    def __contains__(self, name: object) -> bool:
        wanted = hash(name)
        place = bisect.bisect_left(self._hashes, wanted)
        return self._hashes[place : place + 1] == array("q", [wanted])

    def repeated(self) -> set[int]:
        """Hashes of names that were given more than once, or seem so."""
        hashes = np.asarray(self._hashes)
        return set(hashes[1:][hashes[1:] == hashes[:-1]].tolist())


def plain_files(root: str | os.PathLike[str]) -> Names:
    """Names of the files in a folder, without links and sub-folders.

    Looked at once: most names of a data file are right, and there are many.
    """
    with contextlib.suppress(OSError), os.scandir(root) as entries:
        return Names(
            e.name for e in entries if e.is_file(follow_symlinks=False)
        )
    return Names()


def find_image(root: Path, name: str) -> Path | None:
    """The picture `name` under `root`, with or without its file ending.

    The exact name comes first. Then the case of the ending, `.jpg` for
    `.jpeg`, `.jpe` and `.jfif`, the Unicode form, backslashes as separators
    and %XX for characters do not matter. Symbolic links are followed.

    Args:
        root: folder that names start from.
        name: as a data file has it; one that leads out of `root` is found
            nowhere.

    Returns:
        The path of an existing file, or None where there is none or where
        several fit; `near_image` names them.
    """
    found = _fitting(Path(root), name)
    return found[0] if len(found) == 1 else None


def find_mask(root: Path, name: str) -> Path:
    """The PNG of the mask `name` under `root`, spelled as `find_image` allows.

    Args:
        root: folder of masks.
        name: of the picture, without an ending.

    Returns:
        The path of a file; where there is none, the one that it should have.
    """
    return find_image(root, f"{name}.png") or Path(root) / f"{name}.png"


def near_image(root: Path, name: str) -> str:
    """Hint about a name that `find_image` does not find.

    Returns:
        ", nearest: a.jpg", ", which may be a.jpg or a.png: write the ending
        too", or an empty string without any like it.
    """
    root = Path(root)
    found = _fitting(root, name)
    if len(found) > 1:
        names = " or ".join(_below(root, path) for path in found)
        return f", which may be {names}: write the ending too"
    near = _near(root, name)
    return f", nearest: {', '.join(near)}" if near else ""


def _split(name: str) -> tuple[str, str]:
    """Stem, and meaning of a picture's ending or nothing."""
    stem, ending = os.path.splitext(name)
    meaning = _MEANING.get(ending.lower(), "")
    return (stem, meaning) if meaning else (name, "")


def _spellings(name: str) -> Iterator[PurePosixPath]:
    """What a written name may mean, most literal first."""
    plain = unquote(name, errors="replace")
    spellings = (name, name.replace("\\", "/"), plain, plain.replace("\\", "/"))
    for spelling in dict.fromkeys(spellings):
        # %2E%2E is the folder above, too.
        if path_problem(spelling) is None:
            yield PurePosixPath(spelling)


def _fitting(root: Path, name: str) -> list[Path]:
    """The files that a name may mean: the best kind of fit only."""
    # Most names are right, and a data set has many of them.
    if path_problem(name) is None and os.path.isfile(os.path.join(root, name)):
        return [root / name]
    for spelling in _spellings(name):
        if (root / spelling).is_file():
            return [root / spelling]
    for spelling in _spellings(name):
        folder = _folder(root, spelling.parent)
        if folder is None:
            continue
        stem, ending = _split(normal_name(spelling.name))
        # Without an ending of pictures, all of the name is the stem; a name
        # such as "a.b" keeps its ".b".
        for key in ((stem, ending), (normal_name(spelling.name), "")):
            if names := _listing(folder).names.get(key, ()):
                return [folder / found for found in names]
    return []


def _folder(root: Path, below: PurePosixPath) -> Path | None:
    for part in below.parts:
        if not (root / part).is_dir():
            wanted = normal_name(part)
            found = [
                n for n in _listing(root).folders if normal_name(n) == wanted
            ]
            if len(found) != 1:
                return None
            part = found[0]
        root /= part
    return root if root.is_dir() else None


class _Listing(NamedTuple):
    """What a folder holds, names sorted.

    Attributes:
        names: pictures by (stem, ending) and by (stem, "").
        folded: pictures by their stem without regard to case.
        folders: its sub-folders.
    """

    names: dict[tuple[str, str], list[str]]
    folded: dict[str, list[str]]
    folders: list[str]


def _listing(folder: Path) -> _Listing:
    changed = folder.stat().st_mtime_ns
    if abs(time.time_ns() - changed) < _FRESH:
        # Another change in the same tick of the clock would go unseen.
        return _list.__wrapped__(str(folder), changed)
    return _list(str(folder), changed)


@functools.lru_cache(64)
def _list(folder: str, changed: int) -> _Listing:
    listing = _Listing({}, {}, [])
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            stem, ending = _split(normal_name(entry.name))
            # os.path, not the entry, which raises where links go in circles.
            if os.path.isdir(entry.path):
                listing.folders.append(entry.name)
            elif ending and os.path.isfile(entry.path):
                for key in ((stem, ending), (stem, "")):
                    listing.names.setdefault(key, []).append(entry.name)
                folded = listing.folded.setdefault(stem.casefold(), [])
                folded.append(entry.name)
    return listing


def _near(root: Path, name: str) -> list[str]:
    """Up to three files that a name is like, below `root`."""
    if not root.is_dir():
        return []
    spelling = list(_spellings(name))[-1:]
    if not spelling:
        return []
    stem, ending = _split(normal_name(spelling[0].name))
    folders = [_folder(root, spelling[0].parent), root]
    folders += [root / below for below in _listing(root).folders[:_FOLDERS]]
    for folder in filter(None, dict.fromkeys(folders)):
        # The same but for its folder, its ending or its case.
        listing = _listing(folder)
        same = listing.names.get((stem, ""), ())
        same = same or listing.folded.get(stem.casefold(), ())
        if same:
            return [_below(root, folder / found) for found in same[:3]]
    for folder in filter(None, dict.fromkeys(folders[:2])):
        files = [n for found in _listing(folder).folded.values() for n in found]
        longer = [n for n in files if n.startswith((f"{stem}_", f"{stem}-"))]
        if longer:
            return [_below(root, folder / found) for found in longer[:3]]
        if len(files) <= _SEARCHED:
            near = difflib.get_close_matches(stem + ending, files, 3, 0.7)
            if near:
                return [_below(root, folder / found) for found in near]
    return []


def _below(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix()
