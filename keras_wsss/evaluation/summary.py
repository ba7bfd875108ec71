"""The results of an evaluation as a Markdown page."""

from collections.abc import Mapping

from keras_wsss.evaluation.table import (
    default_note,
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
    return "\n".join(
        [
            *([f"**Warning: {warning}**", ""] if warning else ()),
            f"# Results on {results['pictures']} pictures",
            "",
            results_table(rows),
            default_note(results),
            "",
            "## IoU per class",
            "",
            per_class_table(per_class),
            f"## Tagger, threshold {tagging['threshold']}, "
            f"{tagging['views']} scores",
            "",
            tagger,
        ]
    )
