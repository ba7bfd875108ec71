"""What a start costs as the data grow: reading them, opening the cache.

    python -m benchmarks.scale
    python -m benchmarks.scale --pictures 100000 --steps coco,painted

Makes collections of its own, of ten tags (annotations) a picture, and measures
each step in a process of its own: seconds, seconds of processor, and the
highest memory with the libraries that it takes. "first" is the first start on
new files, "later" one after it. Pictures are copies of one of 64 pixels,
each with bytes of its own; polygons have 26 points, as those of COCO.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import argparse
import csv
import importlib
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np

from keras_wsss.categories import Split
from keras_wsss.config import DataConfig
from keras_wsss.data import formats

TAGS = 10  # of a picture
WIDTH, HEIGHT = 640, 480  # that the annotations tell
NAMES = tuple(f"thing {i}" for i in range(80))
SPLIT = Split(
    name="scale",
    categories=NAMES,
    source=NAMES[:60],
    target=NAMES[60:],
    scored=NAMES[60:],
)
ANNOTATIONS, TABLE = "instances.json", "tags.csv"
IMAGES, CACHE, INDEX = "images", "cache", "index"


def make_pictures(folder: Path, count: int) -> None:
    """Writes small JPEG pictures, all of other content."""
    folder.mkdir(parents=True)
    blobs = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    jpeg = cv2.imencode(".jpg", cv2.resize(blobs, (64, 64)))[1].tobytes()
    for number in range(count):
        # Behind the end of a JPEG, anything may stand.
        data = jpeg + number.to_bytes(8, "big")
        (folder / f"{number:012}.jpg").write_bytes(data)
    # What changed just now is never remembered; data sets are older.
    hour_ago = time.time() - 3600
    for entry in os.scandir(folder):
        os.utime(entry.path, (hour_ago, hour_ago))


def polygon(rng: np.random.Generator) -> str:
    """An outline around a point, as JSON text of 26 points."""
    centre = rng.uniform((0, 0), (WIDTH, HEIGHT))
    radius = min(rng.lognormal(3.5, 0.9), 200)
    angles = np.sort(rng.uniform(0, 2 * np.pi, 26))
    radii = radius * rng.uniform(0.6, 1, 26)
    points = centre + radii[:, None] * np.stack(
        [np.cos(angles), np.sin(angles)], 1
    )
    points = points.clip(0, (WIDTH, HEIGHT)).round(2)
    return json.dumps([points.ravel().tolist()])


def make_annotations(path: Path, count: int) -> None:
    """Writes a COCO instances JSON in the order of COCO's own files."""
    rng = np.random.default_rng(1)
    outlines = [polygon(rng) for _ in range(5000)]
    with open(path, "w", encoding="ascii") as file:
        file.write('{"info": {"year": 2017}, "licenses": [], "images": [')
        for number in range(count):
            image = {
                "license": 3,
                "file_name": f"{number:012}.jpg",
                "height": HEIGHT,
                "width": WIDTH,
                "id": number,
            }
            file.write(", " * (number > 0) + json.dumps(image))
        file.write('], "annotations": [')
        for number in range(count * TAGS):
            text = outlines[rng.integers(len(outlines))]
            crowd = 0
            if rng.random() < 0.01:
                runs = [5000, 900, WIDTH * HEIGHT - 5900]
                size = [HEIGHT, WIDTH]
                text = json.dumps({"size": size, "counts": runs})
                crowd = 1
            category = rng.integers(len(NAMES)) + 1
            file.write(
                f'{", " * (number > 0)}{{"segmentation": {text}, "area": 702.1'
                f', "iscrowd": {crowd}, "image_id": {number // TAGS}, "bbox": '
                f'[473.07, 395.93, 38.65, 28.67], "category_id": {category}, '
                f'"id": {number}}}'
            )
        names = [{"id": i, "name": n} for i, n in enumerate(NAMES, 1)]
        file.write(f'], "categories": {json.dumps(names)}}}')


def make_tags(path: Path, count: int) -> None:
    """Writes a table of tags."""
    rng = np.random.default_rng(2)
    with open(path, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["image", "labels"])
        for number in range(count):
            names = rng.choice(SPLIT.target, TAGS, replace=False)
            table.writerow([f"{number:012}.jpg", ";".join(names)])


def data_of(folder: Path, min_pixels: int = 1) -> DataConfig:
    """The group of a config that names what was made."""
    return DataConfig(
        source_annotations=str(folder / ANNOTATIONS),
        source_images=str(folder / IMAGES),
        target_tags=str(folder / TABLE),
        target_images=str(folder / IMAGES),
        exclude_images_with_target=False,
        min_pixels=min_pixels,
        index=str(folder / INDEX),
    )


def read_coco(folder: Path) -> int:
    """Source records, no instance painted."""
    return len(formats.read(data_of(folder, 0), SPLIT, "source").records)


