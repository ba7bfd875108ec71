"""Writes a trained run for LiteRT or ONNX: phones, browsers, small boards."""

import dataclasses
import platform
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from keras_wsss import __version__
from keras_wsss.data import preprocess
from keras_wsss.data.images import decode_image
from keras_wsss.errors import ConfigError
from keras_wsss.files import atomic_folder, write_text
from keras_wsss.inference.predictor import Predictor
from keras_wsss.serving.build import known_pictures, read_file
from keras_wsss.serving.check import sample_files
from keras_wsss.serving.edge_check import EdgeCheck, check_edge
from keras_wsss.serving.edge_files import (
    FLOAT32,
    INT8,
    Arrays,
    calibration_inputs,
    get_writer,
)
from keras_wsss.serving.edge_graph import (
    Graph,
    edge_graphs,
    takes_size,
)
from keras_wsss.serving.manifest import verify_manifest, write_manifest
from keras_wsss.systems.network import named_variables
from keras_wsss.systems.quality import Quality

CLASSES_FILE = "classes.txt"
CHECKED_PICTURES = 100
CALIBRATION_PICTURES = 100
_BEFORE = (
    "Decode the picture upright, RGB, uint8.",
    "Pad it with black at the bottom or right to a square.",
    "Resize the square to side x side pixels: bilinear, centres of pixels at "
    "halves, no smoothing; round to uint8. This is the input image.",
    "Where there is an input size, it is the picture's height and width.",
)
_AFTER = (
    "Run encode once. Its scores are the probability of ids 1, 2, ...",
    "Without tags of your own, take the scored_ids with a score of at least "
    "tag_threshold, or the best one if there is none; no id at all if the "
    "best score is below none_threshold.",
    "Run decode once for each id, with the other outputs of encode.",
    "Resize each probability to max(height, width) squared as above, without "
    "rounding, and cut it to height x width.",
    "A label fires where its probability is above mask_threshold.",
    "Where several fire, the largest probability wins, times the label's "
    "score if the tags are the tagger's and rank_by_tag is true; of equal "
    "ones the lower id. Where none fires, the mask is 0.",
)


