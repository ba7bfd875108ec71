"""The frozen encoder's outputs on disk, one verified file per view."""

import collections
import dataclasses
import functools
import itertools
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from keras_wsss.data.encodings import Encoding, LevelSpec
from keras_wsss.data.pictures import PictureStore, Square
from keras_wsss.data.pipeline import THREADS
from keras_wsss.data.preprocess import view_function
from keras_wsss.data.records import Record
from keras_wsss.data.views import ViewSpec
from keras_wsss.encoders.encoder import encoder_digest
from keras_wsss.encoders.graphs import ConcreteFunction, encoding_function
from keras_wsss.errors import ConfigError, DataError
from keras_wsss.progress import Progress, progress
from keras_wsss.training.cache_entry import (
    DamagedEntryError,
    Entry,
    layouts_of,
    positive_zeros,
    read_entry,
    write_entry,
)
from keras_wsss.training.cache_index import CacheIndex
from keras_wsss.training.cache_statistics import CacheStatistics

LOG_SECONDS = 10.0  # between two lines of a build
_PART = 64  # pictures that are looked at in one go
# That read pictures and write entries: what they hold is in memory.
_THREADS = min(max(THREADS, 2), 16)
_Item = tuple[Record, int, Square]  # picture, number of the view, square


class FeatureCache:
    """Keeps what a frozen encoder computes from each view of each picture.

    Views are the whole picture and, on demand, `crops` windows drawn once and
    for all from (seed, picture id, number), each also mirrored when
    `views.mirror`: features of a mirrored picture are not the mirrored
    features, as kernels are not symmetric. An entry is found by a digest of
    all it depends on (`CacheIndex`), so runs with other settings may share
    the folder. An entry with more levels than are asked for serves too, so
    that one phase may write what the next ones need. Reading verifies a
    checksum; what is missing or damaged is computed again.

    Args:
        folder: where the entries are, made when missing.
        encoder: see `Encoder.build`.
        views: the encoder's input, mirroring, and how windows are drawn.
        crops: windows per picture besides the whole.
        seed: decides the windows.
        levels: of the encoder, from 1, that are read: none for pictures that
            never reach the decoder; all by default.
        written: levels that new entries hold, beside those that are read;
            no more by default.
        pictures: reads the pictures.
        encoder_batch: views that the encoder takes at a time.
        check: verify every entry and the content of every picture in
            `build`, and not only what looks changed.

    """

    def __init__(
        self,
        folder: str | Path,
        encoder: keras.Model,
        views: ViewSpec,
        *,
        crops: int = 0,
        seed: int = 0,
        levels: Sequence[int] | None = None,
        written: Sequence[int] = (),
        pictures: PictureStore | None = None,
        encoder_batch: int = 8,
        check: bool = False,
    ):
        every = tuple(range(1, len(encoder.outputs)))
        self.levels = tuple(sorted(set(every if levels is None else levels)))
        self.written = tuple(sorted({*self.levels, *written}))
        self.folder = Path(folder)
        self.views = views
        self.encoder_batch = encoder_batch
        self.statistics = CacheStatistics()
        self._check = check
        self._pictures = pictures or PictureStore()
        self._encoder = encoder
        self._layouts = layouts_of(
            encoder, views.image_size, self._fitting_levels(every)
        )
        self._layout = self._layouts[self.written]
        self._index = CacheIndex(
            self.folder, views, crops, seed, encoder_digest(encoder), check
        )
        self._view_image = view_function(views)
        self._rebuild_lock = threading.Lock()

    def _fitting_levels(self, every: tuple[int, ...]) -> list[tuple[int, ...]]:
        """Levels of the entries that serve, those that are written first."""
        others = set(every) - set(self.levels)
        fitting = [
            tuple(sorted({*self.levels, *more}))
            for count in range(len(others) + 1)
            for more in itertools.combinations(sorted(others), count)
        ]
        return list(dict.fromkeys([self.written, *fitting]))

    @functools.cached_property
    def _run(self) -> ConcreteFunction:
        # Not made where nothing is missing: tracing takes seconds.
        return encoding_function(
            self._encoder, self.views.image_size, self.written
        )

    @property
    def num_views(self) -> int:
        """Views per picture."""
        return self._index.num_views

    @property
    def features_shape(self) -> tuple[int, ...]:
        """Shape of an entry's features, [g, g, D]."""
        return self._layout.features_shape

    @property
    def level_specs(self) -> tuple[LevelSpec, ...]:
        """Shapes and types of the levels that are read."""
        return self._layouts[self.levels].level_specs

    @property
    def entry_size(self) -> int:
        """Bytes on disk of an entry as it is written."""
        return self._layout.file_size

    def read(
        self,
        record: Record,
        view: int,
        out: Sequence[np.ndarray] | None = None,
    ) -> Encoding:
        """Reads an entry, or computes it where it is missing or damaged.

        Args:
            record: any picture, also one that was not built.
            view: 0 to `num_views` - 1.
            out: see `Encodings.read`.

        Raises:
            DataError: the picture cannot be read.
        """
        start = time.perf_counter()
        try:
            entry = self._load(record, view, out)
        except (FileNotFoundError, DamagedEntryError):
            entry = self._rebuild(record, view, out)
        else:
            self.statistics.add(
                reads=1, read_seconds=time.perf_counter() - start
            )
        return Encoding(
            features=entry.features,
            levels=entry.levels,
            view=self._index.view(record, view, entry.height, entry.width),
            height=entry.height,
            width=entry.width,
        )

    def build(
        self,
        records: Sequence[Record],
        *,
        views: Sequence[int] | None = None,
        index: int = 0,
        count: int = 1,
        log: Callable[[str], None] = print,
    ) -> None:
        """Computes the entries that are missing; may be killed at any moment.

        Which are there, their folders tell; their content is verified
        whenever they are read, here only with `check`.

        Args:
            records: pictures to encode.
            views: numbers of the views that are wanted; all by default.
            index: this worker; it encodes its share of the pictures.
            count: number of workers that share the folder.
            log: called with a progress line now and then, and a summary.

        Raises:
            DataError: a picture cannot be read, or its features are not
                finite.
            ConfigError: the folder cannot be written or its disk is too small.
        """
        try:
            numbers = range(self.num_views) if views is None else views
            self._build(records[index::count], numbers, log)
        except OSError as error:
            raise ConfigError(
                f"The feature cache {self.folder} cannot be written: "
                f"{error.strerror or error}; choose another folder or leave "
                "out --feature_cache."
            ) from None

    def results(self) -> dict[str, float]:
        """Figures of this process for results.json; see `CacheStatistics`."""
        return self.statistics.results(self.entry_size)

    def _build(
        self,
        records: Sequence[Record],
        numbers: Sequence[int],
        log: Callable[[str], None],
    ) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with futures.ThreadPoolExecutor(_THREADS) as pool:
            missing = self._missing(records, numbers, pool)
            self._index.save()
            total = sum(len(views) for _, views in missing)
            self._check_space(total)
            if total:
                log(
                    f"feature cache {self.folder}: {total} views to encode, "
                    f"{total * self.entry_size / 1e6:.0f} MB more on its disk."
                )
            built = Progress(total, "feature cache", "views", log, LOG_SECONDS)
            wanted = ((records[number], views) for number, views in missing)
            inputs = self._inputs(wanted, pool, ahead=2 * _THREADS)
            writes: collections.deque[futures.Future] = collections.deque()
            for batch in _batches(inputs, self.encoder_batch):
                for item, outputs in self._encode(batch):
                    writes.append(pool.submit(self._save, *item, outputs))
                while len(writes) > 2 * self.encoder_batch:
                    writes.popleft().result()
                built.add(len(batch))
            for write in writes:
                write.result()
        self.statistics.add(built=built.done, build_seconds=built.seconds)
        log(f"feature cache {self.folder}: {self._summary()}")

    def _summary(self) -> str:
        found = self.results()
        return (
            f"{found['entries']} views, {found['bytes'] / 1e6:.0f} MB; "
            f"{found['hits']} were there ({found['hit_rate']:.0%}), "
            f"{found['built']} built ({found['built_per_second']:.1f} a "
            f"second), {found['damaged']} damaged"
        )

    def _load(
        self,
        record: Record,
        view: int,
        out: Sequence[np.ndarray] | None = None,
    ) -> Entry:
        """Raises `FileNotFoundError` or `DamagedEntryError`."""
        for levels, layout in self._layouts.items():
            key = self._index.key(record, view, levels)
            wanted = [levels.index(level) for level in self.levels]
            path = self._index.path(key)
            try:
                return read_entry(path, key, layout, wanted, out)
            except FileNotFoundError:
                continue
        raise FileNotFoundError

    def _rebuild(
        self,
        record: Record,
        view: int,
        out: Sequence[np.ndarray] | None,
    ) -> Entry:
        # One thread at a time: the encoder uses the whole machine anyway.
        with self._rebuild_lock:
            try:
                entry = self._load(record, view, out)
                self.statistics.add(reads=1)  # another thread was faster
                return entry
            except FileNotFoundError:
                self.statistics.add(rebuilt=1)
            except DamagedEntryError:
                self.statistics.add(rebuilt=1, damaged=1)
            inputs = self._views_of_picture(record, [view])
            ((item, outputs),) = self._encode(inputs)
            entry = self._save(*item, outputs)
            wanted = [self.written.index(level) for level in self.levels]
            levels = tuple(entry.levels[index] for index in wanted)
            if out is not None:
                made = (entry.features, *levels)
                for place, maps in zip(out, made, strict=True):
                    place[:] = maps
            return dataclasses.replace(entry, levels=levels)

    def _missing(
        self,
        records: Sequence[Record],
        numbers: Sequence[int],
        pool: futures.Executor,
    ) -> list[tuple[int, list[int]]]:
        """Indices of pictures, with the views of which no entry serves."""
        # A record given twice would be encoded and counted twice.
        names = (hash((str(r.image_path), r.image_id)) for r in records)
        hashes = np.fromiter(names, np.int64, len(records))
        pictures = np.sort(np.unique(hashes, return_index=True)[1]).tolist()
        keys = self._index.list_keys()

        def missing(part: Sequence[int]) -> list[tuple[int, list[int]]]:
            found = []
            for row in part:
                record = records[row]
                if v := [v for v in numbers if self._lacks(record, v, keys)]:
                    found.append((row, v))
            return found

        # A task for each picture would take longer than most of them do.
        count = len(pictures)
        parts = [pictures[i : i + _PART] for i in range(0, count, _PART)]
        looks = progress(
            pool.map(missing, parts),
            "looking into the feature cache",
            len(parts),
        )
        found = [pair for part in looks for pair in part]
        entries = len(pictures) * len(numbers)
        lacking = sum(len(views) for _, views in found)
        self.statistics.add(entries=entries, hits=entries - lacking)
        return found

    def _lacks(self, record: Record, view: int, keys: set[bytes]) -> bool:
        there = any(
            self._index.key(record, view, levels) in keys
            for levels in self._layouts
        )
        if there and self._check:
            try:
                self._load(record, view)
            except FileNotFoundError:
                return True
            except DamagedEntryError:
                self.statistics.add(damaged=1)
                return True
        return not there

    def _views_of_picture(self, record: Record, views: Sequence[int]):
        """[((record, view number, square), float32 [S, S, 3]), ...]."""
        made, squares = [], {}
        for number in views:
            base = self._index.base_size(number)
            if base not in squares:
                squares[base] = self._pictures.image(record, base, keep=False)
            square = squares[base]
            view = self._index.view(record, number, square.height, square.width)
            image = self._view_image(
                square.image, view.top, view.left, view.size, view.mirror
            ).numpy()
            made.append(((record, number, square), image))
        return made

    def _inputs(self, missing, pool: futures.Executor, ahead: int) -> Iterator:
        waiting: collections.deque[futures.Future] = collections.deque()
        for record, views in missing:
            waiting.append(pool.submit(self._views_of_picture, record, views))
            if len(waiting) > ahead:
                yield from waiting.popleft().result()
        for future in waiting:
            yield from future.result()

    def _encode(self, batch) -> list[tuple[_Item, list[np.ndarray]]]:
        images = np.stack([image for _, image in batch])
        outputs = [output.numpy() for output in self._run(tf.constant(images))]
        return [
            (item, [output[row] for output in outputs])
            for row, (item, _) in enumerate(batch)
        ]

    def _save(
        self,
        record: Record,
        view: int,
        square: Square,
        outputs: list[np.ndarray],
    ) -> Entry:
        features, *levels = outputs
        if not np.isfinite(features).all():
            raise DataError(
                f"{record.image_path}: the encoder gives features that are "
                "not finite in float16; check its weights and feature scale."
            )
        # A convolution library may give -0.0 in a batch of another size.
        features, *levels = map(positive_zeros, outputs)
        entry = Entry(features, tuple(levels), square.height, square.width)
        key = self._index.key(record, view, self.written)
        write_entry(self._index.path(key), key, self._layout, entry)
        return entry

    def _check_space(self, entries: int) -> None:
        needed = entries * self.entry_size
        free = shutil.disk_usage(self.folder).free
        if needed > free:
            raise ConfigError(
                f"The feature cache {self.folder} needs {needed / 1e9:.1f} GB "
                f"more and its disk has {free / 1e9:.1f} GB left; choose "
                "another folder, leave out --feature_cache, or keep less "
                "(config.cache.switches=False)."
            )


def _batches(items: Iterator, size: int) -> Iterator[list]:
    batch = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
