"""Scores a trained run: tables and a page from a run folder."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_wsss import __version__
from keras_wsss.categories import Split
from keras_wsss.config import data_of, to_json
from keras_wsss.data import formats
from keras_wsss.data.records import Record
from keras_wsss.errors import ConfigError, DataError
from keras_wsss.evaluation.evaluate import evaluate
from keras_wsss.evaluation.jobs import Jobs
from keras_wsss.evaluation.report.page import run_report, write_report
from keras_wsss.evaluation.report.pictures import Album
from keras_wsss.evaluation.table import summary
from keras_wsss.evaluation.tagged import (
    evaluate_tagged,
    known_negatives,
    read_heldout,
    score_negatives,
)
from keras_wsss.files import write_json, write_text
from keras_wsss.inference.predictor import Predictor
from keras_wsss.inference.shards import Shard
from keras_wsss.systems.quality import choose_quality
from keras_wsss.training.summaries import write_evaluation


def evaluate_run(
    workdir: str | Path,
    *,
    out: str | Path | None = None,
    config: Any = None,
    checkpoint: str = "last",
    compute_dtype: str | None = None,
    eval_root: str | Path | None = None,
    eval_set: str | None = None,
    negatives: str | Path | None = None,
    augment: bool | None = None,
    refine: bool | None = None,
    own_crf: bool | None = None,
    tile: int | None = None,
    tile_overlap: float | None = None,
    dense_crf: bool = False,
    baselines: bool = True,
    page: bool = True,
    limit: int | None = None,
    max_pixels: int | None = None,
    shard: Shard | None = None,
    kept: list[Album] | None = None,
    log: Callable[[str], None] = print,
    warn: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Scores the masks of a run, or its tags where there are no masks.

    Writes results.json, results.md and report.html, and its main figures
    among the run's events for TensorBoard, unless `out` lies elsewhere.

    Args:
        workdir: run folder of a training.
        out: where results go; `workdir`/evaluation if None.
        config: its group `inference` replaces the run's.
        checkpoint: "last", or "best" on held-out source masks.
        compute_dtype: see `Predictor.from_workdir`.
        eval_root: pictures and masks; those of the run's config if None.
        eval_set: list of the pictures; that of the run's config if None.
        negatives: folder of pictures without any scored category.
        augment: False leaves test-time augmentation out.
        refine: False leaves refined masks out.
        own_crf: False leaves out the network's own CRF.
        tile: side of the tiles of larger pictures, see `choose_quality`.
        tile_overlap: likewise.
        dense_crf: also the published dense CRF (slow; extra `crf`).
        baselines: also class activation maps and other baselines.
        page: also report.html, with small copies of the pictures.
        limit: first pictures only.
        max_pixels: largest width times height of a picture.
        shard: which share of the pictures is scored. What it counts waits in
            `out` for a call without, which adds all and writes the results.
        kept: gets the pictures of the page, for whoever goes on with them.
        log: takes lines about what is done.
        warn: takes a sentence where the masks of the run are noise.

    Returns:
        The content of results.json; of a share, how many "pictures" of it
        are scored.

    Raises:
        ConfigError: not a run, or nothing to evaluate on.
        DataError: a picture, mask or checkpoint that cannot be read.
    """
    workdir = Path(workdir)
    predictor = Predictor.from_workdir(
        workdir,
        config,
        max_pixels,
        allow_untrained_decoder=True,  # baselines and tags mean something
        checkpoint=checkpoint,
        compute_dtype=compute_dtype,
    )
    # At once, as it may be what somebody wanted to know.
    if predictor.warning:
        warn(predictor.warning)
    data = data_of(predictor.config)
    quality: dict[str, Any] = {
        "augment": augment,
        "refine": refine,
        "own_crf": own_crf,
        "tile": tile,
        "tile_overlap": tile_overlap,
    }
    folder: str | Path | None = negatives or data.eval_negatives
    if folder and not negatives and not Path(folder).is_dir():
        log(f"config.data.eval_negatives: there is no folder {folder}.")
        folder = None
    without = known_negatives(workdir, folder, log)
    out = Path(out or workdir / "evaluation")
    out.mkdir(parents=True, exist_ok=True)  # fails before the work, not after
    album = Album(predictor.split) if page else None
    if album is not None and kept is not None:
        kept.append(album)
    jobs = None
    places = {"eval_root": eval_root, "eval_set": eval_set}
    data = data.replace({k: str(v) for k, v in places.items() if v})
    if data.eval_root:
        dataset = formats.read(data, predictor.split, "evaluation")
        check_scored(dataset.records, predictor.split)
        absent = absent_categories(dataset.records[:limit], predictor.split)
        if absent:
            log(f"No picture shows {', '.join(absent)}: not in any mean.")
        about = {
            **quality,
            "made_by": predictor.made_by,
            "version": __version__,
            "dense_crf": dense_crf,
            "baselines": baselines,
            "page": page,
            "max_pixels": predictor.config.data.max_pixels,
            "data": [to_json(data), to_json(predictor.config.split)],
        }
        jobs = Jobs(out, shard, about, log)
        results = evaluate(
            predictor,
            dataset.records[:limit],
            **quality,
            dense_crf=dense_crf,
            baselines=baselines,
            album=album,
            jobs=jobs,
        )
        if shard:
            log(f"{shard.number}/{shard.of}: {results['pictures']} pictures.")
            return results
        results["left_out"] = {k: len(v) for k, v in dataset.skipped.items()}
        results["absent_categories"] = absent
    elif shard:
        raise ConfigError(
            "--shard is for pictures with masks (config.data.eval_root); the "
            "tagged pictures that a run held out are few: leave it out."
        )
    else:
        results = _by_tags(predictor, workdir, limit, quality, album, log)
    results["without"] += score_negatives(
        predictor,
        {name: pictures[:limit] for name, pictures in without.items()},
        choose_quality(predictor.steps, **quality),
    )
    results["inference"] = to_json(predictor.config.inference)
    results["rule"] = predictor.steps.rule.to_dict()
    results["checkpoint"] = checkpoint
    write_json(out / "results.json", results)
    write_text(out / "results.md", summary(results))
    if out.resolve().is_relative_to(workdir.resolve()):
        write_evaluation(workdir, checkpoint, headline(results))
    log(summary(results))
    log(f"Written: {out}/results.json and results.md")
    if album is not None:
        report = run_report(workdir, predictor, results, album)
        write_report(out / "report.html", report)
        log(f"Written: {out}/report.html")
    if jobs is not None:
        jobs.clear()  # last: what fails above can be tried again
    return results


