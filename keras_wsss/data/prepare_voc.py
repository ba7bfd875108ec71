"""Makes the target part out of the official VOC 2012 and SBD downloads.

Training gets image-level tags, which come from the box annotations (XML) of
VOC and never from masks. SBD's masks are converted on demand for evaluation.
"""

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from keras_wsss.categories import IGNORE, VOC_CATEGORIES
from keras_wsss.data.images import check_image
from keras_wsss.data.masks import write_palette_mask
from keras_wsss.data.problems import path_problem, read_text
from keras_wsss.errors import DataError
from keras_wsss.files import atomic_path, write_text
from keras_wsss.progress import progress

KNOWN_TRAIN = 1464  # VOC 2012 train
KNOWN_TRAIN_AUG = 10582  # with SBD
KNOWN_VAL = 1449
AUGMENTED_MASKS = "SegmentationClassAug"


def prepare_voc(
    voc: Path,
    out: Path,
    sbd: Path | None = None,
    *,
    convert_masks: bool = False,
    expect_train: int | None = None,
    expect_val: int = KNOWN_VAL,
) -> Iterator[str]:
    """Writes image sets and tags; repeating the call completes the rest.

    Args:
        voc: the folder VOC2012 (with JPEGImages and Annotations).
        out: folder to write, in VOC layout; pictures and masks are links.
        sbd: SBD's folder `dataset` (with train.txt, val.txt and cls); its
            pictures join the training list, which is then "train_aug".
        convert_masks: also write the folder SegmentationClassAug.
        expect_train: number of training pictures that must come out; None
            is the known one, 0 accepts any.
        expect_val: number of val pictures; 0 accepts any.

    Yields:
        A line for each thing written.

    Raises:
        DataError: a file is missing or damaged, or the counts are not the
            known ones.
    """
    if convert_masks and sbd is None:
        raise DataError(
            f"{out / AUGMENTED_MASKS}: converting SBD's masks needs --sbd."
        )
    sets = voc / "ImageSets" / "Segmentation"
    val = _names(sets / "val.txt")
    train = _names(sets / "train.txt")
    name = "train"
    if sbd is not None:
        # SBD's own lists cut differently: its train holds VOC val pictures.
        name = "train_aug"
        joined = {*train, *_names(sbd / "train.txt"), *_names(sbd / "val.txt")}
        train = sorted(joined - set(val))
    if expect_train is None:
        expect_train = KNOWN_TRAIN_AUG if sbd else KNOWN_TRAIN
    _check_count(sets, name, train, expect_train)
    _check_count(sets, "val", val, expect_val)
    _check_pictures(voc / "JPEGImages", [*train, *val])
    out.mkdir(parents=True, exist_ok=True)
    link(voc / "JPEGImages", out / "JPEGImages")
    link(voc / "SegmentationClass", out / "SegmentationClass")
    for each, names in ((name, train), ("val", val)):
        path = out / "ImageSets" / "Segmentation" / f"{each}.txt"
        write_text(path, "\n".join(names) + "\n")
        yield f"{path}: {len(names)} pictures"
    lines = ["image,labels"]
    for image in progress(train, "reading annotations"):
        tags = xml_tags(voc / "Annotations" / f"{image}.xml")
        lines.append(f"{image}.jpg,{' '.join(tags)}")
    path = out / f"{name}_tags.csv"
    write_text(path, "\n".join(lines) + "\n")
    yield f"{path}: tags of {len(train)} pictures"
    if convert_masks and sbd is not None:
        yield _convert_masks(voc, sbd, out, [*train, *val])


def xml_tags(path: Path) -> tuple[str, ...]:
    """Category names of the objects in a VOC annotation, in VOC's order.

    Objects marked difficult count: they are in the picture.

    Args:
        path: XML file of one picture.

    Raises:
        DataError: missing, no VOC annotation, or a name that is not VOC's.
    """
    text = read_text(path)
    if "<!DOCTYPE" in text:  # VOC has none; entities could blow the text up
        raise DataError(f"{path}: has a DOCTYPE; use VOC's own annotations.")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise DataError(
            f"{path}: not XML ({error}); unpack VOC 2012 again."
        ) from None
    # Only direct children: the parts of a person have names too.
    names = {
        (node.findtext("name") or "").strip() for node in root.findall("object")
    }
    for name in sorted(names):
        if name not in VOC_CATEGORIES:
            raise DataError(
                f"{path}: the object {name!r} is no VOC category; unpack VOC "
                "2012 again."
            )
    return tuple(name for name in VOC_CATEGORIES if name in names)


