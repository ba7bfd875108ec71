"""Scores a trained run: `python evaluate.py --workdir DIR`.

Writes DIR/evaluation/results.json, results.md and report.html. Rows of masks
are those of every quality that predict.py can give; --noaugment, --norefine
and --nocrf leave some out. Without masks to score by, it scores the tagger on
the tagged pictures that the run held out of training.
"""

import sys
from pathlib import Path

from absl import flags

from keras_wsss.commands.cli import (
    define_checkpoint,
    define_max_pixels,
    define_quality,
    run_app,
    start_computing,
)
from keras_wsss.commands.config_flag import define_config

WORKDIR = flags.DEFINE_string(
    "workdir", None, "Run folder of train.py.", required=True
)
CONFIG = define_config(
    "Config whose group `inference` replaces the run's; its fields alone can "
    "be overridden: --config.inference.tag_threshold=0.5."
)
OUT = flags.DEFINE_string(
    "out", None, "Where results go; WORKDIR/evaluation if not given."
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
QUALITY = define_quality()


def run(argv: list[str]) -> int:
    """Parsed flags in, tables out; user errors are raised."""
    start_computing()
    from keras_wsss.config import to_json
    from keras_wsss.config_files import load_run_config
    from keras_wsss.errors import ConfigError
    from keras_wsss.evaluation.negatives import (
        known_negatives,
        score_negatives,
    )
    from keras_wsss.evaluation.report import run_report, write_report
    from keras_wsss.evaluation.report_pictures import Album
    from keras_wsss.evaluation.summary import summary
    from keras_wsss.files import write_json, write_text
    from keras_wsss.inference.predictor import Predictor
    from keras_wsss.inference.quality import choose_quality

    if len(argv) > 1:
        raise ConfigError(f"Unknown argument '{argv[1]}'; see --help.")
    workdir = Path(WORKDIR.value)
    others = [n for n in CONFIG.overrides() if not n.startswith("inference.")]
    if others:
        raise ConfigError(
            f"--config.{others[0]} is a matter of training; here only "
            "--config.inference.* can be overridden."
        )
    settings = CONFIG.load(load_run_config(workdir)) if CONFIG.given else None
    predictor = Predictor.from_workdir(
        workdir,
        settings,
        MAX_PIXELS.value,
        allow_untrained_decoder=True,  # baselines and tags mean something
        checkpoint=CHECKPOINT.value,
    )
    # At once, as it may be what somebody wanted to know.
    if predictor.warning:
        print(f"warning: {predictor.warning}", file=sys.stderr)
    folder = NEGATIVES.value or predictor.config.data.eval_negatives
    if folder and not NEGATIVES.value and not Path(folder).is_dir():
        _report(f"config.data.eval_negatives: there is no folder {folder}.")
        folder = None
    negatives = known_negatives(workdir, folder, _report)
    out = Path(OUT.value or workdir / "evaluation")
    out.mkdir(parents=True, exist_ok=True)  # fails before the work, not after
    album = Album(predictor.split) if REPORT.value else None
    root = EVAL_ROOT.value or predictor.config.data.eval_root
    if root:
        results = _by_masks(predictor, root, album)
    else:
        results = _by_tags(predictor, workdir, album)
    results["without"] += score_negatives(
        predictor,
        {k: v[: LIMIT.value or None] for k, v in negatives.items()},
        choose_quality(predictor.steps, **QUALITY.given()),
    )
    results["inference"] = to_json(predictor.config.inference)
    results["rule"] = predictor.steps.rule.to_dict()
    results["checkpoint"] = CHECKPOINT.value
    write_json(out / "results.json", results)
    write_text(out / "results.md", summary(results))
    print(summary(results))
    print(f"Written: {out}/results.json and results.md")
    if album is not None:
        report = run_report(workdir, predictor, results, album)
        write_report(out / "report.html", report)
        print(f"Written: {out}/report.html")
    return 0


def _report(line: str) -> None:
    print(line, flush=True)


def _by_masks(predictor, root: str, album) -> dict:
    from keras_wsss.data.voc import read_voc
    from keras_wsss.evaluation.evaluate import evaluate

    data = predictor.config.data
    dataset = read_voc(
        root,
        EVAL_SET.value or data.eval_set,
        predictor.split,
        masks=data.eval_masks,
        max_pixels=data.max_pixels,
    )
    results = evaluate(
        predictor,
        dataset.records[: LIMIT.value or None],
        **QUALITY.given(),
        dense_crf=DENSE_CRF.value,
        baselines=BASELINES.value,
        album=album,
        report=_report,
    )
    results["left_out"] = {k: len(v) for k, v in dataset.skipped.items()}
    return results


def _by_tags(predictor, workdir: Path, album) -> dict:
    from keras_wsss.errors import ConfigError
    from keras_wsss.evaluation.negatives import read_heldout
    from keras_wsss.evaluation.tagged import evaluate_tagged
    from keras_wsss.inference.quality import choose_quality

    tagged = read_heldout(workdir)["tagged"][: LIMIT.value or None]
    if not tagged:
        raise ConfigError(
            "There is nothing to evaluate on: the run held no tagged picture "
            "out (config.data.heldout_tags), and neither config.data.eval_root "
            "nor --eval_root names a folder with masks (VOC layout)."
        )
    print(
        f"No masks to score by (config.data.eval_root): {len(tagged)} tagged "
        "pictures that training held out score the tagger."
    )
    quality = choose_quality(predictor.steps, **QUALITY.given())
    return evaluate_tagged(predictor, tagged, quality, album)


if __name__ == "__main__":
    run_app(run)
