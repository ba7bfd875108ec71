"""How much the feature cache saves: training input with and without it.

    python -m benchmarks.feature_cache --encoder vgg16 --image_size 224

Makes pictures of its own and uses random weights: neither changes the time.
A cache is built in turns with the encoder alone. Beside other work, compare
the processor's time on one core (`taskset -c 0 python ...`).
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.early_help import early_help

_PARSER = argparse.ArgumentParser(description=__doc__)
_PARSER.add_argument("--encoder", default="vgg_small")
_PARSER.add_argument("--image_size", type=int, default=224)
_PARSER.add_argument("--compute_dtype", default="float32")
_PARSER.add_argument("--rounds", type=int, default=5, help="Of building.")
_PARSER.add_argument("--pictures", type=int, default=16)
_PARSER.add_argument("--batch", type=int, default=8)
_PARSER.add_argument("--cached_steps", type=int, default=40)
_PARSER.add_argument("--encoded_steps", type=int, default=3)

early_help(_PARSER.parse_args)

import cv2
import numpy as np
import tensorflow as tf

from keras_wsss.data.failures import iterate
from keras_wsss.data.pictures import PictureStore
from keras_wsss.data.pipeline import Stream, make_batches
from keras_wsss.data.records import Record
from keras_wsss.data.sampling import PairSampler
from keras_wsss.data.views import ViewSpec
from keras_wsss.encoders import get_encoder
from keras_wsss.encoders.graphs import encoding_function
from keras_wsss.precision import computing_in
from keras_wsss.training.cache_entry import (
    pack_switches,
    unpack_switches,
)
from keras_wsss.training.feature_cache import FeatureCache


def make_pictures(folder: Path, count: int) -> list[Record]:
    """Writes JPEG pictures of 500 x 375 pixels with some structure."""
    rng = np.random.default_rng(0)
    records = []
    for number in range(count):
        path = folder / f"{number}.jpg"
        blobs = rng.integers(0, 256, (12, 16, 3), np.uint8)
        image = cv2.resize(blobs, (500, 375), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(path), image)
        records.append(Record(str(number), path, "source", (1, 2)))
    return records


def seconds(function: Callable[[], object], repeats: int) -> float:
    """Best time of one call, after one that is not counted."""
    function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def building(
    cache: FeatureCache,
    records: list[Record],
    encode: Callable[[tf.Tensor], list[tf.Tensor]],
    rounds: int,
) -> None:
    """Prints what a build takes, and the encoder alone for as many views."""
    count = len(records) * cache.num_views
    size, batch = cache.views.image_size, cache.encoder_batch
    images = tf.random.normal([batch, size, size, 3], seed=0)

    def build() -> None:
        shutil.rmtree(cache.folder, ignore_errors=True)
        cache.build(records, log=lambda line: None)

    def bare() -> None:
        for _ in range(count // batch):
            [output.numpy() for output in encode(images)]

    times: dict[Callable[[], None], list[np.ndarray]] = {build: [], bare: []}
    for number in range(rounds + 1):
        for function, own in times.items():
            start = np.array([time.perf_counter(), time.process_time()])
            function()
            end = np.array([time.perf_counter(), time.process_time()])
            if number:  # the first pays for tracing
                own.append((end - start) / count)
    built, encoded = (np.array(own) for own in times.values())
    shares = np.median(encoded / built, axis=0)
    for number, clock in enumerate(("clock", "processor")):
        one, other = 1000 * np.median([built, encoded], axis=1)[:, number]
        print(
            f"build, by the {clock:9}   {one:8.1f} ms a view   encoder alone "
            f"{other:.1f}: {shares[number]:.2f}"
        )


def packing(shapes: tuple[tuple[int, ...], ...], repeats: int) -> None:
    """Prints the time that packing and unpacking of one picture takes."""
    rng = np.random.default_rng(0)
    maps = [rng.integers(0, 4, shape, np.uint8) for shape in shapes]
    packed = [pack_switches(switches) for switches in maps]
    size = sum(switches.nbytes for switches in maps) / 1e6
    pack = seconds(lambda: [pack_switches(s) for s in maps], repeats)
    unpack = seconds(
        lambda: [
            unpack_switches(p, s) for p, s in zip(packed, maps, strict=True)
        ],
        repeats,
    )
    print(f"switches of a picture     {size:8.2f} M")
    for name, took in (("pack", pack), ("unpack", unpack)):
        rate = size / took / 1000
        print(f"{name:26s}{took * 1000:8.2f} ms   {rate:.2f} G a second")


def input_seconds(
    stream: Stream,
    steps: int,
    encode: Callable[[tf.Tensor], object] | None = None,
) -> float:
    """Seconds per picture to read (and encode) `steps` batches."""
    dataset = make_batches(source=stream, num_steps=steps + 1)
    start = 0.0
    for number, batch in enumerate(iterate(dataset)):
        if encode is not None:
            encode(batch["source"]["image"])
        if number == 0:  # the first batch pays for starting up
            start = time.perf_counter()
    return (time.perf_counter() - start) / (steps * stream.size)


def main() -> None:
    """Measures and prints."""
    given = _PARSER.parse_args()

    entry = get_encoder(given.encoder)
    with computing_in(given.compute_dtype):
        encoder = entry.build(given.image_size)
    encode = encoding_function(encoder, given.image_size, (2, 3, 4))
    views = ViewSpec(given.image_size, stride=entry.stride, pixels=entry.pixels)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        records = make_pictures(folder, given.pictures)
        cache = FeatureCache(folder / "cache", encoder, views, levels=(2, 3, 4))
        building(cache, records, encode, given.rounds)
        switches = [s for s in cache.level_specs if s.dtype == "uint8"]
        if switches:
            packing(tuple(spec.shape for spec in switches), repeats=20)
        print(f"entry                     {cache.entry_size / 1e6:8.2f} MB")

        def stream(**changes) -> Stream:
            sampler = PairSampler(records, 1, seed=0)
            return Stream(sampler, given.batch, views, 2, **changes)

        store = PictureStore(memory_mb=500)
        figures = {
            "encode each time": input_seconds(
                stream(pictures=store), given.encoded_steps, encode
            ),
            "pictures, from disk": input_seconds(stream(), given.cached_steps),
            "pictures, from memory": input_seconds(
                stream(pictures=store), given.cached_steps
            ),
            "feature cache": input_seconds(
                stream(cache=cache), given.cached_steps
            ),
        }
    print("\ninput of training          ms a picture   times faster")
    slowest = figures["encode each time"]
    for name, took in figures.items():
        print(f"{name:26s}{took * 1000:13.2f}{slowest / took:15.1f}")


if __name__ == "__main__":
    main()
