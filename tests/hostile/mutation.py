"""Random byte mutation of data files through their readers.

    make fuzz    # 60 seconds; SECONDS=600 SEED=1 make fuzz

Whatever bytes a file holds, a reader gives data or raises a `UserError`.
Every other exception is a failure; the input that caused it is kept.
"""

import argparse
import json
import random
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from annotations import good_document, good_tags
from pictures import chunk, colours, encode, with_chunks
from readers import read_coco
from small_data import SPLIT, write_picture

from keras_wsss.config_files import load_config, load_run_config
from keras_wsss.data.formats.tags import read_tags
from keras_wsss.data.formats.voc import read_classes, read_image_set
from keras_wsss.data.images import read_image
from keras_wsss.data.masks import read_palette_mask, write_palette_mask
from keras_wsss.errors import UserError

# Texts that break parsers more often than random bytes do.
_TOKENS = (
    b"", b"0", b"-1", b"1e999", b"NaN", b"null", b"true", b"[]", b"{}", b'"',
    b"\\ud800", b"\\u0000", b"../", b"99999999999999999999", b",", b"\n",
    b"\xff\xd8", b"\xff\xd9", b"\xff\xda", b"IEND", b"IDAT", b"PLTE", b"acTL",
    b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b";", b"|", b"\xef",
)  # fmt: skip
_MAX_BYTES = 20_000
# How often each of `_targets` is read; configs take long.
_WEIGHTS = (10, 10, 20, 10, 10, 1, 1)

Reader = Callable[[Path], object]


def mutate(data: bytes, rng: random.Random) -> bytes:
    """`data` with one to eight random changes."""
    for _ in range(rng.randint(1, 8)):
        place = rng.randrange(len(data) + 1)
        end = min(len(data), place + rng.choice((1, 1, 2, 4, 16, 200)))
        change = rng.randrange(6)
        if change == 0 and place < len(data):  # one bit
            bit = data[place] ^ 1 << rng.randrange(8)
            data = data[:place] + bytes((bit,)) + data[place + 1 :]
        elif change == 1:  # a token in place of some bytes
            data = data[:place] + rng.choice(_TOKENS) + data[end:]
        elif change == 2:  # cut out
            data = data[:place] + data[end:]
        elif change == 3:  # repeat
            times = rng.choice((1, 3, 50))
            data = data[:end] + data[place:end] * times + data[end:]
        elif change == 4:  # random bytes
            data = data[:place] + rng.randbytes(end - place) + data[end:]
        elif rng.random() < 0.3:  # truncate
            data = data[:place]
    return data[:_MAX_BYTES]


def with_right_checksums(data: bytes) -> bytes:
    """A PNG whose checksums are mended, so that its content is looked at."""
    parts, place = [data[:8]], 8
    while place + 12 <= len(data):
        length = int.from_bytes(data[place : place + 4], "big")
        if place + 12 + length > len(data):
            break
        kind = data[place + 4 : place + 8]
        parts.append(chunk(kind, data[place + 8 : place + 8 + length]))
        place += 12 + length
    return b"".join(parts) + data[place:]


def _targets(folder: Path) -> Iterator[tuple[str, list[bytes], Reader]]:
    """(name, good files, reader) of every reader."""
    images = folder / "images"
    for name in ("1.png", "2.png", "a.png"):
        write_picture(images / name, 10, 8)
    good = json.dumps(good_document()).encode()

    def coco(path: Path) -> None:
        for record in read_coco(path, images, SPLIT).records:
            record.mask.read()

    yield "coco", [good, good.replace(b" ", b"")], coco
    texts = [text.encode() for text in good_tags()]
    yield "tags", texts, lambda path: read_tags(path, images, SPLIT)
    pictures = [
        encode(colours(), "JPEG"),
        encode(colours(), "JPEG", progressive=True),
        encode(colours(), "PNG"),
        with_chunks(chunk(b"tEXt", b"a\0b"), chunk(b"eXIf", b"II*\0")),
    ]
    yield "picture", pictures, read_image
    mask = np.arange(80, dtype=np.uint8).reshape(8, 10)
    write_palette_mask(folder / "mask.png", mask)
    data = (folder / "mask.png").read_bytes()
    yield "mask", [data, encode(mask, "PNG")], read_palette_mask

    def voc(path: Path) -> None:
        root = folder / "voc"
        lists = root / "ImageSets" / "Segmentation"
        lists.mkdir(parents=True, exist_ok=True)
        for place in (root / "classes.txt", lists / "val.txt"):
            place.write_bytes(path.read_bytes())
        list(read_image_set(lists / "val.txt"))
        read_classes(root)

    yield "voc", [b"cat\ndog\n", b"background\r\ncat\r\n"], voc

    def config_of(name: str) -> Callable[[Path], None]:
        def read(path: Path) -> None:
            place = folder / name
            place.write_bytes(path.read_bytes())
            load_config(place)
            if name == "config.json":
                load_run_config(folder)

        return read

    config = b'{"train": {"seed": 1}, "split": {"name": "shapes"}}'
    yield "config", [config], config_of("config.json")
    text = b"base: shapes\ntrain:\n  seed: 1\nsplit: {target: [cat, dog]}\n"
    yield "own config", [text], config_of("own.yaml")


def fuzz(seconds: float, seed: int, out: Path) -> tuple[dict[str, int], list]:
    """Mutates and reads until the time is over.

    Args:
        seconds: how long.
        seed: the same seed gives the same inputs in the same order.
        out: folder for inputs that failed; made when there are any.

    Returns:
        Inputs read by reader, and the failures (file, traceback).
    """
    rng = random.Random(seed)
    counts: dict[str, int] = {}
    failures: list[tuple[Path, str]] = []
    end = time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        targets = list(_targets(folder))
        while time.monotonic() < end:
            kind, seeds, read = rng.choices(targets, _WEIGHTS)[0]
            data = mutate(rng.choice(seeds), rng)
            if data.startswith(b"\x89PNG") and rng.random() < 0.7:
                data = with_right_checksums(data)
            path = folder / "input"
            path.write_bytes(data)
            counts[kind] = counts.get(kind, 0) + 1
            try:
                read(path)
            except UserError:
                continue
            except Exception:
                out.mkdir(parents=True, exist_ok=True)
                kept = out / f"{kind}_{seed}_{sum(counts.values())}"
                kept.write_bytes(data)
                failures.append((kept, traceback.format_exc()))
    return counts, failures


def main() -> int:
    """Prints what was read and returns 1 when anything failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("fuzz_failures"))
    flags = parser.parse_args()
    counts, failures = fuzz(flags.seconds, flags.seed, flags.out)
    for path, text in failures[:5]:
        print(f"{path}:\n{text}")
    total = sum(counts.values())
    shown = ", ".join(f"{key} {value}" for key, value in sorted(counts.items()))
    print(f"{total} inputs ({shown}), {len(failures)} failures.")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
