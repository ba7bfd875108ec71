"""Milliseconds a picture that the batches of training take, and of what.

    python -m benchmarks.batches --encoder vgg16 --image_size 224

Makes pictures and masks of its own and uses random weights: neither changes
the time. The ways take turns; printed are medians. Beside other work, compare
the processor's time. Then the parts of reading one entry of the cache.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import argparse
import dataclasses
import statistics
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path

from benchmarks.early_help import early_help

_PARSER = argparse.ArgumentParser(description=__doc__)
_PARSER.add_argument("--encoder", default="vgg16")
_PARSER.add_argument("--image_size", type=int, default=224)
_PARSER.add_argument("--batch", type=int, default=8)
_PARSER.add_argument("--steps", type=int, default=60)
_PARSER.add_argument("--rounds", type=int, default=5)

early_help(_PARSER.parse_args)

import numpy as np

from benchmarks.feature_cache import make_pictures
from keras_wsss.data.failures import iterate
from keras_wsss.data.pictures import PictureStore
from keras_wsss.data.pipeline import Stream, make_batches
from keras_wsss.data.sampling import PairSampler
from keras_wsss.data.views import ViewSpec
from keras_wsss.encoders import get_encoder
from keras_wsss.evaluation.table import markdown_table
from keras_wsss.systems.transfernet.decoder import used_levels
from keras_wsss.training.feature_cache import FeatureCache

_COUNT = 16  # pictures
_FIRST = 4  # batches that pay for starting up


class _Mask:
    def read(self) -> np.ndarray:
        mask = np.zeros((375, 500), np.uint8)
        mask[100:200, 100:300] = 1
        return mask


def milliseconds(stream: Stream, steps: int) -> tuple[float, float]:
    """By the clock and of the processor, a picture of `steps` batches."""
    batches = iterate(make_batches(stream, num_steps=steps + _FIRST))
    for _ in range(_FIRST):
        next(batches)
    start = time.perf_counter(), time.process_time()
    for _ in batches:
        pass
    end = time.perf_counter(), time.process_time()
    clock, processor = (
        1000 * (last - first) / steps / stream.size
        for first, last in zip(start, end, strict=True)
    )
    return clock, processor


def median(function: Callable[[Path], object], paths: list[Path]) -> float:
    """Milliseconds of one call, the median of several for each path."""
    times = []
    for path in paths * 10:
        start = time.perf_counter()
        function(path)
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times)


def main() -> None:
    """Measures and prints."""
    given = _PARSER.parse_args()
    entry = get_encoder(given.encoder)
    size = given.image_size
    views = ViewSpec(size, size, stride=entry.stride, pixels=entry.pixels)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        records = [
            dataclasses.replace(record, mask=_Mask())
            for record in make_pictures(folder, _COUNT)
        ]
        cache = FeatureCache(
            folder / "cache",
            entry.build(size),
            views,
            levels=used_levels(entry.levels, 2),
        )
        cache.build(records)
        stream = Stream(PairSampler(records), given.batch, views, 80)
        kept = PictureStore(memory_mb=500)
        ways = {
            "cache": {"cache": cache},
            "cache, masks kept": {"cache": cache, "pictures": kept},
            "cache, masks squared each time": {"cache": cache},
            "pictures kept, masks kept": {"pictures": kept},
            "pictures from disk": {},
        }
        times: dict[str, list] = {way: [] for way in ways}
        for _ in range(given.rounds):
            for way, changes in ways.items():
                changed = dataclasses.replace(
                    stream, with_mask="masks" in way, **changes
                )
                times[way].append(milliseconds(changed, given.steps))
        rows = [
            {"way": way, "clock": clock, "processor": processor}
            for way, own in times.items()
            for clock, processor in [np.median(own, axis=0)]
        ]
        headings = {
            "ms a picture": "way",
            "by the clock": "clock",
            "of the processor": "processor",
        }
        print(markdown_table(rows, headings, digits=2))
        paths = sorted(cache.folder.glob("??/*"))
        data = paths[0].read_bytes()
        parts = {
            "open": lambda path: os.close(os.open(path, os.O_RDONLY)),
            "open and read": Path.read_bytes,
            "checksum": lambda path: zlib.crc32(data),
        }
        for part, function in parts.items():
            print(f"{part:14} {median(function, paths):.4f} ms")
        print(f"{cache.entry_size / 1e6:.2f} MB an entry")


if __name__ == "__main__":
    main()
