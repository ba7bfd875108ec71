"""Compares an exported model with the `Predictor` it was made from."""

import dataclasses
import io
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from keras_wsss.data.images import decode_image
from keras_wsss.errors import DataError
from keras_wsss.inference.predictor import Prediction, Predictor
from keras_wsss.serving.options import ServingOptions

# Float32 sums in another order may move a pixel that lies on a threshold.
MOST_DIFFERENT = 0.002  # share of a mask's pixels
SCORE_TOLERANCE = 1e-3
_SECONDS = 1800
_ORIENTATION = 0x0112  # EXIF tag


@dataclasses.dataclass(frozen=True)
class CheckResult:
    """How far the export is from the predictor.

    Attributes:
        masks: how many masks were compared.
        most_different: largest share of different pixels in a mask.
        score_difference: largest difference of a tagger's probability.
    """

    masks: int
    most_different: float
    score_difference: float


@dataclasses.dataclass(frozen=True)
class _Case:
    signature: str
    files: Sequence[bytes]
    tags: Sequence[str] | None = None  # one text a picture
    refused: str | None = None  # part of the expected error


def check_export(
    saved_model: Path,
    predictor: Predictor,
    options: ServingOptions,
    pictures: Sequence[bytes],
) -> CheckResult:
    """Runs an export in a fresh process and compares its answers.

    Args:
        saved_model: folder of the export.
        predictor: what it was made from.
        options: what it was made with.
        pictures: content of JPEG or PNG files to compare on, beside the
            generated ones.

    Raises:
        DataError: it cannot be loaded without `keras_wsss`, answers
            differently, or accepts what it must refuse.
    """
    cases = _cases(predictor, pictures)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write_requests(folder, cases)
        _answer_in_fresh_process(saved_model, folder)
        masks, different, scores = 0, 0.0, 0.0
        for number, case in enumerate(cases):
            if case.refused is not None:
                _check_refusal(folder / f"{number}.error", case.refused)
                continue
            with np.load(folder / f"{number}.npz") as answer:
                outputs = dict(answer)
            for index, data in enumerate(case.files):
                image = decode_image(data, "check image", options.max_pixels)
                text = case.tags[index] if case.tags else ""
                expected = expected_prediction(predictor, options, image, text)
                found = _compare(case, index, outputs, expected, predictor)
                masks += 1
                different = max(different, found[0])
                scores = max(scores, found[1])
    return CheckResult(masks, different, scores)


def _cases(predictor: Predictor, pictures: Sequence[bytes]) -> list[_Case]:
    samples = sample_files()
    split = predictor.split
    some = ", ".join(split.name_of(i) for i in split.scored_ids[:2])
    # Decoded by the fresh process, so it must be a PNG that is not turned.
    lossless = samples[2]
    gif, huge = forbidden_files()
    return [
        _Case("serving_default", samples),
        *(_Case("serving_default", [data]) for data in pictures),
        _Case("with_tags", samples, [some, "", split.scored[0]]),
        _Case("png", samples, ["", some, ""]),
        _Case("tensors", [lossless, lossless], ["", some]),
        _Case("serving_default", [gif], refused="neither JPEG nor PNG"),
        _Case("serving_default", [samples[0], huge], refused="longer than"),
        _Case("with_tags", samples[:1], ["no such tag"], "unknown tags"),
    ]


def _write_requests(folder: Path, cases: Sequence[_Case]) -> None:
    requests = []
    for number, case in enumerate(cases):
        names = [f"{number}_{index}" for index in range(len(case.files))]
        for name, data in zip(names, case.files, strict=True):
            (folder / name).write_bytes(data)
        requests.append(
            {
                "signature": case.signature,
                "files": names,
                "tags": None if case.tags is None else list(case.tags),
            }
        )
    (folder / "requests.json").write_text(json.dumps(requests))


def _answer_in_fresh_process(saved_model: Path, folder: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-I",
            str(Path(__file__).with_name("reload.py")),
            str(saved_model.resolve()),
            str(folder),
        ],
        cwd=folder,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    if done.returncode:
        raise DataError(
            f"{saved_model}: does not work in a fresh process: "
            f"{(done.stderr.strip().splitlines() or ['no message'])[-1]}"
        )


