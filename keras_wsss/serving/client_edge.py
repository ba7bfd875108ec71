"""Segments pictures with a model exported to LiteRT or ONNX.

    python -m keras_wsss.serving.client_edge --model phone --out masks cat.jpg
    python -m keras_wsss.serving.client_edge --model phone --tags cat,dog \
        --out masks cat.jpg
    python -m keras_wsss.serving.client_edge --model phone --tile 512 \
        --out masks drone.jpg

Needs NumPy, Pillow, and `ai-edge-litert` or `onnxruntime`: one file that can
be copied, and read by those who write it again in another language. What it
does before and after the two graphs is in the model's `manifest.json`, under
"before" and "after".
"""

import argparse
import itertools
import json
import os
import struct
import sys
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

Runner = Callable[..., dict[str, np.ndarray]]


class EdgeModel:
    """A model of a folder that `export --format=litert` or `onnx` wrote.

    Example:
        model = EdgeModel("phone")
        model.predict(image)["mask"]  # uint8 [H, W]

    Args:
        folder: the export.
        threads: of the processor; None leaves it to the runtime.

    Attributes:
        categories: names; the first is id 1.
    """

    def __init__(self, folder: str | Path, threads: int | None = None):
        folder = Path(folder)
        text = (folder / "manifest.json").read_text(encoding="utf-8")
        self._manifest = json.loads(text)
        self.categories: list[str] = self._manifest["categories"]
        load = {"litert": _load_litert, "onnx": _load_onnx}
        self._graphs = load[self._manifest["format"]](
            folder, self._manifest["graphs"], threads
        )

    def predict(
        self, image: np.ndarray, tags: Sequence[str] = ()
    ) -> dict[str, Any]:
        """Tags and mask of a picture.

        Args:
            image: uint8 [H, W, 3], RGB, upright.
            tags: names of what is in it; empty asks the tagger.

        Returns:
            "mask" uint8 [H, W], 0 for background, otherwise a category's id;
            "tag_ids", its ids, ascending; "scores" float32 [C], the tagger's
            probability of id 1, 2, ...

        Raises:
            ValueError: an unknown tag.
        """
        height, width = image.shape[:2]
        inputs = {"image": square(image, self._manifest["side"])[None]}
        if "size" in self._manifest["graphs"]["encode"]["inputs"]:
            inputs["size"] = np.array([height, width], np.int32)
        encoded = self._graphs["encode"](**inputs)
        scores = encoded.pop("scores")
        ids = self._ids(tags) if tags else self._choose(scores)
        confidence = np.ones_like(scores)
        if not tags and self._manifest["rank_by_tag"]:
            confidence = scores
        mask = np.zeros((height, width), np.uint8)
        best = np.zeros((height, width), np.float32)
        for number in ids:
            label = np.array([number], np.int32)
            decoded = self._graphs["decode"](label=label, **encoded)
            probability = restore(decoded["probability"], height, width)
            rank = probability * confidence[number - 1]
            fires = probability > self._manifest["mask_threshold"]
            wins = fires & (rank > best)  # of equal ones the lower id
            mask[wins], best[wins] = number, rank[wins]
        return {"mask": mask, "tag_ids": ids, "scores": scores}

    def _choose(self, scores: np.ndarray) -> list[int]:
        """Ids that the tagger names, perhaps none."""
        ids = self._manifest["scored_ids"]
        own = scores[np.array(ids) - 1]
        if own.max() < np.float32(self._manifest["none_threshold"]):
            return []
        sure = own >= np.float32(self._manifest["tag_threshold"])
        if not sure.any():
            sure[own.argmax()] = True
        return [
            number for number, named in zip(ids, sure, strict=True) if named
        ]

    def _ids(self, tags: Sequence[str]) -> list[int]:
        if unknown := [tag for tag in tags if tag not in self.categories]:
            raise ValueError(
                f"Unknown tag '{unknown[0]}'; this model knows "
                f"{', '.join(self.categories)}."
            )
        return sorted({self.categories.index(tag) + 1 for tag in tags})


