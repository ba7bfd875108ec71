"""Counts of what a feature cache does, for results.json."""

import threading


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
