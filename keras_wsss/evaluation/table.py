"""Results as a Markdown page whose tables also read well as plain text."""

from collections.abc import Mapping, Sequence
from typing import Any

from keras_wsss.evaluation.metrics import all_metrics

NOT_RUN = "not run"
UNDEFINED = "n/a"
DEFAULT_MARK = " (default)"

# Columns of the table of false positives: heading -> key of its rows.
WITHOUT_COLUMNS = {
    "pictures without a scored category": "of",
    "pictures": "pictures",
    "with a mask": "with_mask",
    "share of their pixels": "share",
}
NO_MASKS = (
    "No masks of these pictures are known, only their tags: what is scored is "
    "the tagger. They were held out of training."
)


def main_columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Columns of the main table: heading -> key of a result row.

    Those of the metrics among them; columns that no row has are left out.
    """
    columns = {"method": "method", "tags": "tags", "inference": "inference"}
    for metric in all_metrics():
        columns.update(metric.columns)
    columns["ms/image"] = "milliseconds"
    return {
        heading: key
        for heading, key in columns.items()
        if key == "method" or any(key in row for row in rows)
    }


def format_value(value: Any, digits: int = 3) -> str:
    """One cell: floats with fixed digits, 'n/a' for None and NaN.

    None means "measured, but undefined" (e.g. the IoU of a class that no
    picture has). What was never measured is a missing key, see
    `markdown_table`; the two must not look alike, nor like a zero.
    """
    if value is None or value != value:
        return UNDEFINED
    if isinstance(value, float):
        return f"{value:.{digits}f}"
    return str(value).replace("|", "\\|").replace("\n", " ")


def markdown_table(
    rows: Sequence[Mapping[str, Any]],
    columns: Mapping[str, str],
    digits: int | Mapping[str, int] = 3,
) -> str:
    """An aligned Markdown table.

    Args:
        rows: one mapping per row; a key that is missing shows as "not run".
        columns: heading -> key, in the order shown.
        digits: decimals of floats; one number, or key -> number (default 3).

    Returns:
        The table with a newline at its end. Columns that hold only numbers
        (or nothing) are aligned to the right.
    """
    if isinstance(digits, int):
        digits = dict.fromkeys(columns.values(), digits)
    cells = [
        [
            format_value(row[key], digits.get(key, 3))
            if key in row
            else NOT_RUN
            for key in columns.values()
        ]
        for row in rows
    ]
    numeric = [
        all(isinstance(row.get(key), int | float | None) for row in rows)
        for key in columns.values()
    ]
    headings = list(columns)
    widths = [
        max(3, len(heading), *(len(row[i]) for row in cells))
        if cells
        else max(3, len(heading))
        for i, heading in enumerate(headings)
    ]

    def line(texts: Sequence[str]) -> str:
        padded = [
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(texts, widths, numeric, strict=True)
        ]
        return "| " + " | ".join(padded) + " |"

    rule = [
        "-" * (width - 1) + ":" if right else "-" * width
        for width, right in zip(widths, numeric, strict=True)
    ]
    return "\n".join([line(headings), line(rule), *map(line, cells)]) + "\n"


def results_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The main table of an evaluation: one row per way of predicting.

    Args:
        rows: mappings with `method` and, where they were measured, `tags`
            ("oracle" or "predicted"), `inference` ("raw", "augmented",
            "raw + refined", ...), the figures of the metrics (`mean_iou`,
            `pixel_accuracy`, `boundary_iou`, ..., in [0, 1]), `milliseconds`
            an image, and `default`, whether it is what is given without any
            flag.

    Returns:
        A Markdown table; a figure that a row lacks shows as "not run", a
        choice that it does not have (all background has no tags) as "-".
        Columns that no row has are left out.
    """
    columns = main_columns(rows)
    rows = [
        {"tags": "-", "inference": "-", **row, **_marked(row)} for row in rows
    ]
    return markdown_table(rows, columns, {"milliseconds": 1})


def inference_name(row: Mapping[str, Any]) -> str:
    """A row's inference; that which is given without any flag is marked."""
    return f"{row['inference']}{DEFAULT_MARK if row.get('default') else ''}"


