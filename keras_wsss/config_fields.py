"""What a tree of config groups is made of: fields, their types and ranges."""

import dataclasses
import math
import numbers
import os
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self

from keras_wsss.errors import ConfigError


def field(default: Any, text: str, **notes: Any) -> Any:
    """A field of a group.

    Args:
        default: what is recommended for photographs.
        text: its meaning, a sentence.
        **notes: "published", the value of the papers (and of runs that are
            older than the field) where it is another; "earlier", what older
            runs did where that is neither; "choices"; "at_least" (0 if
            neither it nor "above" is given), "above", "at_most" and "below"
            of numbers. Those of a tuple are of its items, and "some" forbids
            an empty one.
    """
    return dataclasses.field(default=default, metadata={"text": text, **notes})


@dataclasses.dataclass(frozen=True)
class Group:
    """Fields that belong together; nobody changes them in place.

    Raises:
        ConfigError: a value is not of its field's type.
    """

    def __post_init__(self) -> None:
        for own in dataclasses.fields(self):
            try:
                value = typed(getattr(self, own.name), own.type)
            except TypeError as error:
                raise ConfigError(
                    f"{type(self).__name__}.{own.name} {error}."
                ) from None
            object.__setattr__(self, own.name, value)

    def __getitem__(self, name: str) -> Any:
        """The field called `name`. Raises `KeyError`."""
        if name not in self.__dataclass_fields__:
            raise KeyError(name)
        return getattr(self, name)

    def replace(self, changes: Mapping[str, Any]) -> Self:
        """A copy in which some fields have other values.

        Args:
            changes: values by dotted names, or nested; a group may be given
                whole.

        Raises:
            ConfigError: names all unknown fields and all wrong types.
        """
        given = read_fields(type(self), changes)
        if text := given.problems():
            raise ConfigError(f"config: {text}.")
        return with_values(self, given.values)


def fields_of(
    kind: type[Group], prefix: str = ""
) -> dict[str, dataclasses.Field[Any]]:
    """Every field of a tree by its dotted name, groups before their own."""
    found: dict[str, dataclasses.Field[Any]] = {}
    for own in dataclasses.fields(kind):
        found[prefix + own.name] = own
        if is_group(own.type):
            found |= fields_of(own.type, f"{prefix}{own.name}.")
    return found


def is_group(kind: Any) -> typing.TypeGuard[type[Group]]:
    """Whether the type of a field is a group."""
    return isinstance(kind, type) and issubclass(kind, Group)


def flat(group: Group, prefix: str = "") -> dict[str, Any]:
    """All values of a tree by dotted names, in the order of the fields."""
    values: dict[str, Any] = {}
    for own in dataclasses.fields(group):
        value = getattr(group, own.name)
        if isinstance(value, Group):
            values |= flat(value, f"{prefix}{own.name}.")
        else:
            values[prefix + own.name] = value
    return values


def noted(kind: type[Group], note: str) -> dict[str, Any]:
    """Values that the fields of a tree have as a note, by dotted names."""
    found: dict[str, Any] = {}
    for name, own in fields_of(kind).items():
        value = own.metadata.get(note)
        if isinstance(value, Group):
            found |= flat(value, f"{name}.")
        elif note in own.metadata:
            found[name] = value
    return found


# --- Types.


def typed(value: Any, kind: Any) -> Any:
    """A value as a field keeps it: a tuple in place of a list, 1.0 of 1.

    Raises:
        TypeError: it is of another type; the text goes on after the name.
    """
    item = typing.get_args(kind)[:1]
    if isinstance(kind, types.UnionType):  # X | None
        return None if value is None else typed(value, item[0])
    if typing.get_origin(kind) is tuple:
        if isinstance(value, list | tuple):
            return tuple(typed(each, item[0]) for each in value)
    elif kind in (int, float):
        numeric = numbers.Real if kind is float else numbers.Integral
        if isinstance(value, numeric) and not isinstance(value, bool):
            return kind(value)
    elif kind is str:
        if isinstance(value, str | os.PathLike):
            return os.fspath(value)
    elif isinstance(value, kind):
        return value
    raise TypeError(f"is {value!r}, not {type_name(kind)}")


def parse(text: str, kind: Any) -> Any:
    """A value from a text of the command line: 3, True, None, a,b, ("a","b").

    Raises:
        TypeError: as `typed`.
    """
    item = typing.get_args(kind)[:1]
    if isinstance(kind, types.UnionType):
        return None if text in ("None", "none") else parse(text, item[0])
    if typing.get_origin(kind) is tuple:
        if text[:1] in ("(", "["):
            return tuple(parse(part, item[0]) for part in _listed(text, kind))
        parts = [part.strip() for part in text.split(",")]
        return tuple(parse(part, item[0]) for part in parts if part)
    if kind is bool and text.lower() in ("true", "false", "1", "0"):
        return text.lower() in ("true", "1")
    if kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return typed(text, kind)


def _listed(text: str, kind: Any) -> list[str]:
    """The parts of a list in brackets, as Python or YAML writes them."""
    import yaml

    try:
        parts = yaml.load(f"[{text[1:-1]}]", yaml.BaseLoader)  # texts only
    except yaml.YAMLError:
        parts = [None]
    closing = {"(": ")", "[": "]"}[text[0]]
    if not text.endswith(closing) or not all(isinstance(p, str) for p in parts):
        raise TypeError(f"is {text!r}, not {type_name(kind)}")
    return parts