def predict_tiles(
    ask: Callable[[np.ndarray, Sequence[str]], dict[str, Any]],
    image: np.ndarray,
    side: int,
    tags: Sequence[str] = (),
) -> dict[str, Any]:
    """Tags and mask of a large picture, in tiles that overlap by half.

    A pixel is what the tile says in whose middle it lies. A tile gets the
    tags that the tagger finds in it, of those given if any are: nobody said
    where they are. What no tile finds is looked for in a small copy of the
    whole, as it may be larger than a tile.

    Args:
        ask: `EdgeModel.predict`, or what answers as it does.
        image: uint8 [H, W, 3], RGB, upright.
        side: of a tile, in pixels.
        tags: names of what is in it; empty asks the tagger.

    Returns:
        As `ask`; "scores" are the highest of any tile and the whole.
    """
    reduced = ImageOps.contain(Image.fromarray(image), (side, side))
    whole = ask(np.asarray(reduced), tags)
    wanted = set(whole["tag_ids"])
    named: set[int] = set()
    scores = np.array(whole["scores"])
    mask = np.zeros(image.shape[:2], np.uint8)
    for top, rows, bottom in _tiles(image.shape[0], side):
        for left, columns, right in _tiles(image.shape[1], side):
            answer = ask(image[top:bottom, left:right], ())
            found = set(answer["tag_ids"])
            named |= found & wanted if tags else found
            middle = answer["mask"][
                rows.start - top : rows.stop - top,
                columns.start - left : columns.stop - left,
            ]
            mask[rows, columns] = np.where(
                np.isin(middle, list(named)), middle, 0
            )
            scores = np.maximum(scores, answer["scores"])
    large = np.asarray(
        Image.fromarray(whole["mask"]).resize(
            image.shape[1::-1], Image.Resampling.NEAREST
        )
    )
    unseen = (mask == 0) & np.isin(large, list(wanted - named))
    mask[unseen] = large[unseen]
    return {"mask": mask, "tag_ids": sorted(wanted | named), "scores": scores}


