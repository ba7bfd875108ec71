"""How far a loop over many things is: one kind of line for all of them.

A terminal shows a bar that is drawn anew in its place; a file gets a plain
line now and then.
"""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import TypeVar

_Item = TypeVar("_Item")
_INTERVAL = 2.0  # seconds between lines, and before the first bar
_REDRAWN = 0.2  # seconds between two bars
_CELLS = 24  # of a bar


class Progress:
    """Says now and then how far a loop is, its rate and the time left.

    Args:
        total: number of items; 0 if it is not known.
        what: what is being done, e.g. "checking pictures".
        unit: what the items are, e.g. "views"; may be left out.
        log: takes a line; if None, lines go to stderr, or, where that is a
            terminal, a bar.
        interval: seconds between lines.
    """

    def __init__(
        self,
        total: int,
        what: str,
        unit: str = "",
        log: Callable[[str], None] | None = None,
        interval: float = _INTERVAL,
    ):
        self.done = 0
        self._total = total
        self._what, self._unit = what, unit and f" {unit}"
        self._log, self._interval = log, interval
        self._bar = log is None and sys.stderr.isatty()
        self._width = 0  # of the bar that is there
        self._start = self._last = time.monotonic()

    @property
    def seconds(self) -> float:
        """Time since the beginning."""
        return time.monotonic() - self._start

    def add(self, count: int = 1) -> None:
        """Counts items as done; says so when it is time to."""
        self.done += count
        now = time.monotonic()
        # A short loop says nothing.
        wait = _REDRAWN if self._width else self._interval
        if now - self._last < wait:
            return
        self._last = now
        line = self._line(now)
        if self._bar:
            self._draw(line)
        elif self._log is not None:
            self._log(line)
        else:
            print(line, file=sys.stderr, flush=True)

    def close(self) -> None:
        """Leaves the last state of a bar where it is."""
        if self._width:
            self._draw(self._line(time.monotonic()))
            print(file=sys.stderr, flush=True)
            self._width = 0

    def _line(self, now: float) -> str:
        rate = self.done / max(now - self._start, 1e-9)
        if not self._total:
            return f"{self._what}: {self.done}{self._unit}, {rate:.1f} a second"
        left = max(self._total - self.done, 0) / max(rate, 1e-9)
        return (
            f"{self._what}: {self.done} of {self._total}{self._unit}, "
            f"{rate:.1f} a second, {duration(left)} left"
        )

    def _draw(self, line: str) -> None:
        if self._total:
            full = min(_CELLS, _CELLS * self.done // self._total)
            line = f"[{'#' * full}{'.' * (_CELLS - full)}] {line}"
        # Spaces over what is left of a longer one.
        print(f"\r{line:{self._width}}", end="", file=sys.stderr, flush=True)
        self._width = len(line)


def progress(
    items: Iterable[_Item],
    what: str,
    total: int | None = None,
    log: Callable[[str], None] | None = None,
) -> Iterator[_Item]:
    """Yields `items` and says now and then how far it is.

    Args:
        items: what to iterate over.
        what: what is being done, e.g. "checking pictures".
        total: number of items; their length when omitted.
        log: takes a line; see `Progress`.
    """
    if total is None:
        total = len(items) if isinstance(items, Sized) else 0
    line = Progress(total, what, log=log)
    try:
        for item in items:
            yield item
            line.add()
    finally:
        line.close()


def duration(seconds: float) -> str:
    """A short text: "40 s", "12 min", "3.5 h"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
