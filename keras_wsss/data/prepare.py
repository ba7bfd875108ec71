"""Turns official downloads into what training reads, by flags."""

import argparse
from collections.abc import Iterator
from pathlib import Path

from keras_wsss.categories import Split
from keras_wsss.data.prepare_coco import prepare_coco
from keras_wsss.data.prepare_voc import KNOWN_VAL, prepare_voc
from keras_wsss.errors import ConfigError


def add_prepare_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags that `prepare_from_flags` reads."""
    add = parser.add_argument
    add(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="Folder to write: `target` from VOC and SBD, `source` from "
        "COCO. Repeating the command completes what is missing.",
    )
    add(
        "--voc",
        type=Path,
        metavar="DIR",
        help="VOCdevkit/VOC2012 of the unpacked VOC 2012 trainval download.",
    )
    add(
        "--sbd",
        type=Path,
        metavar="DIR",
        help="benchmark_RELEASE/dataset of the unpacked SBD download.",
    )
    add(
        "--sbd_masks",
        action="store_true",
        help="Also convert SBD's masks to SegmentationClassAug. Only for "
        "evaluation: training reads no target mask.",
    )
    add(
        "--coco",
        type=Path,
        metavar="DIR",
        help="Folder with annotations/ and the picture folders of COCO.",
    )
    add(
        "--coco_sets",
        default="train2014",
        metavar="A,B",
        help="COCO sets to join (default: train2014).",
    )
    add(
        "--keep_images_with_target",
        action="store_true",
        help="Keep COCO pictures that show a target category; their pixels "
        "are ignored. The paper leaves such pictures out.",
    )
    add(
        "--expect_train",
        type=int,
        metavar="N",
        help="Number of training pictures that must come out (default: "
        "10582 with --sbd, 1464 without; 0: any).",
    )
    add(
        "--expect_val",
        type=int,
        default=KNOWN_VAL,
        metavar="N",
        help=f"Number of val pictures (default: {KNOWN_VAL}; 0: any).",
    )


def prepare_from_flags(
    flags: argparse.Namespace, split: Split
) -> Iterator[str]:
    """Prepares what the flags name and yields lines that say what was done.

    Raises:
        ConfigError: neither VOC nor COCO is named.
        DataError: a download is incomplete or damaged.
    """
    if not flags.voc and not flags.coco:
        raise ConfigError("Nothing to prepare: give --voc, --coco or both.")
    if flags.sbd and not flags.voc:
        raise ConfigError("--sbd needs --voc: SBD holds no pictures of val.")
    if flags.voc:
        yield from prepare_voc(
            flags.voc,
            flags.out / "target",
            flags.sbd,
            convert_masks=flags.sbd_masks,
            expect_train=flags.expect_train,
            expect_val=flags.expect_val,
        )
    if flags.coco:
        sets = [name for name in flags.coco_sets.split(",") if name]
        yield from prepare_coco(
            flags.coco,
            flags.out / "source",
            split,
            sets,
            keep_images_with_target=flags.keep_images_with_target,
        )
