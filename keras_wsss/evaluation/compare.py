"""Runs beside each other, with the differences picture by picture."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_wsss.config import Config, split_of
from keras_wsss.config_files import load_run_config
from keras_wsss.errors import ConfigError
from keras_wsss.evaluation.report.comparison import write_comparison
from keras_wsss.evaluation.report.pictures import Album
from keras_wsss.evaluation.run import evaluate_run, headline
from keras_wsss.evaluation.table import markdown_table
from keras_wsss.files import write_json, write_text

# Columns of the table of runs: heading -> key of its rows.
COLUMNS = {
    "run": "run",
    "mean IoU": "mean_iou",
    "oracle tags": "oracle_mean_iou",
    "mean average precision": "mean_average_precision",
    "tags exactly right": "exact",
    "mean of pictures": "mean",
    "difference": "difference",
    "standard error": "standard_error",
    "better": "better",
    "worse": "worse",
    "same": "same",
}


def evaluate_runs(
    workdirs: Sequence[str | Path],
    *,
    out: str | Path | None = None,
    configs: Sequence[Config] | None = None,
    page: bool = True,
    log: Callable[[str], None] = print,
    **options: Any,
) -> dict[str, Any]:
    """Evaluates runs of the same categories and compares them.

    Each run's own results go to its folder `evaluation`; comparison.json,
    comparison.md and comparison.html to `out`.

    Args:
        workdirs: run folders; the others are compared with the first.
        out: where the comparison goes; the first run's `evaluation` if None.
        configs: of each run, its group `inference` replaces the run's.
        page: also report.html of each and comparison.html.
        log: takes lines about what is done.
        **options: as `evaluate_run`.

    Returns:
        The content of comparison.json, see `compare`.

    Raises:
        ConfigError: fewer than two runs, one twice, no run, or runs that are
            scored by other categories.
        DataError: a picture, mask or checkpoint that cannot be read.
    """
    names = _names([Path(run) for run in workdirs])
    splits = [split_of(load_run_config(run)) for run in workdirs]
    for name, split in zip(names, splits, strict=True):
        if split.scored != splits[0].scored:
            raise ConfigError(
                f"{name} scores {', '.join(split.scored)} and {names[0]} "
                f"{', '.join(splits[0].scored)}: only runs that score the "
                "same categories can be compared."
            )
    out = Path(out or Path(workdirs[0]) / "evaluation")
    out.mkdir(parents=True, exist_ok=True)
    albums: list[Album] = []
    results = {}
    for index, (name, run) in enumerate(zip(names, workdirs, strict=True)):
        log(f"Run {index + 1} of {len(names)}: {name}")
        results[name] = evaluate_run(
            run,
            config=configs[index] if configs else None,
            page=page,
            kept=albums,
            log=log,
            **options,
        )
    comparison = compare(results)
    write_json(out / "comparison.json", comparison)
    write_text(out / "comparison.md", comparison_text(comparison))
    log(comparison_text(comparison))
    log(f"Written: {out}/comparison.json and comparison.md")
    if page:
        write_comparison(
            out / "comparison.html",
            splits[0],
            comparison,
            comparison_note(comparison),
            used_columns(comparison),
            results,
            dict(zip(names, albums, strict=True)),
        )
        log(f"Written: {out}/comparison.html")
    return comparison


def compare(results: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What is said of runs beside each other.

    Args:
        results: name of a run -> what `evaluate` or `evaluate_tagged` gave;
            the others are compared with the first.

    Returns:
        "rows", one of each run: its figures of what production gives, the
        mean score of a picture, and, over the "pictures" that all runs have
        in common, the mean "difference" to the first run and its
        "standard_error", and how many pictures are "better", "worse" and the
        "same". "first" is the run compared with, "measure" what is scored of
        a picture, and "differences": run -> picture -> difference.

    Raises:
        ConfigError: other things were scored, or no picture is in all.
    """
    scores = {name: _scores(found) for name, found in results.items()}
    measures = {found["per_picture"]["measure"] for found in results.values()}
    common = set.intersection(*map(set, scores.values()))
    if len(measures) > 1 or not common:
        raise ConfigError(
            "The runs were not scored on the same pictures in the same way; "
            "give --eval_root and --eval_set."
        )
    pictures = [name for name in next(iter(scores.values())) if name in common]
    first = next(iter(results))
    rows, differences = [], {}
    for name, found in results.items():
        own = np.array([scores[name][picture] for picture in pictures])
        base = np.array([scores[first][picture] for picture in pictures])
        row = {"run": name, **headline(found), "mean": float(own.mean())}
        if name != first:
            row |= _paired(own - base)
            differences[name] = {
                picture: round(float(change), 5)
                for picture, change in zip(pictures, own - base, strict=True)
            }
        rows.append(row)
    return {
        "first": first,
        "measure": measures.pop(),
        "pictures": len(pictures),
        "left_out": {n: len(s) - len(pictures) for n, s in scores.items()},
        "rows": rows,
        "differences": differences,
    }


def comparison_text(comparison: Mapping[str, Any]) -> str:
    """The table of `compare` as Markdown, and what its columns are."""
    rows = [
        {key: row.get(key, "") for key in used_columns(comparison).values()}
        for row in comparison["rows"]
    ]
    return "\n".join(
        [
            f"# {len(rows)} runs on {comparison['pictures']} pictures",
            "",
            markdown_table(rows, used_columns(comparison)),
            comparison_note(comparison),
            "",
        ]
    )


def comparison_note(comparison: Mapping[str, Any]) -> str:
    """What the columns of the table are."""
    left_out = ", ".join(
        f"{n} {c}" for n, c in comparison["left_out"].items() if c
    )
    note = (
        "Figures are of what production gives. A picture's score is its "
        f"{comparison['measure']}; differences are to {comparison['first']}, "
        "picture by picture, with their mean and its standard error."
    )
    if left_out:
        note += f" Not in all runs, and left out of these: {left_out}."
    return note


def used_columns(comparison: Mapping[str, Any]) -> dict[str, str]:
    """Columns that some run has a value for."""
    return {
        heading: key
        for heading, key in COLUMNS.items()
        if any(row.get(key) is not None for row in comparison["rows"])
    }


def _paired(changes: np.ndarray) -> dict[str, Any]:
    error = None
    if len(changes) > 1:
        error = float(changes.std(ddof=1) / np.sqrt(len(changes)))
    same = np.isclose(changes, 0, atol=1e-4)
    return {
        "difference": float(changes.mean()),
        "standard_error": error,
        "better": int(np.sum((changes > 0) & ~same)),
        "worse": int(np.sum((changes < 0) & ~same)),
        "same": int(same.sum()),
    }


def _scores(results: Mapping[str, Any]) -> dict[str, float]:
    """Score of each picture, of what production gives."""
    each = results["per_picture"]
    return {name: ways[each["first"]] for name, ways in each["scores"].items()}


def _names(runs: Sequence[Path]) -> list[str]:
    """Short names of run folders, as different as the folders are."""
    if len(runs) < 2:
        raise ConfigError("Name at least two runs to compare.")
    whole = [Path(os.path.abspath(run)).parts for run in runs]
    for index, parts in enumerate(whole):
        if parts in whole[:index]:
            raise ConfigError(f"{runs[index]} is named twice.")
    for count in range(1, max(map(len, whole)) + 1):
        names = [os.path.join(*parts[-count:]) for parts in whole]
        if len(set(names)) == len(names):
            break
    return names
