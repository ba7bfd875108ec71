"""The sections of the report that are tables and charts."""

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from keras_wsss.evaluation.report_charts import bar_chart, legend, line_chart
from keras_wsss.evaluation.report_history import History
from keras_wsss.evaluation.table import (
    NO_MASKS,
    NOT_RUN,
    WITHOUT_COLUMNS,
    default_note,
    format_value,
    inference_name,
    main_columns,
)

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


def figures(results: Mapping) -> str:
    """The few numbers to see first."""
    shown: dict[str, str] = {}
    for tags in ("oracle", "predicted"):
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
        name = (
            f"of {row['pictures']} without a category get a mask: {row['of']}"
        )
        shown[name] = str(row["with_mask"])
    shown["pictures"] = str(results["pictures"])
    items = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{value}</dd></div>"
        for name, value in shown.items()
    )
    return f'<dl class="figures">{items}</dl>'


def results_section(results: Mapping) -> str:
    """The main table: one row per way of predicting."""
    rows = results["rows"]
    if not rows:
        return f"<p>{escape(NO_MASKS)}</p>{_without_table(results)}"
    columns = main_columns(rows)
    best = [_best_row(rows, tags) for tags in ("oracle", "predicted")]
    cells = [[_cell(row, key) for key in columns.values()] for row in rows]
    numeric = [
        i
        for i, key in enumerate(columns.values())
        if key not in ("method", "tags", "inference")
    ]
    left_out = sum(results.get("left_out", {}).values())
    note = f" {left_out} pictures were left out." if left_out else ""
    return (
        "<p>Oracle tags are those of the truth; predicted tags are the "
        "tagger's. Baselines get oracle tags and the threshold that is best "
        f"on these very pictures.{note}</p>"
        f"<p>{escape(default_note(results))}</p>"
        + _table(
            "All ways of predicting, the best of each kind of tags in bold",
            list(columns),
            cells,
            numeric,
            [index for index, row in enumerate(rows) if row in best],
        )
        + _without_table(results)
    )


def _without_table(results: Mapping) -> str:
    """How many pictures get a mask though they hold no scored category."""
    rows = results.get("without", ())
    if not rows:
        return ""
    keys = list(WITHOUT_COLUMNS.values())
    return _table(
        "Masks where nothing is",
        list(WITHOUT_COLUMNS),
        [[format_value(row[key]) for key in keys] for row in rows],
        range(1, len(keys)),
    )


def class_section(results: Mapping) -> str:
    """IoU of every class, as bars and as a table."""
    rows = {
        _row_name(row): row["per_class"]
        for row in results["rows"]
        if row.get("tags") == "oracle" and "per_class" in row
    }
    if not rows:
        return ""
    names = list(dict.fromkeys(n for row in rows.values() for n in row))
    ours = [_row_name(r) for r in _ours(results["rows"], "oracle")]
    shown = list(dict.fromkeys([*ours[:1], *ours[-1:]]))
    shown += [name for name in rows if name not in ours][:1]
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
    return (
        "<p>Intersection over union with oracle tags.</p>"
        f'<figure class="wide">{legend(shown)}'
        f"{bar_chart('class-bars', message, bars)}</figure>"
        "<details><summary>All numbers</summary>"
        + _table(
            "IoU of every class and way of predicting, oracle tags",
            ["class", *rows],
            cells,
            range(1, len(rows) + 1),
        )
        + "</details>"
    )


