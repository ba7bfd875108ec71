"""Exports a trained run: `keras-wsss export --workdir DIR --out MODEL/N`.

`keras-wsss export --verify MODEL/N` checks the files of an export. See
docs/serving.md.
"""

from pathlib import Path

from absl import flags, logging

from keras_wsss.commands.cli import (
    define_checkpoint,
    define_quality,
    no_arguments,
    say,
    start_computing,
)
from keras_wsss.errors import ConfigError

WORKDIR = flags.DEFINE_string("workdir", None, "Run folder of a training.")
OUT = flags.DEFINE_string(
    "out", None, "MODEL/N: the model's folder and a new version number."
)
VERIFY = flags.DEFINE_string(
    "verify", None, "Only check the files of this export, MODEL/N."
)
MAX_PIXELS = flags.DEFINE_integer(
    "max_pixels",
    16_777_216,
    "Largest width times height of a picture that the model accepts.",
    lower_bound=1,
)
MAX_TAGS = flags.DEFINE_integer(
    "max_tags",
    8,
    "Most tags of a picture; memory grows with it.",
    lower_bound=1,
)
MAX_BATCH = flags.DEFINE_integer(
    "max_batch",
    64,
    "Most pictures of a request; they are segmented one after the other.",
    lower_bound=1,
)
CHECK_IMAGES = flags.DEFINE_list(
    "check_images",
    [],
    "Pictures to compare the export with the run on; some of the run's "
    "target pictures if not given.",
)

QUALITY = define_quality()
CHECKPOINT = define_checkpoint()


def run(argv: list[str]) -> int:
    """Parsed flags in, a folder out; user errors are raised."""
    no_arguments(argv)
    if VERIFY.value is not None:
        return _verify(Path(VERIFY.value))
    if WORKDIR.value is None or OUT.value is None:
        raise ConfigError(
            "Give --workdir RUN and --out MODEL/N, or --verify MODEL/N."
        )
    start_computing()
    from keras_wsss.serving.build import export_run

    # TensorFlow lists every input of every loop at the level INFO.
    logging.set_verbosity(logging.WARNING)
    out = Path(OUT.value)
    manifest = export_run(
        WORKDIR.value,
        out,
        checkpoint=CHECKPOINT.value,
        max_pixels=MAX_PIXELS.value,
        max_tags=MAX_TAGS.value,
        max_batch=MAX_BATCH.value,
        check_images=[Path(path) for path in CHECK_IMAGES.value],
        **QUALITY.given(),
        log=say,
    )
    _print_written(out, manifest)
    return 0


def _verify(folder: Path) -> int:
    from keras_wsss.serving.manifest import verify_manifest

    manifest = verify_manifest(folder)
    print(f"{folder}: all {len(manifest['files'])} files are as exported.")
    return 0


def _print_written(out: Path, manifest: dict) -> None:
    size = sum(entry["bytes"] for entry in manifest["files"].values())
    print(
        f"Written: {out} ({len(manifest['files'])} files, "
        f"{size / 1e6:.0f} MB). Serve it with export/compose.yaml, see "
        "docs/serving.md."
    )
