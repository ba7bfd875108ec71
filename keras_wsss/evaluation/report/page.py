"""An evaluation as one HTML page that needs nothing beside it.

What the page says is computed here; how it looks stands in `templates`, which
escape all that comes from data.
"""

import contextlib
import dataclasses
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from keras_wsss import pages
from keras_wsss.categories import Split
from keras_wsss.config import to_json
from keras_wsss.errors import ConfigError
from keras_wsss.evaluation.report.charts import (
    bar_chart,
    class_of_colour,
    line_chart,
)
from keras_wsss.evaluation.report.confusion import confusion_parts
from keras_wsss.evaluation.report.history import History, read_histories
from keras_wsss.evaluation.report.pictures import TAGS_RIGHT, Album, Shot
from keras_wsss.evaluation.table import (
    NO_MASKS,
    NOT_RUN,
    WITHOUT_COLUMNS,
    default_note,
    format_value,
    inference_name,
    main_columns,
)
from keras_wsss.files import write_text
from keras_wsss.inference.predictor import Predictor
from keras_wsss.run_folder import read_phase, read_results
from keras_wsss.versions import library_versions

PACKAGE = "keras_wsss.evaluation.report"
# Charts of a training run: heading -> how their tags are recognised.
_CHARTS = {
    "Losses": lambda tag: tag.startswith("train/") and tag.endswith("_loss"),
    "Accuracies": lambda tag: tag.endswith("_accuracy"),
    "Held-out source pictures": lambda tag: tag.startswith("heldout_source/"),
    "Held-out tags": lambda tag: tag.startswith("heldout_tags/"),
    "Learning rate": lambda tag: tag == "train/learning_rate",
    "Pairs per second": lambda tag: tag == "speed/pairs_per_second",
}
_UNIT_RANGE = ("Accuracies", "Held-out source pictures", "Held-out tags")
_TEXTS = ("method", "tags", "inference")  # columns that are no numbers


