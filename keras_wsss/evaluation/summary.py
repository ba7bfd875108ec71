"""The results of an evaluation as a Markdown page."""

from collections.abc import Mapping

from keras_wsss.evaluation.table import (
    NO_MASKS,
    WITHOUT_COLUMNS,
    default_note,
    format_value,
    markdown_table,
    per_class_table,
    results_table,
)


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
