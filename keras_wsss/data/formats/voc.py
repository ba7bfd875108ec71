"""A folder in the layout of PASCAL VOC: lists, pictures, index masks."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from keras_wsss.categories import MAX_CATEGORIES, VOC_CATEGORIES
from keras_wsss.data.formats.index_masks import (
    IndexFormat,
    MaskedPicture,
    MaskFolder,
)
from keras_wsss.data.formats.names import is_background, is_no_category
from keras_wsss.data.lookup import (
    find_image,
    find_mask,
    is_image_name,
    near_image,
)
from keras_wsss.data.problems import (
    OnProblem,
    Problem,
    path_problem,
    raise_problem,
    read_text,
)
from keras_wsss.errors import DataError
from keras_wsss.files import normal_name, write_text

CLASSES_FILE = "classes.txt"
_LABELME = ("__ignore__", "_ignore_", "ignore")  # of index -1, before all


def list_voc(
    root: Path,
    image_sets: Sequence[str],
    masks: str,
    on_problem: OnProblem = raise_problem,
    images: Path | None = None,
) -> MaskFolder:
    """Pictures and masks of a folder in VOC layout.

    Args:
        root: the folder.
        image_sets: names of a list, of which the first that exists is taken;
            none of them is needed where there is but one list.
        masks: folder of the masks.
        on_problem: called with every problem; the picture is left out.
        images: folder of the pictures, if not JPEGImages.

    Raises:
        DataError: no such folder, or no list.
    """
    if not root.is_dir():
        raise DataError(f"{root}: no such folder; give one in VOC layout.")
    images = images or root / "JPEGImages"
    path = _image_set(root, image_sets)
    pictures = tuple(
        MaskedPicture(
            name,
            find_image(images, name),
            find_mask(root / masks, name),
            _missing_image(path, line, images, name),
        )
        for line, name in read_image_set(path, on_problem)
    )
    names_path = root / CLASSES_FILE
    return MaskFolder(
        root,
        read_classes(root),
        names_path if names_path.exists() else None,
        pictures,
    )


def read_classes(root: Path) -> tuple[str, ...]:
    """Category names of a folder in index order, index 1 first.

    They stand in `classes.txt`, a name a line; comments ("# ...") are skipped,
    and first lines that mean background, such as "_background_", or LabelMe's
    "__ignore__". Without that file they are VOC's.

    Raises:
        DataError: an empty or repeated name, too many, a name of the
            background behind a category, or one of what is not judged
            anywhere.
    """
    path = root / CLASSES_FILE
    if not path.exists():
        return VOC_CATEGORIES
    lines = [line.strip() for line in read_text(path).rstrip().split("\n")]
    names = [line for line in lines if not line.startswith("#")]
    while names and (is_background(names[0]) or names[0] in _LABELME):
        names = names[1:]
    for name in names:
        if is_no_category(name):
            where = "first" if name == names[0] else "behind a category"
            raise DataError(
                f"{path}: {name!r} stands {where} and is no category, so that "
                "it is not clear which index each name has; write the "
                "categories only, in the order of the mask indices from 1 on "
                "(0 is the background, and 255 what is not judged)."
            )
    if not names or len(names) > MAX_CATEGORIES:
        raise DataError(
            f"{path}: {len(names)} names; give 1 to {MAX_CATEGORIES}."
        )
    for name in names:
        if not name or names.count(name) > 1:
            raise DataError(
                f"{path}: the name {name!r} is empty or stands twice; write "
                "one category name a line, in the order of the mask indices."
            )
    return tuple(names)


def write_classes(root: Path, names: Iterable[str]) -> None:
    """Writes the names of mask indices for `read_classes`, index 1 first."""
    write_text(root / CLASSES_FILE, "".join(f"{name}\n" for name in names))


def read_image_set(
    path: Path, on_problem: OnProblem = raise_problem
) -> Iterator[tuple[int, str]]:
    """Yields (line number, picture name) of a list of pictures.

    A line is a name without an ending, or, as other tools write it, the path
    of a picture below the folder and perhaps that of its mask.

    Args:
        path: the list.
        on_problem: called with every problem; the line is left out.

    Raises:
        DataError: the list is missing or empty.
    """
    seen: dict[str, int] = {}
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        name = _listed_name(line.strip())
        if not name:
            continue
        kind, text = "path leaving the root", path_problem(name)
        if not text and (other := _other_mask(line.strip(), name)):
            kind = "mask of another name"
            text = (
                f"{name} has the mask {other} there; masks are found by the "
                "names of their pictures: rename it, or the picture"
            )
        if not text and name in seen:
            kind = "duplicate name"
            text = f"{name} stands in line {seen[name]} too; remove one"
        if text:
            on_problem(Problem(kind, str(path), f"line {number}", text))
            continue
        seen[name] = number
        yield number, name
    if not seen:
        raise DataError(f"{path}: it lists no picture; write a name a line.")


def _listed_name(line: str) -> str:
    """The picture that a line of a list names.

    "JPEGImages/a.jpg SegmentationClass/a.png" is "a"; a name may hold blanks.
    """
    parts = line.split()
    if len(parts) == 2 and all(map(is_image_name, parts)):
        line = parts[0]
    if is_image_name(line):
        line = line.replace("\\", "/").rpartition(".")[0]
        line = line.removeprefix("/") if len(parts) == 2 else line
        _, found, rest = line.partition("JPEGImages/")
        line = rest if found else line
    return line


def _other_mask(line: str, name: str) -> str | None:
    """The mask that a line names, if its name is not that of the picture."""
    parts = line.split()
    if len(parts) != 2 or not all(map(is_image_name, parts)):
        return None
    stem = parts[1].replace("\\", "/").rpartition("/")[2].rpartition(".")[0]
    same = normal_name(stem) == normal_name(name.rpartition("/")[2])
    return None if same else parts[1]


def _image_set(root: Path, names: Sequence[str]) -> Path:
    """The list of pictures to take.

    Raises:
        DataError: there are none or several, and none of the names wanted.
    """
    folder = root / "ImageSets" / "Segmentation"
    for name in names:
        if path_problem(name):
            raise DataError(
                f"{root}: the image set {name!r} is no name; give one such as "
                "'val'."
            )
        if (folder / f"{name}.txt").exists():
            return folder / f"{name}.txt"
    lists = sorted(folder.glob("*.txt"))
    if len(lists) == 1 and len(names) > 1:
        return lists[0]
    if lists:
        found = ", ".join(path.stem for path in lists)
        raise DataError(
            f"{folder / names[0]}.txt: no such file; the lists there are "
            f"{found}: name one (config.data.eval_set, source_set)."
        )
    return folder / f"{names[0]}.txt"


def _missing_image(path: Path, line: int, images: Path, name: str) -> Problem:
    """Problem of a listed picture without a file."""
    return Problem(
        "missing image",
        str(path),
        f"line {line}",
        f"{name} has no .jpg or .png file in {images}"
        f"{near_image(images, name)}; add the picture or remove the line",
    )


class _Voc(IndexFormat):
    """A folder in VOC layout: lists, pictures, index PNGs."""

    name = "voc"
    own_images = True

    def recognises(self, path, part):
        """Whether it is a folder; others that are one come before."""
        return part != "target" and path.is_dir()

    def list_pictures(self, path, images, data, part, on_problem):
        """See `list_voc`."""
        chosen = data.eval_set if part == "evaluation" else data.source_set
        return list_voc(
            path,
            [chosen],
            data.eval_masks,
            on_problem,
            Path(images) if images else None,
        )


VOC = _Voc()
