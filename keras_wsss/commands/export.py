"""Exports a trained run: `keras-wsss export --workdir DIR --out MODEL/N`.

`--format=litert` or `onnx` writes it for phones and browsers.
`keras-wsss export --verify MODEL/N` checks the files of an export. See
docs/serving.md.
"""

from pathlib import Path

from absl import flags, logging

from keras_wsss.commands.cli import (
    define_checkpoint,
    define_compute_dtype,
    define_quality,
    no_arguments,
    say,
    start_computing,
)
from keras_wsss.errors import ConfigError
from keras_wsss.serving.options import ServingOptions

WORKDIR = flags.DEFINE_string("workdir", None, "Run folder of a training.")
OUT = flags.DEFINE_string(
    "out",
    None,
    "MODEL/N: the model's folder and a new version number; for LiteRT and "
    "ONNX any new folder.",
)
FORMAT = flags.DEFINE_enum(
    "format",
    "tf",
    ["tf", "litert", "onnx"],
    "SavedModel, which takes files of pictures, or graphs of fixed shapes for "
    "LiteRT or ONNX Runtime.",
)
PRECISION = flags.DEFINE_enum(
    "precision",
    "float32",
    ["float32", "float16", "int8"],
    "Of LiteRT's and ONNX's weights; with int8 of what they are multiplied "
    "with, too.",
)
CALIBRATION_IMAGES = flags.DEFINE_list(
    "calibration_images",
    [],
    "For int8, pictures or folders that show what values occur; some of the "
    "run's target pictures if not given.",
)
VERIFY = flags.DEFINE_string(
    "verify", None, "Only check the files of this export, MODEL/N."
)
MAX_PIXELS = flags.DEFINE_integer(
    "max_pixels",
    ServingOptions.max_pixels,
    "Largest width times height of a picture that the model accepts, whatever "
    "config.data.max_pixels of the run.",
    lower_bound=1,
)
MAX_TAGS = flags.DEFINE_integer(
    "max_tags",
    ServingOptions.max_tags,
    "Most tags of a picture; memory grows with it.",
    lower_bound=1,
)
MAX_BATCH = flags.DEFINE_integer(
    "max_batch",
    ServingOptions.max_batch,
    "Most pictures of a request; they are segmented one after the other.",
    lower_bound=1,
)
CHECK_IMAGES = flags.DEFINE_list(
    "check_images",
    [],
    "Pictures or folders to compare the export with the run on; some of the "
    "run's target pictures if not given.",
)

QUALITY = define_quality()
CHECKPOINT = define_checkpoint()
COMPUTE_DTYPE = define_compute_dtype()


def run(argv: list[str]) -> int:
    """Parsed flags in, a folder out; user errors are raised."""
    no_arguments(argv)
    if VERIFY.value is not None:
        return _verify(Path(VERIFY.value))
    if WORKDIR.value is None or OUT.value is None:
        raise ConfigError(
            "Give --workdir RUN and --out MODEL/N, or --verify MODEL/N."
        )
    _check_together()
    start_computing()
    # TensorFlow lists every input of every loop at the level INFO.
    logging.set_verbosity(logging.WARNING)
    out = Path(OUT.value)
    if FORMAT.value == "tf":
        manifest = _export_tf(out)
        hint = "Serve it with export/compose.yaml"
    else:
        manifest = _export_edge(out)
        hint = "Run it with keras_wsss.serving.client_edge"
    size = sum(entry["bytes"] for entry in manifest["files"].values())
    print(
        f"Written: {out} ({len(manifest['files'])} files, "
        f"{size / 1e6:.3g} MB). {hint}, see docs/serving.md."
    )
    return 0


# Flags that mean nothing to the other kind of export.
_OF_TF = ("max_pixels", "max_tags", "max_batch", "augment", "refine", "crf")
_OF_EDGE = ("precision", "calibration_images")


def _check_together() -> None:
    """Raises `ConfigError` for flags that would have no effect."""
    other = _OF_EDGE if FORMAT.value == "tf" else _OF_TF
    if given := [name for name in other if flags.FLAGS[name].present]:
        raise ConfigError(
            f"--{given[0]} means nothing with --format={FORMAT.value}; leave "
            "it out (docs/serving.md says what each format does)."
        )
    if CALIBRATION_IMAGES.value and PRECISION.value != "int8":
        raise ConfigError("--calibration_images needs --precision=int8.")


def _export_tf(out: Path) -> dict:
    from keras_wsss.serving.build import export_run

    return export_run(
        WORKDIR.value,
        out,
        checkpoint=CHECKPOINT.value,
        compute_dtype=COMPUTE_DTYPE.value,
        max_pixels=MAX_PIXELS.value,
        max_tags=MAX_TAGS.value,
        max_batch=MAX_BATCH.value,
        check_images=_pictures(CHECK_IMAGES.value),
        **QUALITY.given(),
        log=say,
    )


def _export_edge(out: Path) -> dict:
    from keras_wsss.serving.edge import export_edge_run

    return export_edge_run(
        WORKDIR.value,
        out,
        FORMAT.value,
        checkpoint=CHECKPOINT.value,
        precision=PRECISION.value,
        check_images=_pictures(CHECK_IMAGES.value),
        calibration_images=_pictures(CALIBRATION_IMAGES.value),
        log=say,
    )


def _pictures(given: list[str]) -> list[Path]:
    """The pictures named, and those below folders that are."""
    from keras_wsss.inference.find_pictures import find_pictures

    return [p.path for p in find_pictures(given, OUT.value)[0]] if given else []


def _verify(folder: Path) -> int:
    from keras_wsss.serving.manifest import verify_manifest

    manifest = verify_manifest(folder)
    print(f"{folder}: all {len(manifest['files'])} files are as exported.")
    return 0
