"""Segments pictures: `keras-wsss predict --workdir DIR PICTURES --out DIR`.

PICTURES are JPEG and PNG files, and folders of them. Writes OUT/masks,
OUT/overlays and OUT/predictions.json, and what --format asks for. A repeated
command goes on where it stopped. See docs/predict.md.
"""

import sys
from collections.abc import Sequence
from typing import Any

from absl import flags

from keras_wsss.commands.cli import (
    define_batch,
    define_checkpoint,
    define_compute_dtype,
    define_formats,
    define_max_pixels,
    define_quality,
    define_shard,
    define_tiles,
    define_workdir,
    split,
    start_computing,
)
from keras_wsss.errors import ConfigError

WORKDIR = define_workdir()
OUT = flags.DEFINE_string(
    "out", None, "Folder that masks and overlays go to.", required=True
)
TAGS = flags.DEFINE_multi_string(
    "tags",
    None,
    "What is in every picture, e.g. cat,dog, or --tags several times; the "
    "tagger decides for each if not given.",
)
TAGS_FILE = flags.DEFINE_string(
    "tags_file",
    None,
    "What is in each picture, e.g. tags.csv with the header image,labels; the "
    "tagger decides for those that it does not name.",
)
TAGS_FORMAT = flags.DEFINE_string(
    "tags_format", "auto", "Format of --tags_file, as config.data.tags_format."
)
OVERLAY = flags.DEFINE_enum(
    "overlay",
    "colour",
    ["colour", "outline", "dark"],
    "How masks are laid over pictures: half transparent with an outline, the "
    "outline alone in the category's colour, or over the picture in dark grey.",
)
EXIT_SOME_FAILED = 1

MAX_PIXELS = define_max_pixels()
CHECKPOINT = define_checkpoint()
COMPUTE_DTYPE = define_compute_dtype()
QUALITY = define_quality()
TILES = define_tiles()
FORMATS = define_formats()
SHARD = define_shard()
BATCH = define_batch()


def run(argv: list[str]) -> int:
    """Parsed flags in, files out; user errors are raised."""
    if len(argv) < 2:
        raise ConfigError("Name pictures or folders to segment; see --help.")
    named = [tag for text in TAGS.value or () for tag in split(text)]
    tags: Any = named or None
    if tags and TAGS_FILE.value:
        raise ConfigError("Give --tags or --tags_file, not both.")
    formats = FORMATS.given()
    from keras_wsss.inference.shards import Shard

    shard = Shard.parse(SHARD.value)
    start_computing()
    from keras_wsss.inference.find_pictures import find_pictures
    from keras_wsss.inference.picture_tags import read_picture_tags
    from keras_wsss.inference.predict_files import predict_files
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
        compute_dtype=COMPUTE_DTYPE.value,
    )
    if TAGS_FILE.value:
        found = read_picture_tags(
            TAGS_FILE.value,
            pictures,
            argv[1:],
            predictor.split,
            TAGS_FORMAT.value,
        )
        tags = found.ids
        _say(found.untagged, "has no line, so the tagger decides")
        _say(found.unsure, "has no tag that is sure, so the tagger decides")
        _say(found.unused, "is no picture that was given")
    outcome = predict_files(
        predictor,
        pictures,
        OUT.value,
        tags=tags,
        quality=choose_quality(
            predictor.steps, **QUALITY.given(), **TILES.given()
        ),
        **formats,
        made_by=predictor.made_by,
        shard=shard,
        batch=BATCH.value,
        overlay=OVERLAY.value,
        log=lambda text: print(f"error: {text}", file=sys.stderr),
        watch=lambda items: progress(items, "segmenting"),
    )
    lists = f"{OUT.value}/{shard.folder}" if shard else OUT.value
    there = f" {outcome.there} were there." if outcome.there else ""
    print(
        f"Written: {outcome.written} masks, overlays and predictions.json in "
        f"{lists}; {len(outcome.failures)} pictures failed.{there}"
    )
    for path in outcome.files:
        print(f"Written: {path}")
    return EXIT_SOME_FAILED if outcome.failures else 0


def _say(names: Sequence[str], what: str) -> None:
    """Prints how many names of a tags file something holds for."""
    if names:
        more = f" (and {len(names) - 1} more)" if len(names) > 1 else ""
        print(f"{TAGS_FILE.value}: {names[0]} {what}{more}.")
