"""CVAT's "Segmentation mask 1.1": VOC's layout with masks of colours."""

from pathlib import Path

from keras_wsss.categories import IGNORE, MAX_CATEGORIES, palette
from keras_wsss.data.formats.index_masks import IndexFormat, MaskFolder
from keras_wsss.data.formats.names import is_background, is_ignored
from keras_wsss.data.formats.voc import list_voc
from keras_wsss.data.masks import Colours
from keras_wsss.data.problems import read_text
from keras_wsss.errors import DataError

LABELMAP = "labelmap.txt"


class _Cvat(IndexFormat):
    """An unpacked export; its pictures may lie elsewhere."""

    name = "cvat"
    own_images = True

    def recognises(self, path, part):
        """Whether the folder has CVAT's list of colours."""
        return part != "target" and (path / LABELMAP).is_file()

    def list_pictures(self, path, images, data, part, on_problem):
        """See `list_voc`; an export has one list, called "default"."""
        names, colours = read_labelmap(path / LABELMAP)
        chosen = data.eval_set if part == "evaluation" else data.source_set
        folder = list_voc(
            path,
            [chosen, "default"],
            data.eval_masks,
            on_problem,
            Path(images) if images else None,
        )
        return MaskFolder(
            path, names, path / LABELMAP, folder.pictures, colours
        )


def read_labelmap(path: Path) -> tuple[tuple[str, ...], Colours]:
    """Names of categories, index 1 first, and the index of each colour.

    A line is `name:red,green,blue:parts:actions`; "background" has index 0,
    "ignore" and the like 255. Without any colour they are VOC's, in the order
    of the lines, as Datumaro writes them.

    Raises:
        DataError: a line of another form, or a name or a colour twice.
    """
    usual = [tuple(colour) for colour in palette().tolist()]
    names: list[str] = []
    colours: dict[tuple[int, int, int], int] = {}
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        name, _, rest = line.strip().partition(":")
        parts = rest.partition(":")[0].split(",")
        if parts == [""] and len(colours) < len(usual):
            parts = [str(level) for level in usual[len(colours)]]
        known = len(parts) == 3 and all(_is_level(part) for part in parts)
        if not name.strip() or not known:
            raise DataError(
                f"{path}: line {number}: {line.strip()!r} is not of the form "
                "name:red,green,blue:parts:actions; export the masks again."
            )
        red, green, blue = map(int, parts)
        if name in names or (red, green, blue) in colours:
            raise DataError(
                f"{path}: line {number}: the name or the colour of "
                f"{line.strip()!r} stands there twice; give each its own."
            )
        if is_ignored(name):
            index = IGNORE
        elif is_background(name):
            index = 0
        else:
            names.append(name)
            index = len(names)
        colours[red, green, blue] = index
    if not 1 <= len(names) <= MAX_CATEGORIES:
        raise DataError(
            f"{path}: {len(names)} names; give 1 to {MAX_CATEGORIES}."
        )
    return tuple(names), colours


def _is_level(text: str) -> bool:
    text = text.strip()
    return (
        len(text) < 4 and text.isascii() and text.isdigit() and int(text) < 256
    )


CVAT = _Cvat()