def _tiles(length: int, side: int) -> Iterator[tuple[int, slice, int]]:
    """Start, middle and end of tiles along a side of the picture.

    The middles are the whole side, each pixel once.
    """
    side = min(side, length)
    count = -(-2 * length // side) - 1  # which overlap by half at least
    starts = [
        round(i * (length - side) / max(1, count - 1)) for i in range(count)
    ]
    borders = [(a + b + side) // 2 for a, b in itertools.pairwise(starts)]
    edges = itertools.pairwise([0, *borders, length])
    for start, (first, last) in zip(starts, edges, strict=True):
        yield start, slice(first, last), start + side


def square(image: np.ndarray, side: int) -> np.ndarray:
    """Pads a picture with black, at the bottom or right, and resizes it.

    Args:
        image: uint8 [H, W, 3].
        side: of the result.

    Returns:
        uint8 [side, side, 3].
    """
    height, width = image.shape[:2]
    longest = max(height, width)
    padded = np.pad(
        image, [(0, longest - height), (0, longest - width), (0, 0)]
    )
    return np.round(_resize(padded, side, side, side)).astype(np.uint8)


def restore(probability: np.ndarray, height: int, width: int) -> np.ndarray:
    """A map of the square at the picture's size, float32 [height, width]."""
    return _resize(probability, max(height, width), height, width)


def _resize(
    values: np.ndarray, side: int, height: int, width: int
) -> np.ndarray:
    """The first rows and columns of a square, resized bilinearly to `side`.

    Centres of pixels lie at halves; nothing is smoothed before.
    """
    left, right, share = _between(values.shape[1], side, width)
    share = share.reshape(-1, *(1,) * (values.ndim - 2))
    values = values.astype(np.float32)
    values = values[:, left] + (values[:, right] - values[:, left]) * share
    upper, lower, share = _between(values.shape[0], side, height)
    share = share.reshape(-1, *(1,) * (values.ndim - 1))
    return values[upper] + (values[lower] - values[upper]) * share


def _between(count: int, side: int, kept: int) -> tuple[np.ndarray, ...]:
    """For each of the first places two cells, and the share of the second."""
    scale = np.float32(count) / np.float32(side)
    places = (np.arange(kept, dtype=np.float32) + np.float32(0.5)) * scale
    places -= np.float32(0.5)
    first = np.floor(places)
    return (
        np.maximum(first, 0).astype(np.int32),
        np.minimum(np.ceil(places), count - 1).astype(np.int32),
        places - first,
    )


def _load_litert(
    folder: Path, graphs: dict[str, Any], threads: int | None
) -> dict[str, Runner]:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:  # TensorFlow has it too
        import tensorflow as tf

        Interpreter = tf.lite.Interpreter
    path = folder / graphs["encode"]["file"]
    interpreter = Interpreter(model_path=str(path), num_threads=threads)
    return {name: interpreter.get_signature_runner(name) for name in graphs}


def _load_onnx(
    folder: Path, graphs: dict[str, Any], threads: int | None
) -> dict[str, Runner]:
    import onnxruntime

    def load(path: Path) -> Runner:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        names = [output.name for output in session.get_outputs()]
        return lambda **inputs: dict(
            zip(names, session.run(None, inputs), strict=True)
        )

    return {
        name: load(folder / graph["file"]) for name, graph in graphs.items()
    }


def read_picture(path: str | Path) -> np.ndarray:
    """Pixels of a JPEG or PNG file, upright, uint8 [H, W, 3].

    Grey is repeated, alpha is dropped, of 16 bits the upper 8 count, and only
    EXIF data turn a picture: as in training.
    """
    with Image.open(path, formats=["JPEG", "PNG"]) as image:
        image.load()
        turned = _orientation(image.info.get("exif", b""))
        if image.mode.startswith("I"):
            grey = np.asarray(image).astype(np.uint32) >> 8
            pixels = np.repeat(grey[..., None].astype(np.uint8), 3, axis=2)
        else:
            pixels = np.asarray(image.convert("RGB"))
    if turned >= 5:
        pixels = pixels.transpose(1, 0, 2)
    if turned in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels[::-1] if turned in (3, 4, 7, 8) else pixels


def _orientation(exif: bytes) -> int:
    """What EXIF data say of how a picture is stored, 1 (upright) to 8."""
    exif = exif.removeprefix(b"Exif\0\0")
    order = "<" if exif[:1] == b"I" else ">"
    try:
        (start,) = struct.unpack_from(f"{order}I", exif, 4)
        (count,) = struct.unpack_from(f"{order}H", exif, start)
        for entry in range(start + 2, start + 2 + 12 * count, 12):
            tag, value = struct.unpack_from(f"{order}H6xH", exif, entry)
            if tag == 0x0112:
                return value if 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1


def output_names(paths: Sequence[Path], out: Path) -> list[str]:
    """A name without ending for each picture's mask, none of them twice.

    The second of a name gets `_2`, also where they differ in case alone:
    some file systems do not tell A from a. A picture that lies in the folder
    of outputs itself is not replaced.
    """
    names: list[str] = []
    taken = {
        _key(path.stem)
        for path in paths
        if path.parent.resolve() == out.resolve()
    }
    for path in paths:
        name, number = path.stem, 1
        while (key := _key(name)) in taken:
            number += 1
            name = f"{path.stem}_{number}"
        taken.add(key)
        names.append(name)
    return names


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def save_names(out: Path, categories: Sequence[str]) -> None:
    """Writes the names of the ids beside a model's masks.

    Args:
        out: the folder; its categories.json has a name for each id.
        categories: of the model, id 1 first.

    Raises:
        ValueError: there the ids mean something else.
    """
    path = out / "categories.json"
    named = {str(i): name for i, name in enumerate(categories, start=1)}
    known = json.loads(path.read_bytes()) if path.exists() else {}
    if not isinstance(known, dict) or {**named, **known} != named:
        raise ValueError(
            f"{path} has other names for the ids of this model's masks; give "
            "another --out."
        )
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_text(json.dumps(named), "utf-8")
    os.replace(temporary, path)


def pixels(text: str) -> int:
    """A number of pixels, at least one; argparse names this function."""
    if int(text) < 1:
        raise ValueError
    return int(text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pictures", nargs="+", type=Path)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--tags", default="", help="e.g. cat,dog")
    parser.add_argument("--out", type=Path, default=Path("masks"))
    parser.add_argument(
        "--tile",
        type=pixels,
        help="side of the tiles that larger pictures are cut into",
    )
    parser.add_argument("--threads", type=int, default=None)
    options = parser.parse_args(arguments)
    tags = [tag.strip() for tag in options.tags.split(",") if tag.strip()]
    try:
        model = EdgeModel(options.model, options.threads)
        options.out.mkdir(parents=True, exist_ok=True)
        save_names(options.out, model.categories)
        names = output_names(options.pictures, options.out)
        for path, name in zip(options.pictures, names, strict=True):
            image = read_picture(path)
            if options.tile and max(image.shape[:2]) > options.tile:
                found = predict_tiles(model.predict, image, options.tile, tags)
            else:
                found = model.predict(image, tags)
            mask = Image.fromarray(found["mask"])
            mask.save(options.out / f"{name}.png")
            found_tags = [model.categories[i - 1] for i in found["tag_ids"]]
            print(f"{path}: {', '.join(found_tags)}")
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