def export_edge(
    predictor: Predictor,
    out: Path,
    kind: str,
    precision: str = FLOAT32,
    check_images: Sequence[Path] = (),
    calibration_images: Sequence[Path] = (),
    log: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Writes, checks and only then names an export.

    It gives what the predictor gives with `Quality()`: one view, without
    refinement.

    Args:
        predictor: a trained TransferNet.
        out: a new folder.
        kind: "litert" or "onnx".
        precision: "float32"; "float16" halves the file; "int8" has a quarter
            of it and computes in 8 bits.
        check_images: pictures to compare on; when empty, some of the run's
            target pictures, if they are there, and generated ones.
        calibration_images: for "int8", pictures that show what values occur;
            when empty, some of the run's target pictures.
        log: takes lines about what was done.

    Returns:
        The manifest.

    Raises:
        ConfigError: a folder that exists, a network that cannot be exported,
            missing packages, or nothing to calibrate on.
        DataError: the export does not answer as the predictor does.
    """
    check_new(out)
    write = get_writer(kind)
    graphs = edge_graphs(predictor.steps)
    pictures = _pictures(predictor, check_images, CHECKED_PICTURES)
    pictures += [_decoded(predictor, data) for data in sample_files()]
    calibration: list[tuple[Arrays, Sequence[int]]] = []
    if precision == INT8:
        calibration = _calibration(predictor, calibration_images)
    net = predictor.net
    parts = (*net.frozen_parts, *net.trained_parts)
    variables = [v.value for v in named_variables(net, parts).values()]
    with atomic_folder(out) as folder:
        files = write(
            graphs,
            variables,
            folder,
            precision,
            calibration_inputs(graphs, calibration),
        )
        names = ("background", *predictor.split.categories)
        write_text(folder / CLASSES_FILE, "".join(f"{n}\n" for n in names))
        about = _about(predictor, kind, precision, graphs, files)
        # The client that checks it reads this too.
        write_manifest(folder, about)
        result = check_edge(folder, predictor, precision, pictures)
        write_manifest(folder, {**about, "check": dataclasses.asdict(result)})
        log(_sentence(result))
    return verify_manifest(out)


def export_edge_run(
    workdir: str | Path,
    out: str | Path,
    kind: str,
    *,
    checkpoint: str = "last",
    precision: str = FLOAT32,
    check_images: Sequence[Path] = (),
    calibration_images: Sequence[Path] = (),
    log: Callable[[str], None] = print,
) -> dict[str, Any]:
    """`export_edge` of a run folder; arguments and errors as there.

    Args:
        workdir: run folder of a training.
        out: a new folder.
        kind: "litert" or "onnx".
        checkpoint: "last", or "best" on held-out source masks.
        precision: see `export_edge`.
        check_images: see `export_edge`.
        calibration_images: see `export_edge`.
        log: takes lines about what was done.
    """
    check_new(Path(out))
    get_writer(kind)
    predictor = Predictor.from_workdir(workdir, checkpoint=checkpoint)
    return export_edge(
        predictor,
        Path(out),
        kind,
        precision,
        check_images,
        calibration_images,
        log,
    )


def check_new(out: Path) -> None:
    """Raises `ConfigError` if something has that name."""
    if out.exists():
        raise ConfigError(f"--out {out} exists; give a new folder.")


def _sentence(result: EdgeCheck) -> str:
    return (
        f"Checked in a fresh process without keras_wsss: {result.pictures} "
        f"pictures, {result.agreement:.3%} of the masks' pixels agree (in one "
        f"picture {result.least_agreement:.2%}), scores differ by up to "
        f"{result.score_difference:.1g}"
        + (
            f"; other tags in {result.other_tags}."
            if result.other_tags
            else "."
        )
    )


def _pictures(
    predictor: Predictor, paths: Sequence[Path], count: int
) -> list[np.ndarray]:
    """Named pictures, or else some of the run's target pictures."""
    known = paths or known_pictures(predictor, count)
    return [_decoded(predictor, read_file(path), path) for path in known]


def _decoded(
    predictor: Predictor, data: bytes, path: Path = Path("check image")
) -> np.ndarray:
    return decode_image(data, str(path), predictor.config.data.max_pixels)


def _calibration(
    predictor: Predictor, paths: Sequence[Path]
) -> list[tuple[Arrays, Sequence[int]]]:
    """Inputs of "encode", and the best of the tagger's ids, of pictures."""
    pictures = _pictures(predictor, paths, CALIBRATION_PICTURES)
    if not pictures:
        raise ConfigError(
            "--precision=int8 is calibrated on pictures, and the run's target "
            "pictures are not there; give --calibration_images."
        )
    side = predictor.net.views.image_size
    found: list[tuple[Arrays, Sequence[int]]] = []
    for image in pictures:
        square = preprocess.square_image(tf.constant(image), side).numpy()
        inputs = {"image": square[None]}
        if takes_size(predictor.steps):
            inputs["size"] = np.array(image.shape[:2], np.int32)
        scores = predictor.predict(image, (), Quality()).tag_scores
        ids = np.array(predictor.split.scored_ids)
        found.append((inputs, [int(ids[scores[ids - 1].argmax()])]))
    return found


def _about(
    predictor: Predictor,
    kind: str,
    precision: str,
    graphs: Mapping[str, Graph],
    files: Mapping[str, str],
) -> dict[str, Any]:
    """What a client must know, and where the export comes from."""
    inference = predictor.config.inference
    rule = predictor.steps.rule
    described = {}
    for name, graph in graphs.items():
        outputs = graph.concrete().structured_outputs
        described[name] = {
            "file": files[name],
            "inputs": {spec.name: _described(spec) for spec in graph.inputs},
            "outputs": {key: _described(outputs[key]) for key in outputs},
        }
    return {
        "format": kind,
        "precision": precision,
        "graphs": described,
        "side": predictor.net.views.image_size,
        "categories": list(predictor.split.categories),
        "scored_ids": [int(i) for i in predictor.split.scored_ids],
        "tag_threshold": rule.tag_threshold,
        "none_threshold": rule.none_threshold,
        "mask_threshold": inference.mask_threshold,
        "rank_by_tag": inference.rank_by_tag,
        "before": _BEFORE,
        "after": _AFTER,
        "config": predictor.config.name,
        "split": predictor.split.name,
        "versions": {
            "keras_wsss": __version__,
            "tensorflow": tf.__version__,
            "python": platform.python_version(),
        },
    }


def _described(tensor: Any) -> dict[str, Any]:
    return {"shape": tensor.shape.as_list(), "dtype": tensor.dtype.name}
