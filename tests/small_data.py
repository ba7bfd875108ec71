"""Small data sets on disk for tests: COCO JSON, VOC folder, tags file."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from keras_wsss.categories import Split
from keras_wsss.config import DataConfig
from keras_wsss.data.masks import write_palette_mask
from keras_wsss.data.sampling import PairBatch, PairSampler

# "plate" is a category of the split without masks or tags; "lamp" is in no
# split at all.
SPLIT = Split(
    name="small",
    categories=("cat", "dog", "cup", "teddy bear", "plate"),
    source=("cup", "teddy bear"),
    target=("cat", "dog"),
    scored=("cat", "dog"),
    aliases={"kitty": "cat"},
)
CAT, DOG, CUP, BEAR, PLATE = range(1, 6)
COCO_IDS = {"cat": 17, "cup": 47, "teddy bear": 88, "lamp": 5, "plate": 6}


@dataclasses.dataclass(frozen=True)
class Places:
    """Where the parts of a small data set lie, each maybe nowhere."""

    source_annotations: Path | None = None
    source_images: Path | None = None
    eval_root: Path | None = None
    target_tags: Path | None = None
    target_images: Path | None = None

    def data(self, **fields) -> DataConfig:
        """The group of a config that names them."""
        given = {
            own.name: getattr(self, own.name)
            for own in dataclasses.fields(self)
            if getattr(self, own.name) is not None
        }
        return DataConfig(
            **{"exclude_images_with_target": False, **given, **fields}
        )


def slots_of(sampler: PairSampler, step: int, size: int) -> PairBatch:
    """The `size` slots of an update, as training takes one after another."""
    slots = [sampler.slot(step * size + row) for row in range(size)]
    return PairBatch(
        *(
            np.concatenate([getattr(slot, field.name) for slot in slots])
            for field in dataclasses.fields(PairBatch)
        )
    )


def box(left: float, top: float, right: float, bottom: float) -> list[float]:
    """A rectangle as a COCO polygon; pixel edges lie on whole numbers."""
    return [left, top, right, top, right, bottom, left, bottom]


def write_picture(path: Path, width: int, height: int, seed: int = 0) -> None:
    """Writes random colours, different for each seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    colours = np.random.default_rng(seed).integers(
        0, 256, (height, width, 3), np.uint8
    )
    Image.fromarray(colours).save(path)


def bbox_of(segmentation) -> list[float]:
    """x, y, width, height of polygons; nothing of run lengths."""
    try:
        points = np.concatenate(
            [np.reshape(part, (-1, 2)) for part in segmentation]
        )
        low, high = points.min(0), points.max(0)
        return [float(value) for value in (*low, *(high - low))]
    except (TypeError, ValueError):
        return []


def annotation(number: int, image: int, name: str, segmentation, crowd=0):
    """One entry of "annotations"."""
    return {
        "id": number,
        "image_id": image,
        "category_id": COCO_IDS.get(name, name),
        "iscrowd": crowd,
        "area": 1.0,
        "bbox": bbox_of(segmentation),
        "segmentation": segmentation,
    }


def document(sizes: dict[int, tuple[int, int]], annotations: list) -> dict:
    """A COCO document with pictures id -> (width, height)."""
    return {
        "images": [
            {"id": key, "file_name": f"{key}.png", "width": w, "height": h}
            for key, (w, h) in sizes.items()
        ],
        "annotations": annotations,
        "categories": [
            {"id": number, "name": name} for name, number in COCO_IDS.items()
        ],
    }


def write_coco(folder: Path, content: dict[str, Any]) -> tuple[Path, Path]:
    """Writes a document and its pictures.

    Returns:
        Paths of the JSON and of the picture folder.
    """
    images = folder / "images"
    images.mkdir(parents=True, exist_ok=True)
    for entry in content["images"]:
        size = entry.get("width"), entry.get("height")
        if all(isinstance(side, int) and 0 < side < 1000 for side in size):
            path = images / Path(entry["file_name"]).name
            write_picture(path, *size, seed=100 + entry["id"])
    path = folder / "instances.json"
    path.write_text(json.dumps(content))
    return path, images


def write_voc(
    root: Path, masks: dict[str, np.ndarray], image_set: str = "val"
) -> Path:
    """Writes pictures, masks and list in VOC layout."""
    for seed, (name, mask) in enumerate(masks.items()):
        height, width = mask.shape
        path = root / "JPEGImages" / f"{name}.jpg"
        write_picture(path, width, height, seed=200 + seed)
        folder = root / "SegmentationClass"
        folder.mkdir(exist_ok=True)
        write_palette_mask(folder / f"{name}.png", mask)
    path = root / "ImageSets" / "Segmentation" / f"{image_set}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{name}\n" for name in masks))
    return root


def write_tags(
    folder: Path, lines: list[str], names: list[str] = ()
) -> tuple[Path, Path]:
    """Writes a tags file, and pictures called `names`.

    Returns:
        Paths of the CSV and of the picture folder.
    """
    images = folder / "tagged"
    images.mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(names):
        write_picture(images / name, 12, 10, seed=300 + seed)
    path = folder / "tags.csv"
    path.write_text("\n".join(["image,labels", *lines]) + "\n")
    return path, images
