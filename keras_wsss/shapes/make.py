"""The embedded data set "shapes", written as ordinary files."""

import dataclasses
import json
import multiprocessing
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from keras_wsss.categories import SPLITS, Split, palette
from keras_wsss.errors import ConfigError
from keras_wsss.files import atomic_folder
from keras_wsss.shapes.drawing import (
    DrawnThing,
    Thing,
    blob,
    crowd_of,
    draw_scene,
)
from keras_wsss.shapes.outlines import OUTLINES, Outline

# Independent streams of random numbers.
_SOURCE, _TARGET, _VAL, _NEGATIVE, _WITHOUT = range(5)


@dataclasses.dataclass(frozen=True)
class ShapesSize:
    """How much `write_shapes` draws.

    Attributes:
        image_size: side of the pictures in pixels, at least 64.
        source: number of source pictures, with masks.
        target: number of target training pictures, with tags only.
        val: number of evaluation pictures, with masks.
        negatives: number of target training pictures without any target
            category: their tags are empty.
        without: number of pictures without any target category that no
            training sees.
    """

    image_size: int = 128
    source: int = 1200
    target: int = 1400
    val: int = 150
    negatives: int = 100
    without: int = 100

    def shared(self, share: float) -> "ShapesSize":
        """A share of all pictures, at least one of a kind."""
        counts = dataclasses.asdict(self)
        side = counts.pop("image_size")
        fewer = {k: max(1, round(share * v)) for k, v in counts.items()}
        return ShapesSize(side, **fewer)


@dataclasses.dataclass(frozen=True)
class Lots:
    """What a picture may hold; radii suit pictures of 128 pixels.

    Attributes:
        blobs: fewest and most blobs of no category below the objects.
        numbers: probabilities of one, two and three categories.
        again: probability of one more object of the same categories.
        small: probability that an object is small.
        small_radius: radii of small objects, pixels.
        radius: radii of others, pixels; the upper one is for a single
            object and falls by `crowding` with each.
        crowding: see `radius`.
        cover: probability of a blob on top of everything.
    """

    blobs: tuple[int, int] = (1, 4)
    numbers: tuple[float, float, float] = (0.45, 0.35, 0.2)
    again: float = 0.3
    small: float = 0.15
    small_radius: tuple[float, float] = (9, 14)
    radius: tuple[float, float] = (16, 32)
    crowding: float = 4
    cover: float = 0.5


# The embedded data set: two minutes of training must be enough.
EMBEDDED = Lots(
    blobs=(0, 2),
    numbers=(0.55, 0.37, 0.08),
    again=0.1,
    small=0.04,
    small_radius=(14, 19),
    radius=(24, 42),
    crowding=4,
    cover=0.3,
)


def shapes_split() -> Split:
    """The split "shapes": source and target silhouettes."""
    return SPLITS["shapes"]


def write_shapes(
    folder: str | Path,
    *,
    seed: int = 0,
    size: ShapesSize | None = None,
    apart: bool = False,
) -> None:
    """Draws the data set and writes it in the formats of the real ones.

    A category is a silhouette; colour, texture, size and surroundings tell
    nothing. A picture holds one to three categories, some objects are small
    or partly covered, and blobs of no category lie about. Some target
    pictures also hold an object of a source category, which is background
    there. The layout below `folder`:

        source/instances.json                     COCO: polygons, RLE, crowds
        source/images/*.jpg
        target/classes.txt                        names of the mask indices
        target/train_tags.csv                     image,labels
        target/JPEGImages/*.jpg                   training and evaluation
        target/ImageSets/Segmentation/{train,val}.txt
        target/SegmentationClass/*.png            of the val pictures only
        target/without/source_shapes/*.jpg        no target category; not for
        target/without/plain/*.png                training, but to test with

    The bytes are a function of the arguments (and of the versions of OpenCV
    and Pillow, which encode the pictures).

    Args:
        folder: folder to make; appears complete or not at all.
        seed: other seeds give other pictures of the same kind.
        size: how much to draw.
        apart: whether processes of their own draw source and target, at the
            same time; the bytes are the same.

    Raises:
        ConfigError: `folder` exists, a size is too small, or the seed is
            negative.
    """
    size = size or ShapesSize()
    if size.image_size < 64:
        raise ConfigError(
            f"image_size {size.image_size} is too small to draw shapes; use "
            "64 or more."
        )
    if seed < 0:
        raise ConfigError(f"seed {seed} is negative; use 0 or more.")
    for name in ("source", "target", "val"):
        if getattr(size, name) < 1:
            raise ConfigError(
                f"{name} {getattr(size, name)} pictures are too few; use at "
                "least 1."
            )
    try:
        with atomic_folder(folder) as root:
            parts = {"source": _write_source, "target": _write_target}
            if not apart:
                for name, write in parts.items():
                    write(root / name, seed, size)
                return
            # Not forked: the caller may have threads.
            spawn = multiprocessing.get_context("spawn")
            with ProcessPoolExecutor(len(parts), spawn) as pool:
                started = [
                    pool.submit(write, root / name, seed, size)
                    for name, write in parts.items()
                ]
                for each in started:
                    each.result()
    except FileExistsError as error:
        if not Path(folder).exists():
            raise  # something else is in the way
        raise ConfigError(
            f"Folder {folder} exists already; remove it or name another one."
        ) from error


