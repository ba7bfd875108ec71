"""Scores a trained run: `keras-wsss evaluate --workdir DIR [DIR ...]`.

Writes DIR/evaluation/results.json, results.md and report.html. Rows of masks
are those of every quality that `predict` can give; --noaugment, --norefine
and --nocrf leave some out. Without masks to score by, it scores the tagger on
the tagged pictures that the run held out of training. Of several runs it
writes comparison.html, .md and .json too, into the first one's folder: one
table, with differences picture by picture. For arrays of jobs, --shard 3/8
counts a share; a last command without it adds all and writes the results.
"""

import sys
from pathlib import Path

from absl import flags

from keras_wsss.commands.cli import (
    define_checkpoint,
    define_compute_dtype,
    define_max_pixels,
    define_quality,
    define_shard,
    define_tiles,
    define_workdir,
    say,
    start_computing,
)
from keras_wsss.commands.config_flag import define_config
from keras_wsss.config_files import load_run_config
from keras_wsss.errors import ConfigError

WORKDIR = define_workdir()
CONFIG = define_config(
    "Config whose group `inference` replaces the run's; its fields alone can "
    "be overridden: --config.inference.tag_threshold=0.5."
)
OUT = flags.DEFINE_string(
    "out",
    None,
    "Where results go, of several runs their comparison; WORKDIR/evaluation "
    "if not given.",
)
EVAL_ROOT = flags.DEFINE_string(
    "eval_root",
    None,
    "Folder in VOC layout with pictures and masks, if not the one of the "
    "run's config.",
)
EVAL_SET = flags.DEFINE_string(
    "eval_set", None, "List in ImageSets/Segmentation, e.g. val."
)
DENSE_CRF = flags.DEFINE_bool(
    "dense_crf",
    False,
    "Also the published dense CRF (pip install '.[crf]'; slow).",
)
BASELINES = flags.DEFINE_bool(
    "baselines", True, "Also class activation maps and other baselines."
)
REPORT = flags.DEFINE_bool(
    "report",
    True,
    "Also write report.html, which holds small copies of the pictures.",
)
LIMIT = flags.DEFINE_integer(
    "limit", 0, "First pictures only; 0 is all.", lower_bound=0
)

NEGATIVES = flags.DEFINE_string(
    "negatives",
    None,
    "Folder of pictures that hold no scored category, to count the masks that "
    "they get all the same; config.data.eval_negatives if not given.",
)

MAX_PIXELS = define_max_pixels()
CHECKPOINT = define_checkpoint()
COMPUTE_DTYPE = define_compute_dtype()
QUALITY = define_quality()
TILES = define_tiles()
SHARD = define_shard()


def run(argv: list[str]) -> int:
    """Parsed flags in, tables out; user errors are raised."""
    runs = [WORKDIR.value, *argv[1:]]
    for run in runs[1:]:
        if not Path(run).is_dir():
            raise ConfigError(
                f"'{run}' is no flag and no run folder; see --help."
            )
    others = [n for n in CONFIG.overrides() if not n.startswith("inference.")]
    if others:
        raise ConfigError(
            f"--config.{others[0]} is a matter of training; here only "
            "--config.inference.* can be overridden."
        )
    from keras_wsss.inference.shards import Shard

    shard = Shard.parse(SHARD.value)
    if shard and len(runs) > 1:
        raise ConfigError(
            "--shard takes one run; compare them when their jobs are done."
        )
    configs = None
    if CONFIG.given:
        configs = [CONFIG.load(load_run_config(Path(run))) for run in runs]
    start_computing()
    from keras_wsss.evaluation.compare import evaluate_runs
    from keras_wsss.evaluation.run import evaluate_run

    options = dict(
        out=OUT.value,
        checkpoint=CHECKPOINT.value,
        compute_dtype=COMPUTE_DTYPE.value,
        eval_root=EVAL_ROOT.value,
        eval_set=EVAL_SET.value,
        negatives=NEGATIVES.value,
        **QUALITY.given(),
        **TILES.given(),
        dense_crf=DENSE_CRF.value,
        baselines=BASELINES.value,
        page=REPORT.value,
        limit=LIMIT.value or None,
        max_pixels=MAX_PIXELS.value,
        log=say,
        warn=lambda text: print(f"warning: {text}", file=sys.stderr),
    )
    if len(runs) > 1:
        evaluate_runs(runs, configs=configs, **options)
    else:
        config = configs and configs[0]
        evaluate_run(runs[0], config=config, shard=shard, **options)
    return 0
