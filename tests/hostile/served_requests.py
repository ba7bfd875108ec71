"""Requests to an exported model, good and hostile, and what must come back.

The tests of the served signatures and `benchmarks/load.py` drive models
through the same lists.
"""

import dataclasses
import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from pictures import (
    PictureCase,
    colours,
    encode,
    header,
    many_scans,
    picture_cases,
)

from keras_wsss.data.images import decode_image, largest_side
from keras_wsss.inference.decode import decode_picture
from keras_wsss.inference.predictor import Prediction, Predictor
from keras_wsss.serving.check import expected_prediction, sample_files
from keras_wsss.serving.options import ServingOptions
from keras_wsss.serving.signatures import MOST_TAG_BYTES

# A server gets bytes, so what is no file cannot reach it.
NO_BYTES = {
    "sparse_50_gb", "symlink_loop", "symlink_dangling", "symlink_device",
    "folder", "pipe",
}  # fmt: skip
# The export shows the picture that every PNG decoder shows, not the frames,
# and has the time to pass over chunks.
READ_BY_EXPORT = {"png_animated", "png_animated_apart", "png_many_chunks"}
# Decoders have not agreed on what colour an ink is; the difference is small.
READ_BY_TENSORFLOW = {"jpeg_cmyk"}

# What the export says, by what the readers of data sets say. TensorFlow's
# decoders have words of their own for data that is cut or damaged.
_KIND = "neither JPEG nor PNG"
_LARGE = "longer than|more than"
_HEADER = "damaged header|not a JPEG|JPEG|PNG"
_SAID = {
    "neither JPEG nor PNG": _KIND,
    "is empty": _KIND,
    "is truncated|is empty|damaged": f"{_KIND}|{_HEADER}",
    "is more than the limit": _LARGE,
    "too long a strip": _LARGE,
    "scans": _LARGE,
    "gives the size": "height and width are",
    "the size": f"height and width are|{_HEADER}",
}


@dataclasses.dataclass(frozen=True)
class ServedRequest:
    """One request and what must come of it.

    Attributes:
        name: unique.
        signature: of the export.
        inputs: name -> array; bytes and texts as arrays of objects.
        problem: regular expression that the refusal must match; None when
            the request must be answered.
        images: uint8 [height, width, 3] that each picture must be read as.
        tags: for each picture its text of tags; "" asks the tagger.
    """

    name: str
    signature: str
    inputs: dict[str, np.ndarray]
    problem: str | None = None
    images: tuple[np.ndarray, ...] = ()
    tags: tuple[str, ...] = ()

    def expected(
        self, predictor: Predictor, options: ServingOptions
    ) -> list[Prediction]:
        """What the predictor says of each picture."""
        return [
            expected_prediction(predictor, options, image, text)
            for image, text in zip(self.images, self.tags, strict=True)
        ]


class Difference(NamedTuple):
    """How far an answer is from the predictor's.

    Attributes:
        pixels: number of pixels whose category differs.
        score: largest difference of a tagger's probability.
    """

    pixels: int
    score: float


def compare(
    request: ServedRequest,
    outputs: dict[str, np.ndarray],
    expected: Sequence[Prediction],
) -> Difference:
    """Compares an answer with what `ServedRequest.expected` gave.

    Raises:
        AssertionError: another size, other tags, or wrong padding.
    """
    pixels, score = 0, 0.0
    for index, wanted in enumerate(expected):
        height, width = outputs["size"][index]
        assert (height, width) == wanted.mask.shape, request.name
        if request.signature == "png":
            mask = decode_image(outputs["mask_bytes"][index], "mask")[..., 0]
        else:
            padded = outputs["mask"][index]
            mask = padded[:height, :width]
            outside = padded.size - mask.size
            assert np.count_nonzero(padded == 255) == outside, request.name
        ids = tuple(int(i) for i in outputs["tag_ids"][index] if i)
        assert ids == wanted.tags, request.name
        pixels += int(np.count_nonzero(mask != wanted.mask))
        difference = np.abs(outputs["scores"][index] - wanted.tag_scores)
        score = max(score, float(difference.max()))
    return Difference(pixels, score)