def default_note(results: Mapping[str, Any]) -> str:
    """A sentence about the mark, for results of `evaluate`."""
    if any(row.get("default") for row in results["rows"]):
        return (
            f"Rows marked{DEFAULT_MARK} are what Predictor, predict.py, "
            "python -m export and, by the pictures' own tags, "
            "pseudo_labels.py give unless their flags say otherwise."
        )
    return (
        "What Predictor, predict.py and python -m export give unless their "
        f"flags say otherwise, {results['default']}, was left out here."
    )


def _marked(row: Mapping[str, Any]) -> dict[str, str]:
    return {"inference": inference_name(row)} if "inference" in row else {}


def per_class_table(
    results: Mapping[str, Mapping[str, float | None]],
) -> str:
    """Classes as rows and methods as columns, with the mean below.

    Args:
        results: method -> class name -> score in [0, 1] or None. The mean
            is over the defined scores of a method.

    Returns:
        A Markdown table; a class that a method does not have is "not run".
    """
    names = list(dict.fromkeys(n for row in results.values() for n in row))
    rows: list[dict[str, Any]] = []
    for name in names:
        row: dict[str, Any] = {"class": name}
        for method, scores in results.items():
            if name in scores:
                row[f"score {method}"] = scores[name]
        rows.append(row)
    last: dict[str, Any] = {"class": "mean"}
    for method, scores in results.items():
        defined = [v for v in scores.values() if v is not None and v == v]
        if defined:
            last[f"score {method}"] = sum(defined) / len(defined)
    rows.append(last)
    columns = {"class": "class"}
    columns.update({method: f"score {method}" for method in results})
    return markdown_table(rows, columns)


def _absent_note(names: Sequence[str]) -> str:
    return f"No picture shows {', '.join(names)}: not in any mean."


def summary(results: Mapping) -> str:
    """Tables of what `evaluate` returned: methods, classes, tagger.

    A "warning" among the results is the first line.
    """
    rows = results["rows"]
    tagging = results["tagging"]
    per_class = {
        " ".join(str(row[key]) for key in ("tags", "inference") if key in row)
        or row["method"]: {
            name: scores["iou"] for name, scores in row["per_class"].items()
        }
        for row in rows
        # Baselines are not shown by class: they have one inference or none.
        if "inference" in row and "threshold" not in row
    }
    tagger = markdown_table(
        [
            {"category": name, **scores}
            for name, scores in tagging["per_category"].items()
        ],
        {
            "category": "category",
            "precision": "precision",
            "recall": "recall",
            "average precision": "average_precision",
            "pictures": "positives",
        },
    )
    warning = results.get("warning")
    absent = results.get("absent_categories")
    masks = [
        results_table(rows),
        default_note(results),
        "",
        "## IoU per class",
        "",
        per_class_table(per_class),
    ]
    return "\n".join(
        [
            *([f"**Warning: {warning}**", ""] if warning else ()),
            f"# Results on {results['pictures']} pictures",
            "",
            *([_absent_note(absent), ""] if absent else ()),
            *(masks if rows else [NO_MASKS, ""]),
            *_without(results),
            f"## Tagger, {tagging['views']} scores",
            "",
            tagger_note(tagging),
            "",
            tagger,
        ]
    )


def tagger_note(tagging: Mapping) -> str:
    """The tagger's rule and figures as a sentence."""
    exact, precision, recall, average, error = (
        format_value(tagging[key])
        for key in (
            "exact",
            "precision",
            "recall",
            "mean_average_precision",
            "expected_calibration_error",
        )
    )
    return (
        f"A category is named from a probability of "
        f"{tagging['threshold']:.2f} on, or the most probable one; none below "
        f"{tagging['none_threshold']:.2f}. Exactly right in {exact} of the "
        f"pictures; precision {precision}, recall {recall}, mean average "
        f"precision {average}, calibration error {error}."
    )


def _without(results: Mapping) -> list[str]:
    rows = results.get("without", [])
    if not rows:
        return []
    return [
        "## Pictures without a scored category",
        "",
        markdown_table(rows, WITHOUT_COLUMNS),
    ]