def tagger_section(tagging: Mapping) -> str:
    """Precision and recall of the tagger, category by category."""
    charts = []
    for index, (name, points) in enumerate(tagging.get("curves", {}).items()):
        scores = tagging["per_category"][name]
        average = format_value(scores["average_precision"], 2)
        message = (
            f"Precision over recall of {name}; average precision {average}"
        )
        chart = line_chart(
            f"tagger-{index}",
            message,
            {name: [(0.0, points[0][1]), *points]},
            x_range=(0, 1),
            y_range=(0, 1),
            steps=True,
        )
        charts.append(
            f'<figure><h3>{escape(name)}</h3><p class="small">average '
            f"precision {average}</p>"
            f"{chart}</figure>"
        )
    keys = ["precision", "recall", "f1", "average_precision"]
    counts = ["positives", "predicted"]
    cells = [
        [
            name,
            *(format_value(scores[key]) for key in keys),
            *(str(scores[key]) for key in counts),
        ]
        for name, scores in tagging["per_category"].items()
    ]
    if bins := tagging.get("bins"):
        error = format_value(tagging["expected_calibration_error"])
        message = (
            "Share of right tags over the tagger's probability; mean distance "
            f"from the diagonal {error}"
        )
        chart = line_chart(
            "tagger-calibration",
            message,
            {
                "tagger": [(p, share) for p, share, _ in bins],
                "as it should be": [(0.0, 0.0), (1.0, 1.0)],
            },
            x_range=(0, 1),
            y_range=(0, 1),
        )
        charts.append(
            f'<figure><h3>Calibration</h3><p class="small">share of right '
            f"tags over probability; error {error}</p>{chart}</figure>"
        )
    table = _table(
        f"Tags with a probability of at least {tagging['threshold']:.2f}",
        [
            *("category", "precision", "recall", "F1", "average precision"),
            *("has it", "predicted"),
        ],
        cells,
        range(1, 7),
    )
    return (
        f"<p>Which categories the tagger finds by its {tagging['views']} "
        "scores. Charts: precision (up) over recall (right), as the threshold "
        "falls.</p>"
        f'{table}<div class="charts">{"".join(charts)}</div>'
    )


def history_section(histories: Sequence[History]) -> str:
    """Curves of every training run."""
    parts = []
    for run, history in enumerate(histories):
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
            message = f"{heading} over training steps; at the end: {ends}"
            unit = heading in _UNIT_RANGE
            chart = line_chart(
                f"training-{run}-{index}",
                message,
                lines,
                y_range=(0, 1) if unit else None,
            )
            names = legend(list(lines)) if len(lines) > 1 else ""
            charts.append(f"<figure><h4>{heading}</h4>{names}{chart}</figure>")
        parts.append(
            f"<h3>Phase {escape(history.phase)}</h3>"
            f'<div class="charts">{"".join(charts)}</div>'
        )
    return "".join(parts)


def settings_section(config: Mapping, versions: Mapping[str, str]) -> str:
    """Versions and the whole config."""
    cells = [[name, text] for name, text in versions.items()]
    text = escape(json.dumps(config, indent=2, sort_keys=True))
    return (
        _table("Versions of what computed", ["part", "version"], cells)
        + "<details><summary>The run's config</summary>"
        f'<pre tabindex="0" aria-label="config">{text}</pre></details>'
    )


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
    """A short name that is unique among rows with the same tags."""
    if "threshold" in row or "inference" not in row:
        return row["method"]
    return row["inference"]


def _table(
    caption: str,
    headings: Sequence[str],
    cells: Sequence[Sequence[Any]],
    numeric: Sequence[int] = (),
    best: Sequence[int] = (),
) -> str:
    """A table with a caption and headings that screen readers use."""

    def kind(column: int) -> str:
        return ' class="number"' if column in numeric else ""

    head = "".join(
        f'<th scope="col"{kind(i)}>{escape(str(text))}</th>'
        for i, text in enumerate(headings)
    )
    body = ""
    for index, row in enumerate(cells):
        first, *rest = row
        columns = "".join(
            f"<td{kind(i)}>{escape(str(text))}</td>"
            for i, text in enumerate(rest, start=1)
        )
        mark = ' class="best"' if index in best else ""
        body += (
            f'<tr{mark}><th scope="row">{escape(str(first))}</th>{columns}</tr>'
        )
    return (
        '<div class="scroll" tabindex="0" role="region" '
        f'aria-label="{escape(caption)}"><table>'
        f"<caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table></div>"
    )