def read_painted(folder: Path) -> int:
    """Source records with labels of at least one visible pixel."""
    return len(formats.read(data_of(folder), SPLIT, "source").records)


def read_tags(folder: Path) -> int:
    """Target records."""
    return len(formats.read(data_of(folder), SPLIT, "target").records)


def open_cache(folder: Path) -> int:
    """A complete feature cache of both views, of a very small encoder."""
    cache = make_cache(folder)
    cache.build(list(records_of(folder)), log=lambda line: None)
    assert not cache.results()["built"]
    return int(cache.results()["entries"])


def records_of(folder: Path) -> Iterator:
    """Records of all pictures, without reading annotations."""
    from keras_wsss.data.records import Record

    for path in sorted((folder / IMAGES).iterdir()):
        yield Record(path.stem, path, "source", (1,))


def make_cache(folder: Path):
    """A cache whose entries are as small as can be."""
    import keras

    from keras_wsss.data.views import ViewSpec
    from keras_wsss.layers.pooling import MaxPoolingWithSwitches
    from keras_wsss.training.feature_cache import FeatureCache

    inputs = keras.Input((None, None, 3))
    features = keras.layers.AveragePooling2D(16)(inputs)
    _, switches = MaxPoolingWithSwitches()(inputs)
    return FeatureCache(
        folder / CACHE,
        keras.Model(inputs, [features, switches]),
        ViewSpec(32, mirror=True),
        levels=(),
        encoder_batch=64,
    )


def fill_cache(folder: Path) -> int:
    """Computes all entries."""
    cache = make_cache(folder)
    cache.build(list(records_of(folder)), log=lambda line: None)
    return int(cache.results()["built"])


def forget(folder: Path) -> None:
    """Removes what earlier starts have kept; entries of the cache stay."""
    shutil.rmtree(folder / INDEX, ignore_errors=True)
    for notes in (folder / CACHE).glob("*.json"):
        notes.unlink()


STEPS: dict[str, tuple[str, Callable[[Path], int]]] = {
    "tags": ("tags of a table", read_tags),
    "coco": ("COCO, nothing painted", read_coco),
    "painted": ("COCO, min_pixels=1", read_painted),
    "fill": ("feature cache, building", fill_cache),
    "cache": ("feature cache, opening", open_cache),
}


def run_step(name: str, folder: Path) -> None:
    """Does one step and prints its figures as JSON."""
    if name in ("fill", "cache"):
        # TensorFlow takes its time and memory however few the pictures.
        importlib.import_module("keras_wsss.training.feature_cache")
    start, processor = time.perf_counter(), time.process_time()
    count = STEPS[name][1](folder)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    figures = {
        "count": count,
        "seconds": time.perf_counter() - start,
        "processor": time.process_time()
        - processor
        + children.ru_utime
        + children.ru_stime,
        "mb": usage.ru_maxrss / 1000,
    }
    print(json.dumps(figures))


def measure(name: str, folder: Path, seconds: float) -> dict | None:
    """Figures of a step in a new process; None if it takes longer."""
    command = [sys.executable, "-m", "benchmarks.scale"]
    command += ["--step", name, "--folder", str(folder)]
    try:
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            text=True,
            timeout=max(seconds, 1),
            check=True,
        )
    except subprocess.TimeoutExpired:
        return None
    return json.loads(done.stdout.splitlines()[-1])


def row(*cells: str) -> None:
    """Prints a row of a table."""
    print(f"| {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Makes the collections, measures, and prints a table."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--pictures", default="100,1000,10000,100000")
    flags.add_argument("--steps", default=",".join(STEPS))
    flags.add_argument("--minutes", type=float, default=10)
    flags.add_argument("--keep", help="Folder of the collections, kept.")
    flags.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    flags.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = flags.parse_args()
    if given.step:
        run_step(given.step, given.folder)
        return
    end = time.monotonic() + 60 * given.minutes
    steps = given.steps.split(",")
    row("tags", "step", "start", "s", "processor s", "MB")
    row("---:", "---", "---", "---:", "---:", "---:")
    with tempfile.TemporaryDirectory() as temporary:
        for count in map(int, given.pictures.split(",")):
            folder = Path(given.keep or temporary) / str(count)
            if not folder.exists():
                make_pictures(folder / IMAGES, count)
                make_annotations(folder / ANNOTATIONS, count)
                make_tags(folder / TABLE, count)
            for name in steps:
                for start in ("first", "later")[: 1 if name == "fill" else 2]:
                    if start == "first":
                        forget(folder)
                    found = measure(name, folder, end - time.monotonic())
                    figures = ("not finished", "", "")
                    if found:
                        figures = (
                            f"{found['seconds']:.1f}",
                            f"{found['processor']:.1f}",
                            f"{found['mb']:.0f}",
                        )
                    title = STEPS[name][0]
                    row(f"{count * TAGS:,}", title, start, *figures)


if __name__ == "__main__":
    main()