def sbd_mask(path: Path) -> np.ndarray:
    """Index mask of an SBD `cls` file.

    Args:
        path: MATLAB file with GTcls.Segmentation.

    Returns:
        uint8 [height, width]: 0 background, 1 to 20 VOC's categories.

    Raises:
        DataError: SciPy is missing, or the file is damaged.
    """
    try:
        from scipy.io import loadmat
    except ImportError:
        raise DataError(
            f"{path}: reading SBD's MATLAB files needs SciPy; run "
            "pip install '.[prepare]'."
        ) from None
    if not path.is_file():
        raise DataError(f"{path}: no such file; unpack SBD again.")
    try:
        content = loadmat(path, variable_names=["GTcls"])
        mask = np.asarray(content["GTcls"]["Segmentation"][0, 0])
    except Exception as error:  # SciPy raises many kinds for damaged files
        raise DataError(
            f"{path}: not an SBD mask ({error}); unpack SBD again."
        ) from None
    largest = len(VOC_CATEGORIES)
    if (
        mask.ndim != 2
        or mask.dtype != np.uint8
        or (mask[mask != IGNORE].max(initial=0) > largest)
    ):
        raise DataError(
            f"{path}: its Segmentation is {mask.dtype} {mask.shape}; it must "
            f"be a uint8 image of 0 to {largest}; unpack SBD again."
        )
    return mask


def link(target: Path, path: Path) -> None:
    """Makes `path` a symbolic link to an existing folder, or leaves it so.

    Raises:
        DataError: no such folder, or `path` is something else already.
    """
    if not target.is_dir():
        raise DataError(f"{target}: no such folder; check the flags.")
    if path.is_symlink() or path.exists():
        if path.resolve() != target.resolve():
            raise DataError(
                f"{path}: exists and is not a link to {target}; remove it or "
                "choose another --out."
            )
        return
    try:
        os.symlink(target.resolve(), path, target_is_directory=True)
    except OSError as error:
        raise DataError(
            f"{path}: cannot link to {target} ({error.strerror}); choose an "
            "--out on a file system with symbolic links."
        ) from None


def _names(path: Path) -> list[str]:
    names = [line.strip() for line in read_text(path).split("\n")]
    names = [name for name in names if name]
    for name in names:
        if text := path_problem(name):
            raise DataError(f"{path}: {text}.")
    return names


def _check_count(
    folder: Path, name: str, images: Sequence[str], expected: int
) -> None:
    if expected and len(images) != expected:
        raise DataError(
            f"{folder}: {name} comes to {len(images)} pictures instead of "
            f"{expected}; unpack the official downloads completely, or say "
            "with --expect_train and --expect_val what you expect (0: any)."
        )


def _check_pictures(folder: Path, images: Sequence[str]) -> None:
    found = {path.name for path in folder.glob("*.jpg")}
    missing = [name for name in images if f"{name}.jpg" not in found]
    if missing:
        raise DataError(
            f"{folder}: {len(missing)} of {len(images)} pictures are missing, "
            f"the first is {missing[0]}.jpg; unpack VOC 2012 completely."
        )


def _convert_masks(
    voc: Path, sbd: Path, out: Path, names: Sequence[str]
) -> str:
    """Writes SegmentationClassAug: VOC's own masks where there are any."""
    folder = out / AUGMENTED_MASKS
    folder.mkdir(exist_ok=True)
    written = 0
    for name in progress(names, "converting masks"):
        path = folder / f"{name}.png"
        if path.exists():
            continue  # files appear complete or not at all: this one is done
        own = voc / "SegmentationClass" / f"{name}.png"
        if own.is_file():
            with atomic_path(path) as temporary:
                shutil.copyfile(own, temporary)
        else:
            source = sbd / "cls" / f"{name}.mat"
            mask = sbd_mask(source)
            header = check_image(voc / "JPEGImages" / f"{name}.jpg")
            if mask.shape != (header.height, header.width):
                raise DataError(
                    f"{source}: {mask.shape[1]} x {mask.shape[0]} but the "
                    f"picture is {header.width} x {header.height}; unpack "
                    "VOC 2012 and SBD again."
                )
            write_palette_mask(path, mask)
        written += 1
    return f"{folder}: {len(names)} masks, {written} of them new"
