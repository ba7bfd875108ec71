"""Runs beside each other as one HTML page that needs nothing beside it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_wsss import pages
from keras_wsss.categories import Split
from keras_wsss.evaluation.report.charts import Chart, bar_chart
from keras_wsss.evaluation.report.page import PACKAGE, Table, environment
from keras_wsss.evaluation.report.pictures import Album, Shot
from keras_wsss.evaluation.table import format_value
from keras_wsss.files import write_text


def write_comparison(
    path: str | Path,
    split: Split,
    comparison: Mapping[str, Any],
    note: str,
    columns: Mapping[str, str],
    results: Mapping[str, Mapping[str, Any]],
    albums: Mapping[str, Album],
) -> None:
    """Writes the page, atomically; all that comes from data is escaped.

    Args:
        path: HTML file to write.
        split: categories that all runs score.
        comparison: what `keras_wsss.evaluation.compare.compare` returned.
        note: what the columns of the table are.
        columns: of the table, heading -> key of its rows.
        results: run -> what `evaluate` returned.
        albums: run -> its pictures.
    """
    style = pages.read_part(PACKAGE, "report.css")
    style += pages.colour_rules(split.scored_ids)
    script = pages.read_part(PACKAGE, "report.js")
    pictures = _pictures(comparison, albums)
    classes, chart = _classes(results)
    text = (
        environment()
        .get_template("comparison.html")
        .render(
            title=f"{len(comparison['rows'])} runs compared",
            facts={
                "pictures": str(comparison["pictures"]),
                "split": split.name,
            },
            warning="",
            style=style,
            script=script,
            policy=pages.policy(style, script),
            split=split,
            found=comparison,
            note=note,
            table_of_runs=_table(comparison, columns),
            figures=_figures(comparison),
            runs=list(results),
            chart=chart,
            classes=classes,
            pictures=pictures,
            sections={
                "runs": "Runs",
                **({"classes": "Classes"} if classes else {}),
                **({"pictures": "Pictures"} if pictures["shots"] else {}),
            },
        )
    )
    write_text(path, text)


def _figures(comparison: Mapping[str, Any]) -> dict[str, str]:
    """The difference first: it is what one compares for."""
    shown = {}
    for row in comparison["rows"][1:]:
        name = f"{row['run']} compared with {comparison['first']}, a picture"
        text = f"{row['difference']:+.3f}"
        if row["standard_error"] is not None:
            text += f" ± {row['standard_error']:.3f}"
        shown[name] = text
    for row in comparison["rows"]:
        for key, name in (
            ("mean_iou", "mean IoU, predicted tags"),
            ("mean_average_precision", "mean average precision of the tagger"),
        ):
            if row.get(key) is not None:
                shown[f"{row['run']}: {name}"] = format_value(row[key])
                break
    return shown


def _table(comparison: Mapping[str, Any], columns: Mapping[str, str]) -> Table:
    rows = [
        [
            format_value(row[key]) if row.get(key) is not None else ""
            for key in columns.values()
        ]
        for row in comparison["rows"]
    ]
    return Table("Runs; differences are to the first one", list(columns), rows)


def _classes(
    results: Mapping[str, Mapping[str, Any]],
) -> tuple[Table | None, Chart | None]:
    """IoU of every class by run, of what production gives."""
    bars: dict[str, dict[str, float | None]] = {}
    for run, found in results.items():
        first = found["per_picture"]["first"]
        for row in found["rows"]:
            if f"{row.get('tags')} {row.get('inference')}" != first:
                continue
            for name, scores in row["per_class"].items():
                bars.setdefault(name, {})[run] = scores["iou"]
    if not bars:
        return None, None
    message = "IoU of every class: " + "; ".join(
        f"{name} " + ", ".join(format_value(v, 2) for v in values.values())
        for name, values in bars.items()
    )
    cells = [
        [name, *(format_value(values.get(run)) for run in results)]
        for name, values in bars.items()
    ]
    table = Table("IoU of every class", ["class", *results], cells)
    return table, bar_chart("class-bars", message, bars)


def _pictures(
    comparison: Mapping[str, Any], albums: Mapping[str, Album]
) -> dict[str, Any]:
    """Pictures that all albums have kept, with the mask of each run."""
    shots = {
        run: {shot.name: shot for shot in album.shots}
        for run, album in albums.items()
    }
    names = [
        name
        for name in next(iter(shots.values()))
        if all(name in kept for kept in shots.values())
    ]
    rows = [{run: kept[name] for run, kept in shots.items()} for name in names]
    scores = [
        {run: _score(shot) for run, shot in each.items()} for each in rows
    ]
    # Falls where another run is worse than the first one.
    for each in scores:
        first, *others = each.values()
        each["difference"] = min(other - first for other in others)
    first = comparison["first"]
    return {
        "shots": [each[first] for each in rows],
        "runs": rows,
        "scores": [
            json.dumps({k: round(v, 4) for k, v in each.items()})
            for each in scores
        ],
        "of_runs": scores,
        "switches": [("inference", "Order by", ["difference", *albums])],
        "ids": _ids([each[first] for each in rows]),
        "left_out": comparison["pictures"] - len(rows),
    }


def _score(shot: Shot) -> float:
    return next(iter(shot.scores.values()))


def _ids(shots: Sequence[Shot]) -> list[int]:
    return sorted({number for shot in shots for number in shot.ids})
