"""The default refiner beside the published dense CRF: time and quality.

    python benchmarks/refinement.py
    python benchmarks/refinement.py --data DIR --images 60

Both refine the same coarse probabilities in the same run, so the ratios hold
whatever else the machine does. The probabilities are made from true masks by
what goes wrong in practice: a coarse grid, noise, outlines too far out or
in, parts that are missing or too much. `--data` names a folder with
`images/` and a COCO `instances.json`; only categories that VOC lacks are
used, never a target category's mask. Without it, drawn pictures stand in,
on which figures of quality mean little.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from absl import app, flags

from benchmarks.early_help import early_help

_DATA = flags.DEFINE_string(
    "data", None, "Folder with images/ and instances.json; drawn when not set."
)
_IMAGES = flags.DEFINE_integer("images", 10, "Number of pictures.")
_REPEATS = flags.DEFINE_integer("repeats", 3, "Timed runs; the median counts.")
_SEED = flags.DEFINE_integer("seed", 0, "Seed of the degradation.")

early_help()

import cv2
import numpy as np
import tensorflow as tf

from keras_wsss.categories import SPLITS
from keras_wsss.commands.cli import exit_with
from keras_wsss.config import DataConfig
from keras_wsss.data import formats
from keras_wsss.data.images import read_image
from keras_wsss.errors import ConfigError
from keras_wsss.evaluation.metrics.boundary import boundary_region
from keras_wsss.evaluation.table import markdown_table
from keras_wsss.inference.dense_crf import dense_crf, load_pydensecrf
from keras_wsss.layers.refinement import ImageGuidedRefinement

SIZE = (375, 500)  # height and width for the timing: a usual VOC picture
COARSE_GRIDS = (14, 20, 56)  # cells of a simulated network's output
SMALLEST_SHARE = 0.02  # of the picture; smaller masks vanish on the grid

# image uint8 [H, W, 3], probabilities [K, H, W] -> refined [K, H, W]
Refiner = Callable[[np.ndarray, np.ndarray], np.ndarray]


def _smooth_noise(
    rng: np.random.Generator, side: int, cells: int
) -> np.ndarray:
    noise = rng.normal(size=(cells, cells))
    noise = cv2.resize(noise, (side, side), interpolation=cv2.INTER_CUBIC)
    return noise / noise.std()


def _wrong_parts(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Moves the outline, and adds and removes an ellipse on it."""
    mask = mask.astype(np.uint8)
    side = float(np.sqrt(mask.sum()))
    radius = int(rng.integers(0, max(2, int(0.08 * side))))
    kernel = cv2.getStructuringElement(
        cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1)
    )
    change = cv2.dilate if rng.random() < 0.5 else cv2.erode
    moved = change(mask, kernel)
    wrong = mask if moved.sum() < 0.3 * mask.sum() else moved
    wrong = wrong.astype(np.float32)
    outline = cv2.morphologyEx(
        mask, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)
    )
    places = np.argwhere(outline)
    for value in (0.0, 1.0):
        if rng.random() < 0.6:
            y, x = places[rng.integers(len(places))]
            axes = [int(side * rng.uniform(0.1, 0.3)) for _ in range(2)]
            blob = np.zeros(mask.shape, np.float32)
            angle = rng.uniform(0, 180)
            cv2.ellipse(blob, (int(x), int(y)), axes, angle, 0, 360, 1, -1)
            blob *= rng.uniform(0.6, 1.0)
            wrong = wrong * (1 - blob) + value * blob
    return wrong