def things_to_draw(
    rng: np.random.Generator,
    names: Sequence[str],
    scale: float,
    outlines: Mapping[str, Outline] = OUTLINES,
    others: Sequence[str] = (),
    lots: Lots | None = None,
) -> list[Thing]:
    """Draws lots what a picture is to hold.

    Args:
        rng: random numbers.
        names: categories to choose one to three of.
        scale: factor of all sizes; 1 suits pictures of 128 pixels.
        outlines: the outline of every name.
        others: categories of which one object may appear without a name.
        lots: numbers and sizes of things; `Lots()` if None.

    Returns:
        Distractors first, then objects (sometimes a distractor on top).
    """

    def radius(smallest: float, largest: float) -> float:
        return scale * rng.uniform(smallest, largest)

    lots = lots or Lots()
    fewest, most = lots.blobs
    things = [
        Thing(blob(rng), radius(7, 22))
        for _ in range(rng.integers(fewest, most + 1))
    ]
    if others and rng.random() < 0.3:
        other = str(rng.choice(others))
        things.append(Thing(outlines[other], radius(15, 25)))
    number = rng.choice([1, 2, 3], p=lots.numbers)
    chosen = rng.choice(names, number, replace=False)
    copies = [str(name) for name in chosen]
    while len(copies) < 4 and rng.random() < lots.again:
        copies.append(str(rng.choice(chosen)))
    low, high = lots.radius
    usual = (low, high - lots.crowding * (len(copies) - 1))
    for name in copies:
        small = rng.random() < lots.small
        things.append(
            Thing(
                outlines[name],
                radius(*(lots.small_radius if small else usual)),
                name,
            )
        )
    if rng.random() < lots.cover:
        things.append(Thing(blob(rng), radius(5, 11)))
    return things


def _random(seed: int, stream: int, index: int) -> np.random.Generator:
    # One generator a picture: no picture depends on how many there are.
    return np.random.default_rng([seed, stream, index])


def _named(instances: Sequence[DrawnThing]) -> list[DrawnThing]:
    """Instances of categories of which enough is visible to be annotated."""
    return [
        instance
        for instance in instances
        if instance.name is not None and instance.visible.sum() >= 12
    ]


def _scene(
    seed: int,
    stream: int,
    index: int,
    image_size: int,
    names: Sequence[str],
    others: Sequence[str] = (),
) -> tuple[np.ndarray, list[DrawnThing]]:
    """A picture and its named instances, at least one of them no crowd."""
    rng = _random(seed, stream, index)
    while True:
        things = things_to_draw(
            rng, names, image_size / 128, others=others, lots=EMBEDDED
        )
        if stream == _SOURCE and rng.random() < 0.05:
            name = str(rng.choice(names))
            crowd = crowd_of(rng, OUTLINES[name])
            radius = rng.uniform(18, 26) * image_size / 128
            things.insert(0, Thing(crowd, radius, name, crowd=True))
        picture, instances = draw_scene(rng, image_size, things)
        instances = _named(instances)
        if any(not instance.crowd for instance in instances):
            return picture, instances


def _write_picture(path: Path, picture: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    flags = [cv2.IMWRITE_JPEG_QUALITY, 95]
    if not cv2.imwrite(str(path), picture[..., ::-1], flags):
        raise OSError(f"{path} could not be written")


def _write_source(root: Path, seed: int, size: ShapesSize) -> None:
    """Writes source pictures and their COCO instances file."""
    split = shapes_split()
    categories = [
        {"id": number, "name": name, "supercategory": "shape"}
        # Target shapes were looked for too: there are none.
        for number, name in enumerate((*split.source, *split.target), start=1)
    ]
    ids = {entry["name"]: entry["id"] for entry in categories}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for index in range(size.source):
        picture, instances = _scene(
            seed, _SOURCE, index, size.image_size, split.source
        )
        name = f"source_{index:05d}.jpg"
        _write_picture(root / "images" / name, picture)
        images.append(
            {
                "id": index + 1,
                "file_name": name,
                "height": size.image_size,
                "width": size.image_size,
            }
        )
        for instance in instances:
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": index + 1,
                    "category_id": ids[instance.name],
                    **_annotation(instance),
                }
            )
    text = json.dumps(
        {
            "info": {"description": "shapes, drawn by keras_wsss"},
            "images": images,
            "annotations": annotations,
            "categories": categories,
        }
    )
    (root / "instances.json").write_text(text, encoding="utf-8")


