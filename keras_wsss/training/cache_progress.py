"""Progress lines and figures of the feature cache."""

import threading
import time
from collections.abc import Callable


class Progress:
    """Reports how far a build is, its rate and the time left.

    Args:
        total: views to encode.
        report: called with one line.
        interval: seconds between lines.
    """

    def __init__(
        self, total: int, report: Callable[[str], None], interval: float
    ):
        self.done = 0
        self._total = total
        self._report = report
        self._interval = interval
        self._start = self._last = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Time since the beginning."""
        return time.perf_counter() - self._start

    def add(self, count: int) -> None:
        """Counts views as encoded; reports when it is time to, and at last."""
        self.done += count
        now = time.perf_counter()
        if now - self._last < self._interval and self.done < self._total:
            return
        self._last = now
        rate = self.done / max(self.seconds, 1e-9)
        left = (self._total - self.done) / rate
        self._report(
            f"feature cache: {self.done}/{self._total} views, "
            f"{rate:.1f} a second, {left:.0f} s left"
        )


class CacheStatistics:
    """Counts what a cache does; threads may add at the same time."""

    def __init__(self):
        self._lock = threading.Lock()
        self._counts: dict[str, float] = dict.fromkeys(
            (
                "entries",
                "hits",
                "built",
                "build_seconds",
                "damaged",
                "rebuilt",
                "reads",
                "read_seconds",
            ),
            0,
        )

    def add(self, **counts: float) -> None:
        """Adds to counts by name. Raises `KeyError`."""
        with self._lock:
            for name, count in counts.items():
                self._counts[name] += count

    def results(self, entry_size: int) -> dict[str, float]:
        """The figures for results.json.

        Args:
            entry_size: bytes of an entry.

        Returns:
            * entries: (picture, view) pairs wanted by this worker;
            * hits: how many of them were there before the build;
            * hit_rate: hits / entries (0 without entries);
            * built, build_seconds, built_per_second: work of the build;
            * bytes: size on disk of the entries;
            * damaged: entries found to be damaged, all made again;
            * rebuilt: entries made again while reading;
            * reads, read_seconds: entries read, and the time summed over
              threads.
        """
        with self._lock:
            counts = dict(self._counts)
        return {
            **counts,
            "hit_rate": counts["hits"] / max(counts["entries"], 1),
            "built_per_second": counts["built"]
            / max(counts["build_seconds"], 1e-9),
            "bytes": counts["entries"] * entry_size,
        }
