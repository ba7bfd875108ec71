"""Where the data lie and which split is meant, and the flags that say it."""

import argparse
import dataclasses
from pathlib import Path

from keras_wsss.categories import SPLITS, Split, get_split
from keras_wsss.data.images import DEFAULT_MAX_PIXELS
from keras_wsss.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class Locations:
    """Files and folders of the three kinds of data; each may be absent.

    Attributes:
        split: categories to use.
        coco_annotations: COCO instances JSON of the source pictures.
        coco_images: folder of the source pictures.
        voc_root: folder in VOC layout with the evaluation pictures.
        image_set: list of the evaluation pictures.
        masks: folder of the evaluation masks below `voc_root`.
        tags: tags file of the target training pictures.
        tag_images: folder of the target training pictures.
        max_pixels: largest width times height of a picture.
    """

    split: Split
    coco_annotations: Path | None = None
    coco_images: Path | None = None
    voc_root: Path | None = None
    image_set: str = "val"
    masks: str = "SegmentationClass"
    tags: Path | None = None
    tag_images: Path | None = None
    max_pixels: int = DEFAULT_MAX_PIXELS

    def __post_init__(self) -> None:
        if not (self.coco_annotations or self.voc_root or self.tags):
            raise ConfigError(
                "No data given: name at least one of --coco_annotations, "
                "--voc_root and --tags."
            )
        if self.coco_annotations and not self.coco_images:
            raise ConfigError(
                "--coco_annotations needs --coco_images, the folder of the "
                "pictures."
            )
        if self.tags and not self.tag_images:
            raise ConfigError(
                "--tags needs --tag_images, the folder of the pictures."
            )


def add_location_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags that `locations_of` reads."""
    add = parser.add_argument
    add(
        "--coco_annotations",
        type=Path,
        metavar="FILE",
        help="COCO instances JSON with the masks of the source categories.",
    )
    add(
        "--coco_images",
        type=Path,
        metavar="DIR",
        help="Folder that the file names in --coco_annotations start from.",
    )
    add(
        "--voc_root",
        type=Path,
        metavar="DIR",
        help="Folder in VOC layout (JPEGImages, ImageSets/Segmentation) with "
        "the pictures to score on.",
    )
    add(
        "--image_set",
        default="val",
        metavar="NAME",
        help="List in ImageSets/Segmentation (default: val).",
    )
    add(
        "--masks",
        default="SegmentationClass",
        metavar="NAME",
        help="Mask folder in --voc_root (default: SegmentationClass).",
    )
    add(
        "--tags",
        type=Path,
        metavar="FILE",
        help="CSV image,labels of the target training pictures.",
    )
    add(
        "--tag_images",
        type=Path,
        metavar="DIR",
        help="Folder of the tagged pictures (default: JPEGImages in "
        "--voc_root).",
    )
    add(
        "--max_pixels",
        type=int,
        default=DEFAULT_MAX_PIXELS,
        metavar="N",
        help="Largest width times height of a picture that is decoded "
        f"(default: {DEFAULT_MAX_PIXELS}).",
    )
    add_split_flags(parser)


def add_split_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags that `split_of` reads."""
    add = parser.add_argument
    add(
        "--split",
        default="coco60_voc20",
        metavar="NAME",
        help=f"One of {', '.join(sorted(SPLITS))} (default: coco60_voc20), "
        "or a name of your own together with --source and --target.",
    )
    for name, what in (
        ("source", "categories with masks"),
        ("target", "categories with tags only"),
        ("scored", "target categories to score (default: all)"),
    ):
        add(
            f"--{name}",
            default="",
            metavar="A,B,...",
            help=f"For a split of your own: {what}, separated by commas.",
        )


def split_of(flags: argparse.Namespace) -> Split:
    """The split that the flags name.

    Raises:
        ConfigError: unknown, or a contradiction.
    """

    def names(text: str) -> list[str]:
        return [name.strip() for name in text.split(",") if name.strip()]

    return get_split(
        flags.split,
        names(flags.source),
        names(flags.target),
        names(flags.scored),
    )


def locations_of(flags: argparse.Namespace) -> Locations:
    """The data locations that the flags name.

    Raises:
        ConfigError: none given, or one that lacks its folder.
    """
    tag_images = flags.tag_images
    if flags.tags and not tag_images and flags.voc_root:
        tag_images = flags.voc_root / "JPEGImages"
    if flags.max_pixels < 1:
        raise ConfigError(
            f"--max_pixels is {flags.max_pixels}; give a positive number."
        )
    return Locations(
        split=split_of(flags),
        coco_annotations=flags.coco_annotations,
        coco_images=flags.coco_images,
        voc_root=flags.voc_root,
        image_set=flags.image_set,
        masks=flags.masks,
        tags=flags.tags,
        tag_images=tag_images,
        max_pixels=flags.max_pixels,
    )
