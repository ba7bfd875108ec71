"""YOLO segmentation: a text file of outlines for each picture."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from keras_wsss.data.annotations import AnnotatedImage, Annotations
from keras_wsss.data.formats.coco_entries import is_name
from keras_wsss.data.formats.drawn import Drawn
from keras_wsss.data.formats.instance_format import InstanceFormat
from keras_wsss.data.images import upright_size
from keras_wsss.data.lookup import IMAGE_SUFFIXES, files_below, near_image
from keras_wsss.data.problems import OnProblem, Problem, problem_of, read_text
from keras_wsss.data.segmentation import shown
from keras_wsss.errors import DataError

_NAMES = ("data.yaml", "data.yml", "dataset.yaml", "classes.txt")
_YAML_ERRORS = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)  # that PyYAML was seen to raise of odd values
_OUTSIDE = 0.01  # of the picture, that points may lie beyond its border


class _Yolo(InstanceFormat):
    """A data set of Ultralytics: its folder, its YAML, or one of labels."""

    name = "yolo"
    own_images = True

    def recognises(self, path, part):
        """Whether there are labels, and a list of their names."""
        if path.is_file():
            return path.suffix in (".yaml", ".yml")
        if not path.is_dir() or (path / "ImageSets").exists():
            return False
        return _names_file(path) is not None and (
            any(_labels_below(path)) or _has_labels(path)
        )

    def read_annotations(
        self, path, images, data, on_problem, image_set, masks=True
    ):
        """See `read_yolo`."""
        given = None if images == path else images
        return read_yolo(
            path, given, image_set, on_problem, data.max_pixels, masks=masks
        )


def read_yolo(
    path: Path,
    images: Path | None,
    image_set: str,
    on_problem: OnProblem,
    max_pixels: int,
    *,
    masks: bool = True,
) -> Annotations:
    """Reads the labels of all pictures; one without labels shows nothing.

    Args:
        path: folder of the data set, its YAML, or a folder of labels.
        images: folder of the pictures; beside the labels if None.
        image_set: "train" or "val", where the data set has such folders.
        on_problem: called with every problem; the faulty line is left out.
        max_pixels: largest width times height of a picture.
        masks: whether outlines are kept; boxes will do without.

    Raises:
        DataError: no labels, no names, or no such part.
    """
    root = path.parent if path.is_file() else path
    names_file = path if path.is_file() else _names_file(root)
    if names_file is None:
        raise DataError(
            f"{root}: there is no data.yaml and no classes.txt, so nothing "
            "tells what the numbers mean; write the names, class 0 first."
        )
    names, parts = _described(names_file)
    named = _named_images(names_file, parts, image_set)
    if named is not None and path in (root, names_file) and images is None:
        images, labels = named, _counterpart(named, "images", "labels")
    else:
        labels = _labels(root, image_set)
        images = images or _counterpart(labels, "labels", "images")
        if (images / labels.name).is_dir():  # "images" beside "labels/train"
            images /= labels.name
    if not images.is_dir():
        raise DataError(f"{images}: no such folder; give that of the pictures.")
    drawn = Drawn(path, masks, names)
    seen = set()
    texts = {
        file.relative_to(labels).with_suffix("").as_posix(): file
        for file in files_below(labels, ".txt")
    }
    for picture in files_below(images, *IMAGE_SUFFIXES):
        stem = picture.relative_to(images).with_suffix("").as_posix()
        seen.add(stem)
        try:
            width, height = upright_size(picture, max_pixels)
        except DataError as error:
            on_problem(problem_of(error, "unreadable image"))
            continue
        name = picture.relative_to(images).as_posix()
        image = drawn.add_image(name, width, height, f"{stem}.txt")
        if stem in texts:
            _read_file(texts[stem], names, image, drawn, on_problem)
    for stem, file in texts.items():
        if stem not in seen and file.name not in _NAMES:
            on_problem(
                Problem(
                    "missing image",
                    str(file),
                    "",
                    f"there is no picture {stem} in {images}"
                    f"{near_image(images, stem)}; add it or remove the file",
                )
            )
    return drawn.annotations()._replace(folder=images)


def _names_file(root: Path) -> Path | None:
    # No further up than the folder that holds "labels".
    folders = [root]
    if "labels" in root.parts:
        at = len(root.parts) - 1 - root.parts[::-1].index("labels")
        folders += list(root.parents)[: len(root.parts) - at]
    for folder in folders:
        for name in _NAMES:
            if (folder / name).is_file():
                return folder / name
    return None


def _described(path: Path) -> tuple[tuple[str, ...], dict]:
    """Names of classes, class 0 first, and all that a YAML says.

    Raises:
        DataError: no YAML, or no such names.
    """
    text = read_text(path)
    content: Any = {}
    found: Any
    if path.suffix == ".txt":
        found = [line.strip() for line in text.rstrip().split("\n")]
    else:
        try:
            content = yaml.safe_load(text)
        except (*_YAML_ERRORS, yaml.YAMLError) as error:
            reason = " ".join(str(error).split())[:100]
            raise DataError(f"{path}: not YAML ({reason}).") from None
        content = content if isinstance(content, dict) else {}
        found = content.get("names")
        if isinstance(found, dict):
            if sorted(found, key=str) != sorted(range(len(found)), key=str):
                raise DataError(
                    f'{path}: "names" must number the classes from 0 on.'
                )
            found = [found[i] for i in range(len(found))]
    if not isinstance(found, list) or not found or not all(map(is_name, found)):
        raise DataError(
            f'{path}: it has no list "names" of the classes; write them, class '
            "0 first, in quotes where YAML takes a name for something else."
        )
    if len(set(found)) < len(found):
        raise DataError(f"{path}: a name stands twice; join the classes.")
    return tuple(found), content


def _named_images(
    names_file: Path, content: dict, image_set: str
) -> Path | None:
    """The folder of pictures that a YAML names for a part.

    Raises:
        DataError: it names something else than a folder that is there.
    """
    aliases = {"val": "valid", "valid": "val"}
    for key in (image_set, aliases.get(image_set, image_set)):
        value = content.get(key)
        if value is None:
            continue
        root = names_file.parent
        if is_name(content.get("path")):
            root /= content["path"]
        if is_name(value):
            # Exports of Roboflow begin one folder too far up.
            plain = value.removeprefix("../")
            for base in (root, names_file.parent):
                for name in (value, plain):
                    if (base / name).is_dir():
                        return (base / name).resolve()
        raise DataError(
            f"{names_file}: its {key!r} is {shown(value)}, and no folder is "
            "there; name the folders of labels and of pictures themselves."
        )
    return None


def _labels_below(root: Path) -> Iterator[Path]:
    """Folders called "labels" in a data set, in both usual layouts."""
    if (root / "labels").is_dir():
        yield root / "labels"
    for folder in sorted(root.iterdir()):
        if (folder / "labels").is_dir():
            yield folder / "labels"


def _has_labels(root: Path) -> bool:
    """Whether a folder called "labels", or below one, has text files."""
    return "labels" in root.parts and any(
        file.name not in _NAMES for file in files_below(root, ".txt")
    )


def _labels(root: Path, image_set: str) -> Path:
    """The folder of labels that is wanted. Raises `DataError`."""
    for choice in (
        root / "labels" / image_set,
        root / image_set / "labels",
        *((root / "valid" / "labels",) if image_set == "val" else ()),
    ):
        if choice.is_dir():
            return choice
    found = list(_labels_below(root))
    if not found and files_below(root, ".txt"):
        return root
    if len(found) != 1 or found[0].parent != root:
        where = ", ".join(str(path) for path in found) or "none"
        raise DataError(
            f"{root}: no labels of the part {image_set!r} (found: {where}); "
            "name their folder itself."
        )
    parts = [path.name for path in sorted(found[0].iterdir()) if path.is_dir()]
    if parts:
        raise DataError(
            f"{found[0]}: no part {image_set!r} among {', '.join(parts)}; name "
            "one of these folders itself."
        )
    return found[0]


def _counterpart(folder: Path, own: str, other: str) -> Path:
    """The folder of labels that belongs to one of pictures, and back."""
    parts = list(folder.parts)
    for at in reversed(range(len(parts))):
        if parts[at] == own:
            parts[at] = other
            break
    return Path(*parts)


def _read_file(
    file: Path,
    names: tuple[str, ...],
    image: AnnotatedImage,
    drawn: Drawn,
    on_problem: OnProblem,
) -> None:
    try:
        text = read_text(file)
    except DataError as error:
        on_problem(problem_of(error, "unreadable file"))
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            wrong = _read_line(line.split(), names, image, drawn)
            if wrong:
                kind, text = wrong
                drawn.add_fault(image, _names_of(line.split(), names))
                on_problem(Problem(kind, str(file), f"line {number}", text))


def _names_of(cells: list[str], names: tuple[str, ...]) -> tuple[str, ...]:
    """The category of a line, if it has one."""
    first = cells[0]
    known = first.isascii() and first.isdigit() and len(first) < 9
    return names[int(first) : int(first) + 1] if known else ()


def _read_line(
    cells: list[str],
    names: tuple[str, ...],
    image: AnnotatedImage,
    drawn: Drawn,
) -> tuple[str, str] | None:
    """Adds an outline; or kind and text of what is wrong."""
    first, *rest = cells
    named = _names_of(cells, names)
    if not named:
        text = f"the class {first!r} is none of the {len(names)} names"
        return "unknown category", f"{text}; they are numbered from 0"
    (name,) = named
    if not drawn.masks:
        drawn.add_mention(image, name)
        return None
    if len(rest) == 4:
        return "bad polygon", (
            "it is a box, and a box is no mask; export the outlines, or give "
            "the data set as tags (config.data.target_tags)"
        )
    if len(rest) % 2:
        return "bad polygon", f"{len(rest)} numbers are no pairs of x and y"
    try:
        values = [float(value) for value in rest]
    except ValueError:
        return "bad polygon", "its points must be numbers"
    if not all(-_OUTSIDE <= value <= 1 + _OUTSIDE for value in values):
        return "bad polygon", (
            "its points must lie between 0 and 1, as shares of width and height"
        )
    sides = (image.width, image.height)
    points = [value * sides[i % 2] for i, value in enumerate(values)]
    wrong = drawn.add_polygon(image, name, points)
    return ("bad polygon", wrong) if wrong else None


YOLO = _Yolo()
