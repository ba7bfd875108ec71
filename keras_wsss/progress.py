"""How far a loop over many files is: one kind of line for all of them."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import TypeVar

_Item = TypeVar("_Item")
_INTERVAL = 2.0  # seconds between lines


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


class Progress:
    """Says now and then how far a loop is, its rate and the time left.

    Args:
        total: number of items.
        what: what is being done, e.g. "checking pictures".
        unit: what the items are, e.g. "views"; may be left out.
        log: takes a line.
        interval: seconds between lines.
    """

    def __init__(
        self,
        total: int,
        what: str,
        unit: str = "",
        log: Callable[[str], None] = _to_stderr,
        interval: float = _INTERVAL,
    ):
        self.done = 0
        self._total = total
        self._what, self._unit = what, unit and f" {unit}"
        self._log, self._interval = log, interval
        self._start = self._last = time.monotonic()

    @property
    def seconds(self) -> float:
        """Time since the beginning."""
        return time.monotonic() - self._start

    def add(self, count: int = 1) -> None:
        """Counts items as done; says so when it is time to."""
        self.done += count
        now = time.monotonic()
        if now - self._last < self._interval:
            return
        self._last = now
        rate = self.done / (now - self._start)
        left = max(self._total - self.done, 0) / rate
        self._log(
            f"{self._what}: {self.done} of {self._total}{self._unit}, "
            f"{rate:.1f} a second, {left:.0f} s left"
        )


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
    line = Progress(total, what)
    for item in items:
        yield item
        line.add()
