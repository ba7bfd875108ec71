"""A progress line on stderr for loops over many files."""

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

_Item = TypeVar("_Item")
_INTERVAL = 2.0  # seconds between lines


def progress(
    items: Iterable[_Item], what: str, total: int | None = None
) -> Iterator[_Item]:
    """Yields `items` and says every two seconds how far it is.

    Args:
        items: what to iterate over.
        what: what is being done, e.g. "checking pictures".
        total: number of items; their length when omitted.
    """
    if total is None:
        total = len(items) if isinstance(items, Sized) else 0
    start = last = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - last < _INTERVAL:
            continue
        last = now
        left = (now - start) / done * max(total - done, 0)
        print(
            f"{what}: {done} of {total}, {left:.0f} s left",
            file=sys.stderr,
            flush=True,
        )
