"""Masks of tagged pictures: `keras-wsss pseudo-labels --workdir RUN --out DIR`.

Asks a trained run for the masks of its own tagged target pictures and writes
them as palette PNGs in VOC layout: to go on training on them
(`train --phase transfer --config.data.target_masks=DIR`), or to train any
other segmenter. See docs/pseudo_labels.md.
"""

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
    no_arguments,
    say,
    start_computing,
)

WORKDIR = define_workdir()
OUT = flags.DEFINE_string(
    "out", None, "Folder that the masks go to.", required=True
)
FEATURE_CACHE = flags.DEFINE_string(
    "feature_cache",
    None,
    'Folder of encoder outputs; that of the run\'s config if not given, "" '
    "for none.",
)
MAX_PIXELS = define_max_pixels()
CHECKPOINT = define_checkpoint()
COMPUTE_DTYPE = define_compute_dtype()
QUALITY = define_quality()
TILES = define_tiles()
FORMATS = define_formats()
SHARD = define_shard()
BATCH = define_batch()


def run(argv: list[str]) -> int:
    """Parsed flags in, masks out; user errors are raised."""
    no_arguments(argv)
    formats = FORMATS.given()
    from keras_wsss.inference.shards import Shard

    shard = Shard.parse(SHARD.value)
    start_computing()
    from keras_wsss.inference.pseudo_labels import pseudo_labels

    manifest = pseudo_labels(
        WORKDIR.value,
        OUT.value,
        checkpoint=CHECKPOINT.value,
        compute_dtype=COMPUTE_DTYPE.value,
        feature_cache=FEATURE_CACHE.value,
        max_pixels=MAX_PIXELS.value,
        **QUALITY.given(),
        **TILES.given(),
        **formats,
        shard=shard,
        batch=BATCH.value,
        log=say,
    )
    print(
        f"Written: {manifest['written']} of {manifest['pictures']} masks in "
        f"{OUT.value} ({manifest['ignored']:.0%} of the pixels left open); "
        "the others were there."
    )
    return 0
