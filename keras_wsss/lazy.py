"""Names of a package that are imported when they are first used."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def lazy_names(
    package: str, places: Mapping[str, Sequence[str]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """What a package needs to offer names of its modules lazily.

        __getattr__, __dir__, __all__ = lazy_names(
            __name__, {"keras_wsss.training.run": ["train"]}
        )

    Args:
        package: the package's `__name__`.
        places: module -> names in it; "public=inner" offers `inner` under
            another name.

    Returns:
        Its `__getattr__`, `__dir__` and `__all__` (PEP 562).
    """
    found = {}
    for module, names in places.items():
        for name in names:
            public, _, inner = name.partition("=")
            found[public] = module, inner or public

    def get(name: str) -> Any:
        if name not in found:
            raise AttributeError(
                f"module {package!r} has no attribute {name!r}"
            )
        module, inner = found[name]
        return getattr(importlib.import_module(module), inner)

    return get, lambda: sorted(found), sorted(found)
