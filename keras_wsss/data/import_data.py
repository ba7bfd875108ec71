"""Writes what was understood of any format as COCO JSON and a tags file.

What a user can look at, mend and keep: pictures stay where they are.
"""

import csv
import io
import itertools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from keras_wsss.categories import IGNORE, Split
from keras_wsss.config import DataConfig
from keras_wsss.data import formats
from keras_wsss.data.annotations import IGNORED_REGION
from keras_wsss.data.formats.tag_table import HEADER, UNKNOWN
from keras_wsss.data.records import Record, Records
from keras_wsss.errors import DataError
from keras_wsss.files import write_json, write_text

TAGS_FILE = "tags.csv"
_FILES = {"source": "source.json", "evaluation": "evaluation.json"}


def import_data(data: DataConfig, split: Split, out: Path) -> Iterator[str]:
    """Writes a file for each part of the data that has a place.

    A mask becomes one annotation for each category, as it is painted: what
    lies under something else is not in it, and what training ignores is a
    crowd of the category "__ignore__", which the split does not know.

    Args:
        data: what to read; parts without a location are left out.
        split: categories to use.
        out: folder to write; files of these names are replaced.

    Yields:
        A line for each file written.

    Raises:
        DataError: a file that cannot be used, or nothing that can.
    """
    for part, (_, place, _) in formats.FIELDS.items():
        if not getattr(data, place):
            continue
        dataset = formats.read(data, split, part)
        name = formats.format_of(data, part).name
        records = dataset.records
        if dataset.negatives:
            records = Records(itertools.chain(records, dataset.negatives))
        if not records:
            raise DataError(
                f"{getattr(data, place)}: no picture of it can be used; see "
                "`data verify`."
            )
        root = Path(os.path.commonpath({r.image_path.parent for r in records}))
        if part == "target":
            path = out / TAGS_FILE
            write_text(path, _tags(records, root, split))
        else:
            path = out / _FILES[part]
            write_json(path, _instances(records, root, split, dataset.listed))
        yield (f"{path}: {len(records)} pictures of {root}, read as {name}")


def _tags(records: Sequence[Record], root: Path, split: Split) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow((*HEADER, UNKNOWN))
    for record in records:
        # Of what nobody looked for, nothing is known.
        unknown = [
            i
            for i in split.target_ids
            if i not in record.labels and i not in record.absent
        ]
        cells = [
            ";".join(split.name_of(i) for i in ids)
            for ids in (record.labels, unknown)
        ]
        writer.writerow((_below(record, root), *cells))
    return stream.getvalue()


def _below(record: Record, root: Path) -> str:
    return record.image_path.relative_to(root).as_posix()


def _instances(
    records: Sequence[Record],
    root: Path,
    split: Split,
    listed: Sequence[int],
) -> dict[str, Any]:
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, record in enumerate(records, start=1):
        mask = record.read_mask()
        height, width = mask.shape
        images.append(
            {
                "id": number,
                "file_name": _below(record, root),
                "width": width,
                "height": height,
            }
        )
        regions = [(i, i) for i in np.unique(mask[mask > 0]).tolist()]
        if (mask == IGNORE).any():
            # Somewhere in what is ignored, for all that is known.
            regions += [(i, IGNORE) for i in record.uncertain]
        for category, value in regions:
            code = coco_mask.encode(np.asfortranarray(mask == value))
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": category,
                    "iscrowd": int(value == IGNORE),
                    "segmentation": {
                        **code,
                        "counts": code["counts"].decode("ascii"),
                    },
                    "bbox": coco_mask.toBbox(code).tolist(),
                    "area": int(coco_mask.area(code)),
                }
            )
    # What the files do not list nobody has looked for.
    everything = range(1, split.num_categories + 1)
    names = {i: split.name_of(i) for i in listed or everything}
    return {
        "images": images,
        "categories": [
            {"id": number, "name": name}
            for number, name in {**names, IGNORE: IGNORED_REGION}.items()
        ],
        "annotations": annotations,
    }