def sent_cases() -> list[PictureCase]:
    """The cases of the corpus that can be sent as bytes."""
    return [case for case in picture_cases() if case.name not in NO_BYTES]


def corpus_requests() -> list[ServedRequest]:
    """Every file of the corpus of pictures, each as a request of its own."""
    with tempfile.TemporaryDirectory() as folder:
        return [request_of(case, Path(folder)) for case in sent_cases()]


def request_of(case: PictureCase, folder: Path) -> ServedRequest:
    """A file of the corpus alone, without tags; `folder` is for its file."""
    path = folder / f"{case.name}_{case.file_name}"
    case.write(path)
    data = path.read_bytes()
    inputs = {"image_bytes": texts([data])}
    if case.problem and case.name not in READ_BY_EXPORT:
        said = _SAID.get(case.problem, _HEADER)
        if case.name == "png_two_headers":
            said = _HEADER
        return ServedRequest(case.name, "serving_default", inputs, said)
    if case.name in READ_BY_EXPORT:
        image = colours()
    elif case.name in READ_BY_TENSORFLOW:
        side = max(case.pixels.shape)
        image = decode_picture(tf.constant(data), side**2, side).numpy()
    else:
        image = decode_image(data, case.name)
    return ServedRequest(
        case.name, "serving_default", inputs, None, (image,), ("",)
    )


def good_requests(
    names: Sequence[str], largest: tuple[int, int] = (150, 200)
) -> list[ServedRequest]:
    """Batches of all signatures.

    Args:
        names: at least two categories that the model knows.
        largest: height and width of the largest picture.
    """
    files = sample_files()
    images = tuple(decode_image(data, "sample") for data in files)
    asked = (f"{names[0]}, {names[1]}", "", f" {names[1]} ")
    photo = _photo(*largest)
    photo_file = encode(photo, "PNG")
    pair = (photo, np.ascontiguousarray(photo[:, ::-1]))
    requests = [
        ServedRequest(
            "samples",
            "serving_default",
            {"image_bytes": texts(files)},
            None,
            images,
            ("", "", ""),
        ),
        ServedRequest(
            "photo",
            "serving_default",
            {"image_bytes": texts([photo_file])},
            None,
            (photo,),
            ("",),
        ),
        ServedRequest(
            "tensors",
            "tensors",
            {"images": np.stack(pair), "tags": texts(["", names[0]])},
            None,
            pair,
            ("", names[0]),
        ),
    ]
    for signature in ("with_tags", "png"):
        inputs = {"image_bytes": texts(files), "tags": texts(asked)}
        requests.append(
            ServedRequest(signature, signature, inputs, None, images, asked)
        )
    inputs = {"image_bytes": texts([photo_file]), "tags": texts([names[1]])}
    requests.append(
        ServedRequest("photo_png", "png", inputs, None, (photo,), (names[1],))
    )
    return requests


def hostile_requests(
    names: Sequence[str], options: ServingOptions
) -> list[ServedRequest]:
    """What is wrong with tags, tensors and batches, not with one file.

    Args:
        names: more categories that the model knows than
            `options.max_tags`.
        options: what the model was exported with.
    """
    return [
        *_hostile_tags(names, options),
        *_hostile_batches(options),
        *_hostile_tensors(options),
    ]


def _hostile_tags(
    names: Sequence[str], options: ServingOptions
) -> Iterator[ServedRequest]:
    picture = encode(colours(), "PNG")
    many = ",".join(names[: options.max_tags + 1])
    for signature in ("with_tags", "png", "tensors"):
        for name, tags, problem in (
            ("unknown", [f"{names[0]},unicorn"], "unknown tags.*unicorn"),
            ("other_case", [names[0].upper()], "unknown tags"),
            ("not_utf8", [b"\xff\xfe\x00"], "unknown tags.*\ufffd"),
            ("terminal", ["\x1b[2J\n"], r"unknown tags[^\x1b]*$"),
            ("many", [many], f"more than.*{options.max_tags}.*tags"),
            ("long", [names[0] + "," * MOST_TAG_BYTES], "are longer than"),
            ("megabytes", ["x," * 1_000_000], "are longer than"),
            ("too_few_texts", [], "one text a picture"),
            ("too_many_texts", ["", ""], "one text a picture"),
        ):
            inputs = {"image_bytes": texts([picture]), "tags": texts(tags)}
            if signature == "tensors":
                inputs = {"images": colours()[None], "tags": texts(tags)}
            yield ServedRequest(
                f"{signature}_tags_{name}", signature, inputs, problem
            )