def degrade(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A coarse, noisy, partly wrong probability map of a true mask.

    Args:
        mask: bool [height, width].
        rng: chooses the errors.

    Returns:
        float32 [height, width] in (0, 1).
    """
    height, width = mask.shape
    side = max(height, width)
    square = np.zeros((side, side), np.float32)
    square[:height, :width] = _wrong_parts(mask, rng)
    grid = int(rng.choice(COARSE_GRIDS))
    small = cv2.resize(square, (grid, grid), interpolation=cv2.INTER_AREA)
    logits = rng.uniform(4, 8) * (small - 0.5)
    noise = _smooth_noise(rng, grid, max(4, grid // 3))
    logits += rng.uniform(0.5, 1.2) * noise
    logits += rng.uniform(0.2, 0.8) * rng.normal(size=logits.shape)
    logits = cv2.resize(logits, (side, side), interpolation=cv2.INTER_LINEAR)
    return (1 / (1 + np.exp(-logits[:height, :width]))).astype(np.float32)


def drawn_picture(
    rng: np.random.Generator, labels: int
) -> tuple[np.ndarray, np.ndarray]:
    """Textured ellipses on a textured ground, with their masks.

    Returns:
        uint8 [375, 500, 3] picture, bool [labels, 375, 500] masks.
    """
    height, width = SIZE
    picture = np.zeros((height, width, 3))
    picture += rng.integers(40, 216, 3)
    masks = np.zeros((labels, height, width), np.uint8)
    for mask in masks:
        centre = (int(rng.integers(100, 400)), int(rng.integers(80, 295)))
        axes = (int(rng.integers(40, 120)), int(rng.integers(40, 90)))
        angle = rng.uniform(0, 180)
        cv2.ellipse(mask, centre, axes, angle, 0, 360, 1, -1)
        picture[mask == 1] = rng.integers(40, 216, 3)
    for channel in range(3):
        texture = _smooth_noise(rng, width, 60)[:height]
        picture[..., channel] += 10 * texture
    # As soft and as quiet as a photograph: on more noise the dense CRF takes
    # far longer, which would flatter the other.
    picture = cv2.GaussianBlur(picture, (0, 0), 1.5)
    picture += rng.normal(0, 1.0, picture.shape)
    return np.clip(picture, 0, 255).astype(np.uint8), masks == 1


def pictures() -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pictures and the true masks of their labels, drawn or from --data."""
    rng = np.random.default_rng(_SEED.value)
    if _DATA.value is None:
        for _ in range(_IMAGES.value):
            yield drawn_picture(rng, 2)
        return
    root = Path(_DATA.value)
    found = 0
    data = DataConfig(
        source_annotations=str(root / "instances.json"),
        source_images=str(root / "images"),
        exclude_images_with_target=False,
    )
    dataset = formats.read(data, SPLITS["mini60"], "source")
    for record in dataset.records:
        if found == _IMAGES.value:
            return
        mask = record.mask.read()
        masks = [mask == label for label in record.labels]
        masks = [m for m in masks if m.mean() >= SMALLEST_SHARE]
        if masks:
            found += 1
            yield read_image(record.image_path), np.stack(masks)


def default_refiner() -> Refiner:
    """`ImageGuidedRefinement` in a graph, as it is exported."""
    layer = ImageGuidedRefinement()
    graph = tf.function(
        lambda image, p: layer(image[None], p[None])[0],
        input_signature=[
            tf.TensorSpec([None, None, 3], tf.uint8),
            tf.TensorSpec([None, None, None], tf.float32),
        ],
    )

    def refine(image: np.ndarray, p: np.ndarray) -> np.ndarray:
        channels_last = np.ascontiguousarray(p.transpose(1, 2, 0))
        return graph(image, channels_last).numpy().transpose(2, 0, 1)

    return refine


def _time(refiners: dict[str, Refiner]) -> None:
    rows = []
    rng = np.random.default_rng(_SEED.value)
    for labels in (1, 2, 4):
        image, masks = drawn_picture(rng, labels)
        p = np.stack([degrade(mask, rng) for mask in masks])
        seconds: dict[str, list[float]] = {name: [] for name in refiners}
        refiners["default"](image, p)  # the graph is made at the first call
        for _ in range(_REPEATS.value):
            for name, refine in refiners.items():
                start = time.perf_counter()
                refine(image, p)
                seconds[name].append(time.perf_counter() - start)
        row = {"labels": labels}
        for name, values in seconds.items():
            row[name] = 1000 * statistics.median(values)
        if "dense CRF" in row:
            row["ratio"] = row["dense CRF"] / row["default"]
        rows.append(row)
    columns = {"labels": "labels", "default ms/image": "default"}
    columns |= {
        "dense CRF ms/image": "dense CRF",
        "dense CRF / default": "ratio",
    }
    print(f"Time an image of {SIZE[1]}x{SIZE[0]} pixels:\n")
    print(markdown_table(rows, columns, 1))


def _quality(refiners: dict[str, Refiner]) -> None:
    rng = np.random.default_rng(_SEED.value)
    refiners = {"none (input)": lambda _, p: p, **refiners}
    scores = {name: [] for name in refiners}
    seconds = dict.fromkeys(refiners, 0.0)
    count = labels = 0
    for image, masks in pictures():
        count, labels = count + 1, labels + len(masks)
        p = np.stack([degrade(mask, rng) for mask in masks])
        distance = max(1, round(0.02 * float(np.hypot(*image.shape[:2]))))
        for name, refine in refiners.items():
            start = time.perf_counter()
            refined = refine(image, p) > 0.5
            seconds[name] += time.perf_counter() - start
            for truth, mask in zip(masks, refined, strict=True):
                bands = [boundary_region(m, distance) for m in (truth, mask)]
                scores[name].append((_iou(truth, mask), _iou(*bands)))
    if not count:
        raise ConfigError(
            f"--data {_DATA.value} has no picture with a large enough mask "
            "of a category that VOC lacks; name another folder."
        )
    base = np.mean(scores["none (input)"], axis=0)
    rows = []
    for name, values in scores.items():
        iou, boundary = np.mean(values, axis=0)
        rows.append(
            {
                "name": name,
                "iou": float(iou),
                "gain": float(iou - base[0]),
                "boundary": float(boundary),
                "boundary gain": float(boundary - base[1]),
                "ms": 1000 * seconds[name] / count,
            }
        )
    source = _DATA.value or "drawn pictures"
    print(f"Quality on {labels} masks of {count} pictures ({source}):\n")
    columns = {"refinement": "name", "mean IoU": "iou", "gain": "gain"}
    columns |= {"boundary IoU": "boundary", "boundary gain": "boundary gain"}
    columns |= {"ms/image": "ms"}
    print(markdown_table(rows, columns, {"ms": 1}))


def _iou(one: np.ndarray, two: np.ndarray) -> float:
    union = np.count_nonzero(one | two)
    return np.count_nonzero(one & two) / union if union else 1.0


def main() -> None:
    """Prints the two tables."""
    refiners: dict[str, Refiner] = {"default": default_refiner()}
    try:
        load_pydensecrf()
        refiners["dense CRF"] = dense_crf
    except ConfigError as error:
        print(f"Without the dense CRF: {error}\n")
    _time(refiners)
    _quality(refiners)


if __name__ == "__main__":
    app.run(lambda _: exit_with(main))
