"""Configs by name and from files: one's own, and those of runs."""

import dataclasses
import importlib
import importlib.util
import json
import os
import pkgutil
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keras_wsss.config import PUBLISHED, Config, PhasesConfig, start_of
from keras_wsss.config_fields import (
    fields_of,
    flat,
    hint_at,
    noted,
    parse,
    read_fields,
    with_values,
)
from keras_wsss.errors import ConfigError, UserError

RUN_FILE = "config.json"  # of a run folder
_PHASE_FILE = "phase.json"  # lies beside it
_PACKAGE = "keras_wsss.configs"
_SUFFIXES = (".yaml", ".yml", ".json", ".py")
_PHASES = tuple(own.name for own in dataclasses.fields(PhasesConfig))
# Names of earlier versions, which files and commands may still have.
_OLD_NAMES = {
    "feature_cache": "cache.folder",
    "cache_windows": "cache.windows",
    "cache_switches": "cache.switches",
}
_OLD_ENDS = {
    "source_pairs": "source_pictures",
    "target_pairs": "target_pictures",
}
# Fields of earlier versions that did nothing.
_GONE = ("inference.batch_size",)
# What a run did that is older than a field.
_EARLIER: Mapping[str, Any] = {**PUBLISHED, **noted(Config, "earlier")}


def current_name(name: str) -> str:
    """The dotted name of today for one that may be of an earlier version."""
    if name in _OLD_NAMES:
        return _OLD_NAMES[name]
    if name.partition(".")[0] in _PHASES:
        name = f"phases.{name}"
    if name.startswith("phases."):
        start, _, end = name.rpartition(".")
        name = f"{start}.{_OLD_ENDS.get(end, end)}"
    return name


def old_names() -> list[str]:
    """Names of fields in earlier versions that are others today."""
    now_then = {now: then for then, now in _OLD_ENDS.items()}
    names = {*_OLD_NAMES}
    for name in flat(Config()):
        if name.startswith("phases."):
            start, _, end = name.rpartition(".")
            then = f"{start}.{now_then.get(end, end)}"
            names |= {then, *(n.removeprefix("phases.") for n in (name, then))}
    return sorted(names.difference(flat(Config())))


def built_in_configs() -> tuple[str, ...]:
    """Names that `load_config` knows, one for each result."""
    package = importlib.import_module(_PACKAGE)
    return tuple(m.name for m in pkgutil.iter_modules(package.__path__))


def load_config(given: str | os.PathLike[str]) -> Config:
    """The config that `--config` names.

    Args:
        given: the name of a built-in one (`configs/NAME.py` is understood
            too), or a file. A .yaml or .json file has fields, nested or by
            dotted names, and may name another config as `base`, on top of
            which they come; without, that is `Config()`, the published one
            for `system: prior`, or what a system of your own says. A .py file
            has `get_config()`. The config.json of a run folder is what that
            run did.

    Raises:
        ConfigError: names the file and all fields that cannot be.
    """
    return _load(os.fspath(given), ())


def load_run_config(run: str | os.PathLike[str]) -> Config:
    """The config of a run folder, of any version.

    Raises:
        ConfigError: missing or damaged file, unknown fields, wrong types.
    """
    path = Path(run) / RUN_FILE
    try:
        values = _read_json(path)
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror}); is its folder the "
            "--workdir of a training run?"
        ) from error
    except (RecursionError, ValueError) as error:
        raise ConfigError(
            f"{path}: not valid JSON ({error}); train again or restore it."
        ) from error
    if not isinstance(values, Mapping):
        raise ConfigError(f"{path}: holds no fields; train again.")
    return config_of_run(values, str(path))


def config_of_run(values: Mapping[str, Any], origin: str = "config") -> Config:
    """The config that a run of any version has noted.

    What it does not name it did as the version of its time: as published, or
    as the field's note says.

    Args:
        values: JSON values, as `to_json` gives them.
        origin: names the file in errors.

    Raises:
        ConfigError: unknown fields, or values of a wrong type.
    """
    kept = {
        key: {k: v for k, v in value.items() if f"{key}.{k}" not in _GONE}
        if isinstance(value, Mapping)
        else value
        for key, value in values.items()
    }
    given = read_fields(Config, kept, current_name)
    if text := given.problems():
        other = "it was written by another version"
        raise ConfigError(
            f"{origin}: {text}; {other if given.unknown else 'restore it'}."
        )
    return with_values(Config(), {**_EARLIER, **given.values})


def yaml_text(config: Config, start: Config, base: str | None = None) -> str:
    """A file for `load_config`: its base, and what differs from it.

    Args:
        config: what the file shall give.
        start: what its base gives; the defaults if there is none.
        base: name or file of the base.
    """
    import yaml

    values: dict[str, Any] = {"base": base} if base else {}
    before = flat(start)
    for name, value in flat(config).items():
        if value != before[name]:
            *groups, last = name.split(".")
            place = values
            for group in groups:
                place = place.setdefault(group, {})
            place[last] = list(value) if isinstance(value, tuple) else value
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


