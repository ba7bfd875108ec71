"""A folder of index masks as PNG files, and a folder of pictures."""

from pathlib import Path

from keras_wsss.data.formats.index_masks import (
    IndexFormat,
    MaskedPicture,
    MaskFolder,
)
from keras_wsss.data.formats.voc import CLASSES_FILE, read_classes
from keras_wsss.data.lookup import files_below, find_image, near_image
from keras_wsss.data.problems import Problem
from keras_wsss.errors import DataError


class _IndexPngs(IndexFormat):
    """NAME.png for picture NAME, and `classes.txt` in or beside the folder."""

    name = "png"

    def recognises(self, path, part):
        """Whether the folder has masks and a list of categories."""
        if (
            part == "target"
            or not path.is_dir()
            or (path / "ImageSets").exists()
        ):
            return False
        named = _classes_folder(path) is not None
        return named and next(path.glob("*.png"), None) is not None

    def list_pictures(self, path, images, data, part, on_problem):
        """All masks of the folder and below it, by name."""
        if not path.is_dir():
            raise DataError(f"{path}: no such folder; give one of masks.")
        folder = _classes_folder(path)
        if folder is None:
            raise DataError(
                f"{path / CLASSES_FILE}: no such file, so nothing tells what "
                "the masks' indices mean; write a category a line, index 1 "
                "first."
            )
        masks = files_below(path, ".png")
        if not masks:
            raise DataError(f"{path}: there is no PNG; give a folder of masks.")
        pictures = []
        for mask in masks:
            name = mask.relative_to(path).with_suffix("").as_posix()
            missing = Problem(
                "missing image",
                str(mask),
                "",
                f"there is no .jpg or .png file {name} in {images}"
                f"{near_image(Path(images), name)}; add the picture or remove "
                "the mask",
            )
            image = find_image(Path(images), name)
            pictures.append(MaskedPicture(name, image, mask, missing))
        return MaskFolder(
            path, read_classes(folder), folder / CLASSES_FILE, tuple(pictures)
        )


def _classes_folder(path: Path) -> Path | None:
    for folder in (path, path.parent):
        if (folder / CLASSES_FILE).is_file():
            return folder
    return None


INDEX_PNGS = _IndexPngs()