def _check_refusal(path: Path, expected: str) -> None:
    text = path.read_text() if path.exists() else "an answer"
    if expected not in text:
        raise DataError(
            f"The exported model must refuse a request with "
            f"'{expected}', but gave: {text[:200]}"
        )


def expected_prediction(
    predictor: Predictor,
    options: ServingOptions,
    image: np.ndarray,
    text: str,
) -> Prediction:
    """What an export with these options must answer for one picture.

    Args:
        predictor: what the export was made from.
        options: what it was made with.
        image: uint8 [H, W, 3], RGB.
        text: names of tags, separated by commas; "" asks the tagger.
    """
    tags = [tag.strip() for tag in text.split(",")] if text else None
    found = predictor.predict(image, tags, options.quality)
    if len(found.tags) > options.max_tags:
        best = np.argsort(-found.tag_scores[np.array(found.tags) - 1])
        tags = [found.tags[i] for i in best[: options.max_tags]]
        found = predictor.predict(image, tags, options.quality)
    return found


def _compare(
    case: _Case,
    index: int,
    outputs: dict[str, np.ndarray],
    expected: Prediction,
    predictor: Predictor,
) -> tuple[float, float]:
    """Share of different pixels, and largest difference of a score."""
    where = f"signature {case.signature}, picture {index}"
    height, width = outputs["size"][index]
    if case.signature == "png":
        data = outputs[f"mask_bytes/{index}"].tobytes()
        mask = decode_image(data, where)[..., 0]
    else:
        padded = outputs["mask"][index]
        mask = padded[:height, :width]
        if np.count_nonzero(padded != 255) != np.count_nonzero(mask != 255):
            raise DataError(f"{where}: padding of the mask is not 255.")
    if mask.shape != expected.mask.shape:
        raise DataError(
            f"{where}: the mask is {mask.shape}, not {expected.mask.shape}."
        )
    ids = tuple(int(i) for i in outputs["tag_ids"][index] if i)
    names = tuple(str(name) for name in outputs["tags"][index] if name)
    wanted = tuple(predictor.split.name_of(i) for i in expected.tags)
    if ids != expected.tags or names != wanted:
        raise DataError(f"{where}: found {names}, the predictor {wanted}.")
    difference = np.abs(outputs["scores"][index] - expected.tag_scores).max()
    different = float(np.mean(mask != expected.mask))
    if different > MOST_DIFFERENT or difference > SCORE_TOLERANCE:
        raise DataError(
            f"{where}: {different:.2%} of the mask and scores by "
            f"{difference:.2g} differ from the predictor's; allowed are "
            f"{MOST_DIFFERENT:.2%} and {SCORE_TOLERANCE:g}."
        )
    return different, float(difference)


def sample_files() -> list[bytes]:
    """Files of different sizes and kinds, the same ones at every call.

    Returns:
        A JPEG, a JPEG that EXIF turns by 90 degrees, and a PNG with alpha.
    """
    plain, turned, transparent = (
        _generated(seed, size)
        for seed, size in enumerate([(160, 120), (150, 100), (91, 130)])
    )
    exif = Image.Exif()
    exif[_ORIENTATION] = 6
    transparent.putalpha(128)
    return [
        _file(plain, "JPEG"),
        _file(turned, "JPEG", exif=exif),
        _file(transparent, "PNG"),
    ]


def forbidden_files() -> list[bytes]:
    """Files that must be refused without being decoded.

    Returns:
        A GIF, and the head of a PNG of 10 billion pixels.
    """
    gif = _file(_generated(0, (8, 8)), "GIF")
    side = (100_000).to_bytes(4, "big")
    png = bytearray(_file(_generated(0, (8, 8)), "PNG"))
    png[16:24] = side + side
    return [gif, bytes(png)]


def _generated(seed: int, size: tuple[int, int]) -> Image.Image:
    """Smooth colours; `size` is width and height."""
    rng = np.random.default_rng(seed)
    cells = rng.integers(0, 256, (4, 5, 3), np.uint8)
    return Image.fromarray(cells).resize(size, Image.Resampling.BICUBIC)


def _file(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()
