"""What the jobs of an evaluation have counted, kept until all are done."""

import json
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from keras_wsss.data.records import Record, Records
from keras_wsss.files import atomic_path
from keras_wsss.inference.mask_notes import digest, digest_of_bytes
from keras_wsss.inference.shards import FOLDER, Shard
from keras_wsss.progress import progress

COUNTS_FILE = "counts.json"
_STEP = 100  # pictures between two states of a job that are kept


class Jobs:
    """Counts of pictures, in a file for each share.

    They are believed as long as nothing has changed that decides them: the
    network, the settings, size and time of every picture, and its mask.

    Args:
        folder: of the results.
        shard: what this job does; None does what no job has done.
        about: JSON values that decide what is counted of a picture.
        log: takes a line about counts that are not believed.
    """

    def __init__(
        self,
        folder: Path,
        shard: Shard | None,
        about: Any,
        log: Callable[[str], None] = print,
    ):
        self.shard = shard
        self._folder, self._log = folder, log
        self._about = digest(about)
        self._used: list[Path] = []
        self._looks: dict[str, Any] = {}
        self._done: set[str] = set()

    @property
    def step(self) -> int | None:
        """Pictures between two calls of `keep`; None where nothing is kept."""
        return _STEP if self.shard else None

    def load(
        self,
        records: Iterable[Record],
        add: Callable[[Mapping[str, Any]], None],
    ) -> Records:
        """Hands over what is there.

        Args:
            records: all pictures of the evaluation.
            add: takes the counts of some of them.

        Returns:
            Those that are left to do here.
        """
        shard, records = self.shard, Records.of(records)
        if shard:
            records = records.where(lambda r: shard.has(r.image_id))
            places = [self._folder / shard.folder / COUNTS_FILE]
        else:
            places = sorted(self._folder.glob(f"{FOLDER}/*/{COUNTS_FILE}"))
        places = [place for place in places if place.is_file()]
        if places or shard:
            self._looks = {
                record.image_id: _looks(record)
                for record in progress(records, "looking at masks")
            }
        for place in places:
            state = _read(place)
            pictures = state.get("pictures", {})
            if state.get("about") != self._about or any(
                name in self._done or self._looks.get(name) != looks
                for name, looks in pictures.items()
            ):
                self._log(
                    f"{place}: of other weights, settings or pictures, or of "
                    "those of another job; what it counts is counted anew. "
                    "Delete it if nobody needs it."
                )
                continue
            add(state["counts"])
            self._done |= pictures.keys()
            self._used.append(place)
        if self._done:
            self._log(
                f"{len(self._done)} of {len(records)} pictures were scored "
                "before."
            )
        return records.where(lambda r: r.image_id not in self._done)

    def keep(
        self, counts: Mapping[str, Any], records: Iterable[Record]
    ) -> None:
        """Writes the counts of this job so far.

        Args:
            counts: of all that was done.
            records: done since they were kept.
        """
        assert self.shard
        self._done.update(record.image_id for record in records)
        state = {
            "about": self._about,
            "pictures": {name: self._looks[name] for name in self._done},
            "counts": counts,
        }
        place = self._folder / self.shard.folder / COUNTS_FILE
        with atomic_path(place) as temporary:
            temporary.write_text(json.dumps(state), encoding="utf-8")

    def clear(self) -> None:
        """Removes what is in the results now."""
        for place in self._used:
            place.unlink(missing_ok=True)
            for folder in (place.parent, place.parent.parent):
                if not any(folder.iterdir()):
                    folder.rmdir()


def _read(place: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(place.read_text(encoding="utf-8")))
    except (OSError, TypeError, ValueError):
        return {}


def _looks(record: Record) -> list[Any]:
    """By which another picture or mask is told.

    A mask by what it holds: outlines may come from several files.
    """
    status = os.stat(record.image_path)
    mask = digest_of_bytes(record.read_mask().tobytes())
    return [status.st_size, status.st_mtime_ns, mask]
