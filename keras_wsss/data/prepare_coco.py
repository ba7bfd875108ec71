"""Makes the source part out of the official COCO download."""

import collections
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_wsss.categories import Split
from keras_wsss.data.annotations import IGNORED_REGION
from keras_wsss.data.formats.coco_json import read_coco_file
from keras_wsss.data.formats.instances import source_records
from keras_wsss.data.prepare_voc import link
from keras_wsss.data.problems import Problem
from keras_wsss.errors import DataError
from keras_wsss.files import atomic_path

FAULTY = "a faulty annotation in the picture"
_KEPT_FIELDS = {
    "images": ("id", "file_name", "width", "height"),
    "annotations": (
        "id",
        "image_id",
        "category_id",
        "iscrowd",
        "area",
        "bbox",
        "segmentation",
    ),
}


def prepare_coco(
    coco: Path,
    out: Path,
    split: Split,
    sets: Sequence[str],
    *,
    keep_images_with_target: bool = False,
) -> list[str]:
    """Writes one instances JSON with only what training reads.

    Joins the sets and leaves out, with counts, pictures without a source
    category, pictures with a target category (the paper's protocol), without
    a file, or with an annotation that does not pass the checks: what it marks
    is unknown, so the picture cannot be trusted.

    Args:
        coco: folder with `annotations/instances_<set>.json` and a folder of
            pictures named like each set.
        out: folder to write: instances.json, and `images`, a link.
        split: source and target categories.
        sets: e.g. ["train2014", "val2014"].
        keep_images_with_target: keep pictures with target categories;
            readers then ignore their pixels.

    Returns:
        Lines that say what was written and left out.

    Raises:
        DataError: a file is missing or is no COCO JSON, or the same image
            or annotation id stands in two sets.
    """
    joined: dict[str, list[dict[str, Any]]] = {"images": [], "annotations": []}
    left_out: collections.Counter[str] = collections.Counter()
    categories: dict[int, str] = {}
    lines: list[str] = []
    for name in sets:
        path = coco / "annotations" / f"instances_{name}.json"
        problems: list[Problem] = []
        file = read_coco_file(path, problems.append)
        # Faulty annotations may have brought one for what is not known.
        named = {
            k: v for k, v in file.categories.items() if v != IGNORED_REGION
        }
        if categories and categories != named:
            raise DataError(
                f"{path}: its categories differ from those of {sets[0]}; "
                "prepare the sets into separate folders."
            )
        categories = named
        dataset = source_records(
            file,
            coco / name,
            split,
            problems.append,
            exclude_images_with_target=not keep_images_with_target,
            min_pixels=0,
            skip_missing=True,
        )
        for reason, images in dataset.skipped.items():
            left_out[reason] += len(images)
        lines += [problem.sentence for problem in problems[:5]]
        if len(problems) > 5:
            lines.append(f"{path}: {len(problems) - 5} more such problems.")
        kept = {str(record.image_path) for record in dataset.records}
        valid = {
            image.id: sum(
                placed for *_, placed in file.instances.marks(image.id)
            )
            for image in file.images
            if str(coco / name / image.file_name) in kept
        }
        document = json.loads(path.read_text(encoding="utf-8-sig"))
        left_out[FAULTY] += _add(document, name, valid, joined)
    if not joined["images"]:
        why = ", ".join(f"{n} {reason}" for reason, n in left_out.items() if n)
        raise DataError(
            f"{coco}: no picture of {', '.join(sets)} is left "
            f"({why or 'there is none'}); see --source, --target "
            "and --keep_images_with_target."
        )
    _check_unique(joined, out)
    out.mkdir(parents=True, exist_ok=True)
    link(coco, out / "images")
    path = out / "instances.json"
    with atomic_path(path) as temporary, open(temporary, "w") as stream:
        names = [{"id": key, "name": name} for key, name in categories.items()]
        json.dump({**joined, "categories": names}, stream)
    for reason, number in sorted(left_out.items()):
        if number:
            lines.append(f"left out: {number} pictures ({reason})")
    return [
        *lines,
        f"{path}: {len(joined['images'])} pictures with "
        f"{len(joined['annotations'])} annotations",
    ]


def _add(
    document: dict[str, Any],
    folder: str,
    valid: dict[int, int],
    joined: dict[str, list[dict[str, Any]]],
) -> int:
    """Adds the pictures in `valid` to `joined`.

    Args:
        document: one instances JSON.
        folder: what file names get in front.
        valid: image id -> number of its annotations that passed the checks.
        joined: grows by the pictures and their annotations.

    Returns:
        Number of pictures left out because an annotation did not pass.
    """
    annotations = collections.defaultdict(list)
    for entry in document["annotations"]:
        if isinstance(entry, dict) and entry.get("image_id") in valid:
            annotations[entry["image_id"]].append(entry)
    faulty = 0
    seen: set[int] = set()
    for image in document["images"]:
        number = image.get("id") if isinstance(image, dict) else None
        if number not in valid or number in seen:
            continue
        seen.add(number)
        if len(annotations[number]) != valid[number]:
            faulty += 1
            continue
        image = {**image, "file_name": f"{folder}/{image['file_name']}"}
        joined["images"].append(_kept(image, "images"))
        joined["annotations"] += [
            _kept(entry, "annotations") for entry in annotations[number]
        ]
    return faulty


def _kept(entry: dict[str, Any], kind: str) -> dict[str, Any]:
    return {key: entry[key] for key in _KEPT_FIELDS[kind] if key in entry}


def _check_unique(joined: dict[str, list[dict[str, Any]]], out: Path) -> None:
    for kind, entries in joined.items():
        ids = [entry["id"] for entry in entries]
        if len(ids) != len(set(ids)):
            raise DataError(
                f"{out}: an id of {kind} stands in two sets; prepare the "
                "sets into separate folders."
            )
