"""docs/config.md: a page of all fields, made from the tree itself."""

from typing import Any

from keras_wsss.config import Config, PhaseConfig
from keras_wsss.config_fields import (
    fields_of,
    flat,
    is_group,
    noted,
    range_text,
    type_name,
)

_INTRODUCTION = """\
# Fields of a config

Made by `python -m keras_wsss.config > docs/config.md`; do not edit it.

`--config NAME` takes a built-in config, `--config FILE` one of your own: YAML
or JSON with what differs from the defaults, or from another config that it
names as `base`:

```yaml
base: mini60
split:
  name: mine
  source: [truck, bench]
  target: [forklift, pallet]
data:
  source_annotations: data/instances.json
  source_images: data/images
  target_tags: data/tags.csv
  target_images: data/tagged
train.seed: 1
```

Any field can be overridden on the command line: `--config.train.seed=3`,
`--config.split.target=forklift,pallet`,
`--config.inference.tag_threshold=None`. Names of earlier versions
(`transfer.target_pairs`, `feature_cache`) are understood in both.

Defaults are what is recommended for photographs. "Published" is the value of
the papers where it is another: `Config.published()`, and what a file with
`system: prior` and without `base` begins with. Runs of earlier versions keep
the values that they had.
"""


def page() -> str:
    """The page, Markdown."""
    config = Config()
    published = noted(Config, "published")
    parts = [_INTRODUCTION]
    fields = fields_of(Config)
    names = [name for name in fields if "." not in name]
    parts.append(
        _table(
            [n for n in names if not is_group(fields[n].type)],
            fields,
            published,
        )
    )
    for group in (name for name in names if is_group(fields[name].type)):
        own = [n for n in flat(config) if n.startswith(f"{group}.")]
        if group == "phases":
            parts.append(_phases(config, published))
            continue
        text = (fields[group].type.__doc__ or "").strip()
        parts.append(f"## {group}\n\n{_plain(text)}\n")
        parts.append(_table(own, fields, published))
    return "\n".join(parts)


def _table(names, fields, published) -> str:
    rows = ["| field | default | published | meaning |", "|---|---|---|---|"]
    for name in names:
        own = fields[name]
        other = _value(published[name]) if name in published else ""
        rows.append(
            f"| `{name}` | {_value(own.default)} | {other} | {_meaning(own)} |"
        )
    return "\n".join(rows) + "\n"


def _phases(config: Config, published: dict[str, Any]) -> str:
    """The fields of a phase once, and their values in all phases."""
    phases = [
        n.name
        for n in fields_of(type(config.phases)).values()
        if is_group(n.type)
    ]
    parts = ["## phases\n", "Each phase has a group: `phases.decoder.steps`.\n"]
    rows = [
        f"| field | {' | '.join(phases)} | meaning |",
        f"|---|{'---|' * len(phases)}---|",
    ]
    for name, own in fields_of(PhaseConfig).items():
        values = []
        for phase in phases:
            value = config.phases[phase][name]
            other = published.get(f"phases.{phase}.{name}", value)
            text = _value(value)
            if other != value:
                text += f"; published {_value(other)}"
            values.append(text)
        rows.append(f"| `{name}` | {' | '.join(values)} | {_meaning(own)} |")
    return "\n".join([*parts, *rows]) + "\n"


def _meaning(own) -> str:
    kind = type_name(own.type)
    text = f"{own.metadata['text']} {kind[0].upper()}{kind[1:]}"
    allowed = range_text(own)
    return _plain(f"{text}: {allowed}." if allowed else f"{text}.")


def _value(value: Any) -> str:
    if isinstance(value, tuple):
        return f"`{', '.join(map(str, value))}`" if value else "none"
    if value == "":
        return "empty"
    return f"`{value}`"


def _plain(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
