"""Masks of tagged pictures: `python pseudo_labels.py --workdir RUN --out DIR`.

Asks a trained run for the masks of its own tagged target pictures and writes
them as palette PNGs in VOC layout: to go on training on them
(`train.py --phase transfer --config.data.target_masks=DIR`), or to train any
other segmenter. See docs/pseudo_labels.md.
"""

from pathlib import Path

from absl import flags

from keras_wsss.commands.cli import (
    define_checkpoint,
    define_max_pixels,
    define_quality,
    run_app,
    start_computing,
)

WORKDIR = flags.DEFINE_string(
    "workdir", None, "Run folder of train.py.", required=True
)
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
QUALITY = define_quality()


def run(argv: list[str]) -> int:
    """Parsed flags in, masks out; user errors are raised."""
    start_computing()
    from keras_wsss.config import to_json
    from keras_wsss.data.pictures import PictureStore
    from keras_wsss.data.progress import progress
    from keras_wsss.errors import ConfigError
    from keras_wsss.inference.predictor import Predictor
    from keras_wsss.inference.pseudo_labels import (
        PseudoLabelSettings,
        write_pseudo_labels,
    )
    from keras_wsss.inference.quality import choose_quality
    from keras_wsss.run_folder import CHECKPOINT_FOLDERS, weights_digest
    from keras_wsss.training.inputs import build_cache, read_target_records

    if len(argv) > 1:
        raise ConfigError(f"Unknown argument '{argv[1]}'; see --help.")
    predictor = Predictor.from_workdir(
        WORKDIR.value,
        max_pixels=MAX_PIXELS.value,
        checkpoint=CHECKPOINT.value,
    )
    config = predictor.config
    records = read_target_records(config, predictor.split).records
    settings = PseudoLabelSettings(
        choose_quality(predictor.steps, **QUALITY.given()),
        config.inference.pseudo_margin,
    )
    folder = FEATURE_CACHE.value
    if folder is not None:
        config = config.replace({"cache.folder": folder})
    cache = None
    if config.cache.folder and not predictor.net.frozen_parts:
        raise ConfigError(
            "--feature_cache: this run has no frozen encoder, so nothing can "
            "be kept of it; give --feature_cache=''."
        )
    if config.cache.folder:
        cache = build_cache(
            config,
            records,
            predictor.net.encoder,
            predictor.net.used_switches,
            PictureStore(config.data.max_pixels, config.data.memory_mb),
            lambda line: print(line, flush=True),
        )
    manifest = write_pseudo_labels(
        predictor,
        records,
        Path(OUT.value),
        settings,
        {
            "weights": weights_digest(
                WORKDIR.value, CHECKPOINT_FOLDERS[CHECKPOINT.value]
            ),
            **settings.to_dict(),
            "inference": to_json(config)["inference"],
        },
        cache,
        lambda items: progress(items, "writing masks"),
    )
    print(
        f"Written: {manifest['written']} of {manifest['pictures']} masks in "
        f"{OUT.value} ({manifest['ignored']:.0%} of the pixels left open); "
        "the others were there."
    )
    return 0


if __name__ == "__main__":
    run_app(run)