def headline(results: Mapping[str, Any]) -> dict[str, float]:
    """The figures to compare runs by, of what production gives."""
    inference = results["per_picture"]["first"].split(" ", 1)[1]
    figures = {
        key: results["tagging"].get(key)
        for key in ("mean_average_precision", "exact")
    }
    for row in results["rows"]:
        for tags, prefix in (("predicted", ""), ("oracle", "oracle_")):
            if (row.get("tags"), row.get("inference")) == (tags, inference):
                figures[f"{prefix}mean_iou"] = row["mean_iou"]
    return {name: value for name, value in figures.items() if value is not None}


def absent_categories(records: Sequence[Record], split: Split) -> list[str]:
    """Scored categories of which no mask has a pixel, by name."""
    shown = {i for record in records for i in record.labels}
    return [split.name_of(i) for i in split.scored_ids if i not in shown]


def check_scored(records: Sequence[Record], split: Split) -> None:
    """Raises `DataError` where masks show no scored category at all."""
    absent = absent_categories(records, split)
    if records and len(absent) == len(split.scored_ids):
        raise DataError(
            f"None of the scored categories ({', '.join(absent)}) has a pixel "
            f"in the masks of the {len(records)} pictures to evaluate on, so "
            "there is nothing to score; check their values (0/255 masks?) "
            "with `python -m keras_wsss.data verify`."
        )


def _by_tags(
    predictor: Predictor,
    workdir: Path,
    limit: int | None,
    quality: Mapping[str, Any],
    album: Album | None,
    log: Callable[[str], None],
) -> dict[str, Any]:
    tagged = read_heldout(workdir)["tagged"][:limit]
    if not tagged:
        raise ConfigError(
            "There is nothing to evaluate on: the run held no tagged picture "
            "out (config.data.heldout_tags), and neither config.data.eval_root "
            "nor --eval_root names a folder with masks (VOC layout)."
        )
    log(
        f"No masks to score by (config.data.eval_root): {len(tagged)} tagged "
        "pictures that training held out score the tagger."
    )
    chosen = choose_quality(predictor.steps, **quality)
    return evaluate_tagged(predictor, tagged, chosen, album)
