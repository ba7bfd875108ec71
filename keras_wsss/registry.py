"""Things by name, of which a module is imported when one is asked for."""

import importlib
from collections.abc import Mapping
from typing import Generic, Protocol, TypeVar

from keras_wsss.errors import ConfigError


class Named(Protocol):
    """What a registry can hold."""

    @property
    def name(self) -> str:
        """By which it is found."""


T = TypeVar("T", bound=Named)


class Registry(Generic[T]):
    """Objects by name; those of the package are not imported before use.

    Args:
        kind: what it holds, for messages, e.g. "encoder".
        places: name -> "module:attribute".
    """

    def __init__(self, kind: str, places: Mapping[str, str]):
        self.kind = kind
        self._places = dict(places)
        self._loaded: dict[str, T] = {}

    def names(self) -> tuple[str, ...]:
        """All names, those of the package first."""
        return tuple(dict.fromkeys((*self._places, *self._loaded)))

    def get(self, name: str) -> T:
        """What is called so. Raises `ConfigError` if nothing is."""
        if name not in self._loaded:
            if name not in self._places:
                raise ConfigError(
                    f"Unknown {self.kind} '{name}'; use one of "
                    f"{', '.join(self.names())}."
                )
            module, _, attribute = self._places[name].partition(":")
            found = getattr(importlib.import_module(module), attribute)
            self._loaded[name] = found
        return self._loaded[name]

    def register(self, item: T) -> T:
        """Adds an object, or replaces the one of its name; gives it back."""
        self._loaded[item.name] = item
        return item