def parse_override(name: str, text: str) -> tuple[str, Any]:
    """Name of today and value of `--config.NAME=TEXT`.

    Raises:
        ConfigError: there is no such field, or the text is of another type.
    """
    fields = {
        name: own
        for name, own in fields_of(Config).items()
        if name in flat(Config())
    }
    now = current_name(name)
    if now not in fields:
        raise ConfigError(
            f"--config.{name}: the configuration has no field "
            f"'{name.rpartition('.')[2]}' there"
            f"{hint_at(fields, [now])}; docs/config.md has all of them."
        )
    try:
        return now, parse(text, fields[now].type)
    except TypeError as error:
        raise ConfigError(
            f"--config.{name}={text}: the field {error}."
        ) from None


def _load(given: str, bases: tuple[str, ...]) -> Config:
    path = Path(given)
    if given in bases:
        raise ConfigError(f"{bases[-1]}: base: {given} names itself.")
    if not path.is_file():
        name = re.sub(r"^configs/(\w+)\.py$", r"\1", path.as_posix())
        if re.fullmatch(r"\w+", name) and name in built_in_configs():
            module = importlib.import_module(f"{_PACKAGE}.{name}")
            return module.get_config()
        raise ConfigError(
            f"{given}: there is no such file, and no built-in config of that "
            f"name; these are {', '.join(built_in_configs())}."
        )
    if path.suffix == ".py":
        return _from_python(path)
    if path.suffix not in _SUFFIXES:
        raise ConfigError(
            f"{path}: a config is a file in {', '.join(_SUFFIXES)}, or the "
            "name of a built-in one."
        )
    if path.name == RUN_FILE and (path.parent / _PHASE_FILE).exists():
        return load_run_config(path.parent)
    return _from_values(path, _read_values(path), (*bases, given))


def _from_values(
    path: Path, values: Mapping[str, Any], bases: tuple[str, ...]
) -> Config:
    """A config from a file of fields."""
    changes = dict(values)
    base = changes.pop("base", None)
    given = read_fields(Config, changes, current_name)
    if base is not None and not isinstance(base, str):
        given.wrong.append(f"base is {base!r}, not a text")
    if text := given.problems():
        raise ConfigError(f"{path}: {text}; docs/config.md has all fields.")
    if base is not None:
        start = _load(_base(path, base), bases)
    else:
        start = start_of(given.values.get("system", Config().system))
    values = {"name": path.stem, **given.values}
    return with_values(start, values)


def _base(path: Path, base: str) -> str:
    """The base of a file: a file beside it, or what `load_config` takes."""
    beside = path.parent / base
    return os.fspath(beside) if beside.is_file() else base


def _read_values(path: Path) -> Mapping[str, Any]:
    try:
        if path.suffix == ".json":
            values = _read_json(path)
        else:
            values = _read_yaml(path)
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror}); check the path."
        ) from error
    except (RecursionError, ValueError) as error:
        kind = "JSON" if path.suffix == ".json" else "YAML"
        text = " ".join(str(error).split())
        raise ConfigError(f"{path}: not valid {kind} ({text}).") from error
    if values is None:
        return {}  # an empty file
    if not isinstance(values, Mapping):
        raise ConfigError(f"{path}: holds no fields, such as 'split:'.")
    return values


def _read_json(path: Path) -> Any:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        values = dict(pairs)
        if len(values) < len(pairs):
            keys = [key for key, _ in pairs]
            raise ValueError(f"{max(keys, key=keys.count)} stands there twice")
        return values

    text = path.read_text(encoding="utf-8")
    return json.loads(text, object_pairs_hook=once)


def _read_yaml(path: Path) -> Any:
    import yaml  # other commands need not wait for it

    class Loader(yaml.SafeLoader):
        """Takes 1e-3 for a number, no key twice, and nothing by reference.

        References to references can stand for more than any memory holds.
        """

        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                raise ValueError(f"*{self.peek_event().anchor}: write it out")
            return super().compose_node(parent, index)

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            keys = [key.value for key, _ in node.value]
            for key in keys:
                if keys.count(key) > 1:
                    raise ValueError(f"{key} stands there twice")
            return super().construct_mapping(node, deep)

    Loader.add_implicit_resolver(
        "tag:yaml.org,2002:float",
        re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"),
        list("-+0123456789"),
    )
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def _from_python(path: Path) -> Config:
    """What `get_config()` of a file gives; any error in it is named."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{path}: cannot be read as Python.")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        if not hasattr(module, "get_config"):
            raise ConfigError(f"{path}: has no function get_config().")
        config = module.get_config()
    except UserError:
        raise
    except Exception as error:  # the file is a user's own program
        text = " ".join(str(error).split()).rstrip(".")
        raise ConfigError(
            f"{path}: cannot be loaded ({type(error).__name__}: {text})."
        ) from error
    if not isinstance(config, Config):
        raise ConfigError(
            f"{path}: get_config() must return a keras_wsss.config.Config, "
            f"not {type(config).__name__}; `Config().replace({{...}})` makes "
            "one."
        )
    return config