@dataclasses.dataclass(frozen=True)
class Report:
    """What a report tells.

    Attributes:
        title: heading of the page, e.g. the run's name.
        facts: short facts below it, in order: name -> text.
        split: categories.
        results: what `evaluate` returned.
        album: its pictures.
        histories: scalars of the training runs, first one first.
        config: the run's config as JSON values.
        versions: name -> version of what computed.
    """

    title: str
    facts: Mapping[str, str]
    split: Split
    results: Mapping
    album: Album
    histories: Sequence[History]
    config: Mapping
    versions: Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of the page.

    Attributes:
        caption: what it shows.
        headings: of the columns.
        rows: their cells; the first one is the row's heading.
        text_columns: the first columns, which are no numbers.
        best: rows that are marked.
    """

    caption: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    text_columns: int = 1
    best: Collection[int] = ()


def run_report(
    run: Path, predictor: Predictor, results: Mapping, album: Album
) -> Report:
    """The report of a run's evaluation.

    Args:
        run: run folder of `train.py`.
        predictor: what was evaluated.
        results: what `evaluate` returned.
        album: what it collected.

    Raises:
        ConfigError: not a run folder.
    """
    config, split = predictor.config, predictor.split
    facts = {
        "phase": str(read_phase(run).get("phase")),
        "split": split.name,
        "encoder": config.model.encoder,
        "input": f"{config.image.size} pixels",
        "seed": str(config.train.seed),
    }
    trained = {}
    # A run that goes on, or was stopped, has no results yet.
    with contextlib.suppress(ConfigError):
        done = read_results(run)
        facts["trained for"] = f"{done['minutes']:.1f} min"
        trained = done.get("versions", {})
    versions = {f"evaluation: {k}": v for k, v in library_versions().items()}
    versions |= {f"training: {k}": v for k, v in trained.items()}
    return Report(
        title=f"Evaluation of {config.name}",
        facts=facts,
        split=split,
        results=results,
        album=album,
        histories=read_histories(run),
        config=to_json(config),
        versions=versions,
    )


def write_report(path: str | Path, report: Report) -> None:
    """Writes the page, atomically. It asks no network for anything."""
    write_text(path, html_of(report))


def html_of(report: Report) -> str:
    """The page as text; all that comes from data is escaped."""
    style = pages.read_part(PACKAGE, "report.css")
    style += pages.colour_rules(report.split.scored_ids)
    script = pages.read_part(PACKAGE, "report.js")
    shots = report.album.shots
    parts = {
        "results": _results(report.results),
        "classes": _classes(report.results),
        "confusion": confusion_parts(report.results.get("confusion")),
        "tagger": _tagger(report.results["tagging"]),
        "training": [_training(*h) for h in enumerate(report.histories)],
        "pictures": _pictures(shots) if shots else {},
        "settings": {
            "table": Table(
                "Versions of what computed",
                ["part", "version"],
                [[name, text] for name, text in report.versions.items()],
                text_columns=2,
            ),
            "config": json.dumps(report.config, indent=2, sort_keys=True),
        },
    }
    return (
        environment()
        .get_template("page.html")
        .render(
            report=report,
            title=report.title,
            facts=report.facts,
            warning=report.results.get("warning"),
            style=style,
            script=script,
            policy=pages.policy(style, script),
            sections={k: k.capitalize() for k, part in parts.items() if part},
            figures=_figures(report.results),
            **parts,
        )
    )


def environment() -> jinja2.Environment:
    """Where the templates are found, and what they know."""
    templates = pages.environment(PACKAGE)
    templates.globals["class_of_colour"] = class_of_colour
    return templates


def _figures(results: Mapping) -> dict[str, str]:
    """The few numbers to see first."""
    shown: dict[str, str] = {}
    for tags in ("predicted", "oracle"):
        first = _first_row(results["rows"], tags)
        if first is not None:
            name = f"mean IoU, {tags} tags, {first['inference']}"
            shown[name] = format_value(first["mean_iou"])
    for row in results["rows"]:
        if row["method"] == "class activation maps":
            shown["mean IoU of class activation maps"] = format_value(
                row["mean_iou"]
            )
    tagging = results["tagging"]
    for key, name in (
        ("mean_average_precision", "mean average precision of the tagger"),
        ("exact", "pictures whose tags are exactly right, share"),
    ):
        if key in tagging:
            shown[name] = format_value(tagging[key])
    for row in results.get("without", ()):
        # Of a folder its name: the whole path stands in the table.
        of = Path(row["of"]).name
        name = f"of {row['pictures']} without a category get a mask: {of}"
        shown[name] = str(row["with_mask"])
    shown["pictures"] = str(results["pictures"])
    return shown


def _results(results: Mapping) -> dict[str, Any]:
    """The main table, and that of pictures which hold no category."""
    rows, without = results["rows"], results.get("without", ())
    columns = main_columns(rows)
    best = [_best_row(rows, tags) for tags in ("oracle", "predicted")]
    keys = list(WITHOUT_COLUMNS.values())
    return {
        "table": rows
        and Table(
            "All ways of predicting, the best of each kind of tags in bold",
            list(columns),
            [[_cell(row, key) for key in columns.values()] for row in rows],
            sum(key in _TEXTS for key in columns.values()),
            [index for index, row in enumerate(rows) if row in best],
        ),
        "note": default_note(results) if rows else NO_MASKS,
        "left_out": sum(results.get("left_out", {}).values()),
        "without": without
        and Table(
            "Masks where nothing is",
            list(WITHOUT_COLUMNS),
            [[format_value(row[key]) for key in keys] for row in without],
        ),
    }


def _classes(results: Mapping) -> dict[str, Any]:
    """IoU of every class, as bars and as a table."""
    rows = {
        _row_name(row): row["per_class"]
        for row in results["rows"]
        if "tags" in row and "per_class" in row
    }
    if not rows:
        return {}
    names = list(dict.fromkeys(n for row in rows.values() for n in row))
    first = [
        _first_row(results["rows"], tags) for tags in ("predicted", "oracle")
    ]
    shown = [_row_name(row) for row in first if row is not None]
    baselines = [row for row in results["rows"] if "threshold" in row]
    shown += [_row_name(row) for row in baselines[:1] if "per_class" in row]
    bars = {
        name: {key: rows[key].get(name, {}).get("iou") for key in shown}
        for name in names
    }
    message = "IoU of every class: " + "; ".join(
        f"{name} " + ", ".join(format_value(v, 2) for v in values.values())
        for name, values in bars.items()
    )
    cells = [
        [name, *(format_value(rows[r].get(name, {}).get("iou")) for r in rows)]
        for name in names
    ]
    return {
        "shown": shown,
        "chart": bar_chart("class-bars", message, bars),
        "table": Table(
            "IoU of every class and way of predicting",
            ["class", *rows],
            cells,
        ),
    }


def _tagger(tagging: Mapping) -> dict[str, Any]:
    """Precision and recall of the tagger, category by category."""
    charts = []
    for index, (name, points) in enumerate(tagging.get("curves", {}).items()):
        scores = tagging["per_category"][name]
        average = format_value(scores["average_precision"], 2)
        note = f"average precision {average}"
        if len(points) == 1:
            note += "; one point: all pictures have the same score"
        chart = line_chart(
            f"tagger-{index}",
            f"Precision over recall of {name}; {note}",
            {name: [(0.0, points[0][1]), *points]},
            x_range=(0, 1),
            y_range=(0, 1),
            steps=True,
        )
        charts.append((name, note, chart))
    if bins := tagging.get("bins"):
        error = format_value(tagging["expected_calibration_error"])
        chart = line_chart(
            "tagger-calibration",
            "Share of right tags over the tagger's probability; mean distance "
            f"from the diagonal {error}",
            {
                "tagger": [(p, share) for p, share, _ in bins],
                "as it should be": [(0.0, 0.0), (1.0, 1.0)],
            },
            x_range=(0, 1),
            y_range=(0, 1),
        )
        note = f"share of right tags over probability; error {error}"
        charts.append(("Calibration", note, chart))
    columns = {
        "precision": "precision",
        "recall": "recall",
        "F1": "f1",
        "average precision": "average_precision",
        "has it": "positives",
        "predicted": "predicted",
    }
    table = Table(
        f"Tags with a probability of at least {tagging['threshold']:.2f}",
        ["category", *columns],
        [
            [name, *(format_value(scores[key]) for key in columns.values())]
            for name, scores in tagging["per_category"].items()
        ],
    )
    return {"views": tagging["views"], "table": table, "charts": charts}


def _training(number: int, history: History) -> tuple[str, list[tuple]]:
    """A run's phase, and its charts: heading, names of lines, note, chart."""
    charts = []
    for index, (heading, fits) in enumerate(_CHARTS.items()):
        lines = {
            tag.split("/", 1)[1].replace("_", " "): points
            for tag, points in sorted(history.scalars.items())
            if fits(tag)
        }
        if not lines:
            continue
        ends = ", ".join(
            f"{name} {points[-1][1]:.3g}" for name, points in lines.items()
        )
        chart = line_chart(
            f"training-{number}-{index}",
            f"{heading} over training steps; at the end: {ends}",
            lines,
            y_range=(0, 1) if heading in _UNIT_RANGE else None,
        )
        single = ", ".join(
            f"{name} {points[0][1]:.3g} at step {points[0][0]:g}"
            for name, points in lines.items()
            if len(points) == 1
        )
        note = f"One value only, a point: {single}." if single else ""
        charts.append((heading, list(lines), note, chart))
    return history.phase, charts