def _annotation(instance: DrawnThing) -> dict[str, Any]:
    """Area, box and segmentation, in the form that COCO uses for each."""
    visible = np.asfortranarray(instance.visible.astype(np.uint8))
    encoded = coco_mask.encode(visible)
    segmentation: Any
    if instance.crowd:
        segmentation = {"size": list(visible.shape), "counts": _runs(visible)}
    elif instance.whole and not instance.outline.holes:
        segmentation = [
            [round(float(value), 2) for value in part.ravel()]
            for part in instance.outline.parts
        ]
    else:  # covered, cut or with a hole: polygons cannot say that
        segmentation = {
            "size": list(visible.shape),
            "counts": encoded["counts"].decode("ascii"),
        }
    return {
        "area": float(coco_mask.area(encoded)),
        "bbox": [float(value) for value in coco_mask.toBbox(encoded)],
        "iscrowd": int(instance.crowd),
        "segmentation": segmentation,
    }


def _runs(mask: np.ndarray) -> list[int]:
    """Uncompressed run lengths of COCO: column by column, zeros first."""
    flat = mask.ravel(order="F")
    changes = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff(np.concatenate([[0], changes, [flat.size]])).tolist()
    return [0, *runs] if flat[0] else runs


def _write_target(root: Path, seed: int, size: ShapesSize) -> None:
    """Writes target pictures: tags of the training ones, masks of val."""
    split = shapes_split()
    lines = ["image,labels"]
    lists: dict[str, list[str]] = {"train": [], "val": []}
    for stream, name, count in (
        (_TARGET, "train", size.target),
        (_VAL, "val", size.val),
    ):
        for index in range(count):
            picture, instances = _scene(
                seed,
                stream,
                index,
                size.image_size,
                split.target,
                others=split.source,
            )
            image_id = f"{name}_{index:05d}"
            lists[name].append(image_id)
            _write_picture(root / "JPEGImages" / f"{image_id}.jpg", picture)
            if name == "train":
                tags = sorted({each.name for each in instances if each.name})
                lines.append(f"{image_id}.jpg,{';'.join(tags)}")
            else:
                path = root / "SegmentationClass" / f"{image_id}.png"
                _write_mask(path, instances, split)
    for index in range(size.negatives):
        picture, _ = _scene(
            seed, _NEGATIVE, index, size.image_size, split.source
        )
        image_id = f"negative_{index:05d}"
        lists["train"].append(image_id)
        _write_picture(root / "JPEGImages" / f"{image_id}.jpg", picture)
        lines.append(f"{image_id}.jpg,")
    for index in range(size.without):
        picture, _ = _scene(
            seed, _WITHOUT, index, size.image_size, split.source
        )
        name = f"source_shapes/without_{index:05d}.jpg"
        _write_picture(root / "without" / name, picture)
    for name, picture in plain_pictures(size.image_size).items():
        path = root / "without" / "plain" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path)
    _write_lines(root / "train_tags.csv", lines)
    _write_lines(root / "classes.txt", split.target)
    for name, image_ids in lists.items():
        path = root / "ImageSets" / "Segmentation" / f"{name}.txt"
        _write_lines(path, image_ids)


def plain_pictures(size: int) -> dict[str, np.ndarray]:
    """Pictures with nothing in them: one colour, or a gradient.

    Args:
        size: side in pixels.

    Returns:
        Name -> uint8 [size, size, 3], RGB.
    """
    ramp = np.linspace(0, 255, size)
    across = np.broadcast_to(ramp, (size, size))
    centre = np.abs(np.linspace(-1, 1, size))
    far = np.hypot(centre[:, None], centre[None])
    levels = {
        **{f"grey_{v:03d}": np.full((size, size), v) for v in (64, 128, 192)},
        "black": np.zeros((size, size)),
        "white": np.full((size, size), 255),
        "gradient_across": across,
        "gradient_down": across.T,
        "gradient_diagonal": (across + across.T) / 2,
        "gradient_round": 255 * (1 - far / far.max()),
    }
    pictures = {
        name: np.repeat(level.astype(np.uint8)[..., None], 3, axis=2)
        for name, level in levels.items()
    }
    for name, colour in {"red": (200, 40, 40), "blue": (40, 60, 200)}.items():
        pictures[name] = np.full((size, size, 3), colour, np.uint8)
    return pictures


def _write_mask(
    path: Path, instances: Sequence[DrawnThing], split: Split
) -> None:
    """Writes a palette PNG whose indices are positions in classes.txt."""
    mask = np.zeros(instances[0].visible.shape, np.uint8)
    for instance in instances:
        mask[instance.visible] = split.target.index(instance.name) + 1
    image = Image.fromarray(mask, mode="P")
    image.putpalette(palette().ravel().tolist())
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, format="PNG")


def _write_lines(path: Path, lines: Sequence[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
