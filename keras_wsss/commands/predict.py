"""Segments pictures: `keras-wsss predict --workdir DIR PICTURES --out DIR`.

PICTURES are JPEG and PNG files, and folders of them. Writes OUT/masks,
OUT/overlays and OUT/predictions.json. See docs/predict.md.
"""

import sys

from absl import flags

from keras_wsss.commands.cli import (
    define_checkpoint,
    define_max_pixels,
    define_quality,
    define_workdir,
    start_computing,
)
from keras_wsss.errors import ConfigError

WORKDIR = define_workdir()
OUT = flags.DEFINE_string(
    "out", None, "Folder that masks and overlays go to.", required=True
)
TAGS = flags.DEFINE_list(
    "tags",
    None,
    "What is in every picture, e.g. cat,dog; the tagger decides for each if "
    "not given.",
)
EXIT_SOME_FAILED = 1

MAX_PIXELS = define_max_pixels()
CHECKPOINT = define_checkpoint()
QUALITY = define_quality()


def run(argv: list[str]) -> int:
    """Parsed flags in, files out; user errors are raised."""
    if len(argv) < 2:
        raise ConfigError("Name pictures or folders to segment; see --help.")
    start_computing()
    from keras_wsss.inference.predict_files import (
        find_pictures,
        predict_files,
    )
    from keras_wsss.inference.predictor import Predictor
    from keras_wsss.progress import progress
    from keras_wsss.systems.quality import choose_quality

    pictures, passed = find_pictures(argv[1:], OUT.value)
    if passed:
        print(f"{passed} files in the folders are no JPEG or PNG by name.")
    predictor = Predictor.from_workdir(
        WORKDIR.value,
        max_pixels=MAX_PIXELS.value,
        checkpoint=CHECKPOINT.value,
    )
    outcome = predict_files(
        predictor,
        progress(pictures, "segmenting"),
        OUT.value,
        tags=TAGS.value or None,
        quality=choose_quality(predictor.steps, **QUALITY.given()),
        log=lambda text: print(f"error: {text}", file=sys.stderr),
    )
    print(
        f"Written: {outcome.written} masks, overlays and predictions.json in "
        f"{OUT.value}; {len(outcome.failures)} pictures failed."
    )
    return EXIT_SOME_FAILED if outcome.failures else 0