def _pictures(shots: Sequence[Shot]) -> dict[str, Any]:
    """All kept pictures, worst first, with what their switches offer."""
    first = next(iter(shots[0].masks))
    keys = [key.split(" ", 1) for key in shots[0].masks]
    return {
        "first": first,
        "shots": shots,
        "scores": [
            json.dumps({k: round(v, 4) for k, v in shot.scores.items()})
            for shot in shots
        ],
        "by_tags": shots[0].measure == TAGS_RIGHT,
        "switches": [
            ("tags", "Tags", dict.fromkeys(key[0] for key in keys)),
            ("inference", "Prediction", dict.fromkeys(key[-1] for key in keys)),
        ],
        "ids": sorted({number for shot in shots for number in shot.ids}),
    }


def _ours(rows: Sequence[Mapping], tags: str) -> list[Mapping]:
    """Rows of the trained system; baselines have no inference of their own."""
    return [
        row
        for row in rows
        if row.get("tags") == tags
        and "inference" in row
        and "threshold" not in row
    ]


def _best_row(rows: Sequence[Mapping], tags: str) -> Mapping | None:
    found = _ours(rows, tags)
    return max(found, key=lambda row: row["mean_iou"] or 0.0, default=None)


def _first_row(rows: Sequence[Mapping], tags: str) -> Mapping | None:
    """What is given without any flag, to be seen first.

    The best row is chosen on these very pictures: it is shown first only
    where the default was left out.
    """
    found = [row for row in _ours(rows, tags) if row.get("default")]
    return found[0] if found else _best_row(rows, tags)


def _cell(row: Mapping, key: str) -> str:
    if key not in row:
        return "" if key in ("tags", "inference") else NOT_RUN
    if key == "inference":
        return inference_name(row)
    return format_value(row[key], 0 if key == "milliseconds" else 3)


def _row_name(row: Mapping) -> str:
    """A short name that is unique among rows with tags."""
    if "threshold" in row or "inference" not in row:
        return row["method"]
    return f"{row['tags']} tags, {row['inference']}"