def type_name(kind: Any) -> str:
    """What a field of a type holds, in words."""
    item = typing.get_args(kind)[:1]
    if isinstance(kind, types.UnionType):
        return f"{type_name(item[0])} or None"
    if typing.get_origin(kind) is tuple:
        return f"a list of {'texts' if item[0] is str else 'numbers'}"
    names = {
        str: "a text",
        int: "a whole number",
        float: "a number",
        bool: "True or False",
    }
    return names.get(kind, "a group of fields")


# --- Values from outside.


@dataclasses.dataclass(frozen=True)
class Given:
    """What was given for the fields of a tree.

    Attributes:
        values: checked, by dotted names of today.
        unknown: names that there are not.
        wrong: sentences about values of another type.
        hint: what the unknown ones may mean, or "".
    """

    values: dict[str, Any]
    unknown: list[str]
    wrong: list[str]
    hint: str

    def problems(self) -> str:
        """All that is wrong, or ""."""
        parts = []
        if self.unknown:
            many = "s" * (len(self.unknown) > 1)
            names = ", ".join(self.unknown)
            parts.append(f"unknown field{many} {names}{self.hint}")
        if self.wrong:
            what = "fields have" if len(self.wrong) > 1 else "a field has"
            parts.append(f"{what} the wrong type ({'; '.join(self.wrong)})")
        return "; ".join(parts)


def read_fields(
    kind: type[Group],
    changes: Mapping[str, Any],
    current: Callable[[str], str] = str,
) -> Given:
    """Checks names and types of values that are to go into a tree.

    Args:
        kind: the tree's class.
        changes: nested or by dotted names.
        current: gives the name of today for one that may be older.
    """
    fields = fields_of(kind)
    values: dict[str, Any] = {}
    unknown: list[str] = []
    wrong: list[str] = []

    def read(given: Mapping[str, Any], prefix: str) -> None:
        for key, value in given.items():
            name = current(f"{prefix}{key}")
            if name not in fields:
                unknown.append(f"{prefix}{key}")
                continue
            wanted = fields[name].type
            if is_group(wanted) and isinstance(value, Mapping):
                read(value, f"{name}.")
                continue
            try:
                value = typed(value, wanted)
            except TypeError as error:
                wrong.append(f"{name} {error}")
                continue
            if isinstance(value, Group):
                values.update(flat(value, f"{name}."))
            else:
                values[name] = value

    read(changes, "")
    return Given(values, sorted(unknown), wrong, hint_at(fields, unknown))


def hint_at(fields: Iterable[str], unknown: Iterable[str]) -> str:
    """What names that there are not may mean, in brackets, or ""."""
    import difflib  # half of the time of the import, and seldom needed

    last = {name.rpartition(".")[2]: name for name in fields}
    found = []
    for name in unknown:
        near = difflib.get_close_matches(name, fields, 1, 0.8)
        if not near:
            end = name.rpartition(".")[2]
            near = [last[e] for e in difflib.get_close_matches(end, last, 1)]
        found += near
    return f" (did you mean {', '.join(found)}?)" if found else ""


def with_values(group: Group, values: Mapping[str, Any]) -> Any:
    """A copy of a tree with checked values, by dotted names."""
    changes: dict[str, Any] = {}
    below: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        first, _, rest = name.partition(".")
        if rest:
            below.setdefault(first, {})[rest] = value
        else:
            changes[first] = value
    for first, own in below.items():
        changes[first] = with_values(getattr(group, first), own)
    return dataclasses.replace(group, **changes)


# --- Ranges.


def range_problems(group: Group, prefix: str = "config.") -> list[str]:
    """Sentences about all values that nothing can be done with.

    Args:
        group: the tree.
        prefix: stands before the fields' names.
    """
    fields, found = fields_of(type(group)), []
    for name, value in flat(group).items():
        notes = _notes(fields[name])
        items = value if isinstance(value, tuple) else (value,)
        fits = all(_fits(item, notes) for item in items if item is not None)
        if not fits or (notes.get("some") and not items):
            shown = f"'{value}'" if isinstance(value, str) else value
            wanted = range_text(fields[name])
            found.append(f"{prefix}{name} is {shown}; use {wanted}.")
    return found


def _notes(own: dataclasses.Field[Any]) -> Mapping[str, Any]:
    """The notes of a field; numbers are 0 or more if nothing else is said."""
    numeric = {int, float} & {own.type, *typing.get_args(own.type)}
    if not numeric or {"at_least", "above", "choices"} & own.metadata.keys():
        return own.metadata
    return {"at_least": 0, **own.metadata}


def _fits(item: Any, notes: Mapping[str, Any]) -> bool:
    if isinstance(item, float) and not math.isfinite(item):
        return False
    return (
        item in notes.get("choices", (item,))
        and ("at_least" not in notes or item >= notes["at_least"])
        and ("above" not in notes or item > notes["above"])
        and ("at_most" not in notes or item <= notes["at_most"])
        and ("below" not in notes or item < notes["below"])
    )


def range_text(own: dataclasses.Field[Any]) -> str:
    """What a field may be, in words; "" where its type says all."""
    notes, kind = _notes(own), own.type
    if "choices" in notes:
        words = ", ".join(map(str, notes["choices"]))
        return f"one{' or more' * bool(notes.get('some'))} of {words}"
    texts = {
        "at_least": "{} or more",
        "above": "more than {}",
        "at_most": "at most {}",
        "below": "less than {}",
    }
    bounds = [t.format(notes[key]) for key, t in texts.items() if key in notes]
    text = " and ".join(bounds)
    return f"{text}, or None" * isinstance(kind, types.UnionType) or text