def _hostile_batches(options: ServingOptions) -> Iterator[ServedRequest]:
    good = encode(colours(), "PNG")
    gif = encode(colours(), "GIF")
    claim = header(65_500, 65_500)
    side = largest_side(options.max_pixels)
    strips = [
        encode(np.zeros(s, np.uint8), "PNG") for s in ((side, 1), (1, side))
    ]
    scans = many_scans(16, 16, 101)
    few = f"may hold.*{options.max_batch}.*pictures"
    for name, files, problem in (
        ("no_picture", [], "there is no picture"),
        ("one_is_a_gif", [good, gif, good], _KIND),
        ("one_is_huge", [good, claim], _LARGE),
        ("many_scans", [good, scans], "more JPEG scans than"),
        ("too_many", [good] * (options.max_batch + 1), few),
        ("half_a_million", [good[:8]] * 500_000, few),
    ):
        empty = texts([""] * len(files))
        data = {"image_bytes": texts(files)}
        both = data | {"tags": empty}
        yield ServedRequest(name, "serving_default", data, problem)
        yield ServedRequest(f"{name}_png", "png", both, problem)
    # Each fits, but not their masks padded to one size.
    yield ServedRequest(
        "strips",
        "serving_default",
        {"image_bytes": texts(strips)},
        "use signature png",
    )


def _hostile_tensors(options: ServingOptions) -> Iterator[ServedRequest]:
    side = largest_side(options.max_pixels)
    root = int(options.max_pixels**0.5)
    for name, shape, problem in (
        ("no_picture", (0, 5, 5, 3), "there is no picture"),
        ("no_rows", (1, 0, 5, 3), "must lie between 1 and"),
        ("no_columns", (1, 5, 0, 3), "must lie between 1 and"),
        ("long", (1, side + 1, 1, 3), "must lie between 1 and"),
        ("wide", (1, 1, side + 1, 3), "must lie between 1 and"),
        ("large", (1, root + 1, root + 1, 3), "more than"),
        ("too_many", (options.max_batch + 1, 1, 1, 3), "may hold"),
        # No bytes at all, and yet a billion pictures.
        ("billion_without_rows", (10**9, 0, 1, 3), "may hold|one text"),
        ("no_32_bits", (2**33, 0, 1, 3), "32-bit"),
    ):
        tags = texts([""] * min(shape[0], options.max_batch + 1))
        inputs = {"images": np.zeros(shape, np.uint8), "tags": tags}
        yield ServedRequest(f"tensors_{name}", "tensors", inputs, problem)


def texts(values: Sequence[str | bytes]) -> np.ndarray:
    """A vector of bytes; empty ones keep their type."""
    array = np.empty(len(values), object)
    array[:] = [v.encode() if isinstance(v, str) else v for v in values]
    return array


def refused(message: str, problem: str) -> bool:
    """Whether an error says why."""
    return re.search(problem, message, re.DOTALL) is not None


def _photo(height: int, width: int) -> np.ndarray:
    """Smooth colours with some noise."""
    rng = np.random.default_rng(7)
    rows, columns = np.mgrid[0:height, 0:width]
    waves = np.stack(
        [np.sin(rows / 17), np.cos(columns / 23), np.sin((rows + columns) / 9)],
        -1,
    )
    noise = rng.normal(0, 6, (height, width, 1))
    return np.clip(127 + 90 * waves + noise, 0, 255).astype(np.uint8)
