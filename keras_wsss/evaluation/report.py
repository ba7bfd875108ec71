"""An evaluation as one HTML page that needs nothing beside it."""

import base64
import contextlib
import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from html import escape
from importlib import resources
from pathlib import Path

from keras_wsss.categories import Split
from keras_wsss.config import to_json
from keras_wsss.errors import ConfigError
from keras_wsss.evaluation.report_history import History, read_histories
from keras_wsss.evaluation.report_pictures import Album
from keras_wsss.evaluation.report_sections import (
    class_section,
    figures,
    history_section,
    results_section,
    settings_section,
    tagger_section,
)
from keras_wsss.evaluation.report_shots import chip_styles, pictures_section
from keras_wsss.files import write_text
from keras_wsss.inference.predictor import Predictor
from keras_wsss.run_folder import read_phase, read_results
from keras_wsss.versions import library_versions


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
        facts["trained for"] = f"{done['minutes']:.0f} minutes"
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
    sections = {
        "results": ("Results", results_section(report.results)),
        "classes": ("Classes", class_section(report.results)),
        "tagger": ("Tagger", tagger_section(report.results["tagging"])),
        "training": ("Training", history_section(report.histories)),
        "pictures": (
            "Pictures",
            pictures_section(report.album, report.split),
        ),
        "settings": (
            "Settings",
            settings_section(report.config, report.versions),
        ),
    }
    present = {key: value for key, value in sections.items() if value[1]}
    links = "".join(
        f'<li><a href="#{key}">{title}</a></li>'
        for key, (title, _) in present.items()
    )
    body = "".join(
        f'<section id="{key}" aria-labelledby="{key}-heading">'
        f'<h2 id="{key}-heading">{title}</h2>{content}</section>'
        for key, (title, content) in present.items()
    )
    facts = " · ".join(
        f"{escape(name)} {escape(text)}" for name, text in report.facts.items()
    )
    warning = report.results.get("warning", "")
    if warning:
        warning = f'<p class="warning">Warning: {escape(warning)}</p>'
    style = _read("report.css") + chip_styles(report.split)
    script = _read("report.js")
    title = escape(report.title)
    # Nothing may be loaded, and only our own style and script may run, even
    # if a name of a picture should ever get past the escaping.
    policy = (
        "default-src 'none'; img-src data:; base-uri 'none'; "
        f"form-action 'none'; style-src {_hash(style)}; "
        f"script-src {_hash(script)}"
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, '
        'initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{style}</style>\n</head>\n<body>\n"
        '<a class="skip" href="#main">Skip to the results</a>\n'
        f'<header>{warning}<h1>{title}</h1><p class="soft">{facts}</p>'
        "</header>\n"
        f'<nav aria-label="Sections"><ul>{links}</ul></nav>\n'
        f'<main id="main">{figures(report.results)}{body}</main>\n'
        '<footer class="soft"><p>Written by keras_wsss. Every picture, '
        "chart and number of this page is inside this file.</p></footer>\n"
        f"<script>{script}</script>\n</body>\n</html>\n"
    )


def _read(name: str) -> str:
    folder = resources.files("keras_wsss.evaluation")
    return (folder / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
