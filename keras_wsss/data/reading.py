"""From records to a batch of the views that the network takes."""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent import futures
from typing import Any

import numpy as np
import tensorflow as tf

from keras_wsss.categories import IGNORE
from keras_wsss.data import failures, preprocess
from keras_wsss.data.encodings import Encodings
from keras_wsss.data.pictures import PictureStore
from keras_wsss.data.records import Record
from keras_wsss.data.views import ViewSpec, Window
from keras_wsss.errors import ConfigError

Arrays = dict[str, np.ndarray]
Entries = dict[str, tuple[tf.DType, Sequence[int]]]  # types and shapes


@functools.cache
def _pool(threads: int) -> futures.Executor:
    # One for all: TensorFlow keeps what a data set calls to the end.
    return futures.ThreadPoolExecutor(threads)


class ViewReader:
    """Reads one view of a picture, or its cached encoding, and its mask.

    Args:
        pictures: reads pictures and masks.
        cache: when given, replaces pictures.
        views: the network's input.
        base_size: side of the square that windows of pictures are cut from.
        with_mask: whether to read masks.
        threads: pictures or masks that are read at the same time.

    Raises:
        ConfigError: the cache holds another input size.
    """

    def __init__(
        self,
        pictures: PictureStore,
        cache: Encodings | None,
        views: ViewSpec,
        base_size: int,
        with_mask: bool,
        threads: int,
    ):
        image_size = views.image_size
        if cache is not None and cache.views.image_size != image_size:
            raise ConfigError(
                f"The feature cache holds pictures of {cache.views.image_size} "
                f"pixels, {image_size} are wanted."
            )
        self.pictures = pictures
        self.cache = cache
        self.views = views
        self.base_size = base_size
        self.with_mask = with_mask
        # Threads that take turns cost more than to read what is cached.
        self._map: Callable[..., Iterable[None]] = map
        if cache is None or with_mask:
            self._map = _pool(threads).map

    def read(
        self,
        record: Record,
        draw: Callable[[int, int], Window],
        cached_view: int,
        rows: Arrays,
    ) -> None:
        """Reads from files.

        Args:
            record: the picture.
            draw: makes the view from the picture's height and width.
            cached_view: number of the view in the cache, where there is one.
            rows: what is filled in, of the batch's arrays by name.

        Raises:
            DataError: picture or mask cannot be used.
        """
        size = self.views.image_size
        shown = [rows[name] for name in self._shown()]
        if self.cache is not None:
            entry = self.cache.read(record, cached_view, shown)
            height, width, view = entry.height, entry.width, entry.view
        else:
            square = self.pictures.image(record, self.base_size)
            height, width = square.height, square.width
            view = draw(height, width)
            shown[0][:] = preprocess.cut_image(square.image, view, size)
        if self.with_mask:
            mask = self.pictures.mask(record, view.base, height, width)
            rows["mask"][:] = preprocess.cut_mask(mask, view, size)
        rows["geometry"][:] = _geometry(height, width, view)

    def blank(self, view: Window, rows: Arrays) -> None:
        """Fills in nothing, for unused slots; arguments as for `read`."""
        for name in self._shown():
            rows[name][:] = 0
        if self.with_mask:
            rows["mask"][:] = IGNORE
        rows["geometry"][:] = _geometry(1, 1, view)

    def _shown(self) -> Entries:
        """Types and shapes of the picture, or of features and levels."""
        if self.cache is None:
            side = self.views.image_size
            # Windows of other sizes are resized, which rounds nothing.
            kind = tf.uint8 if self.views.min_scale == 1 else tf.float32
            return {"image": (kind, (side, side, 3))}
        return {
            "features": (tf.float16, self.cache.features_shape),
            **{
                f"level {number}": (tf.as_dtype(spec.dtype), spec.shape)
                for number, spec in enumerate(self.cache.level_specs)
            },
        }

    def assemble(
        self,
        load: Callable[[int, Arrays], Mapping[str, Any]],
        first: tf.Tensor,
        count: int,
        entries: Entries,
    ) -> dict[str, Any]:
        """Makes a batch of what `load` reads: one call of Python.

        Args:
            load: from the number of a slot and its rows, which `read` or
                `blank` fills in, to the entries by name.
            first: number of the first slot, int64 scalar.
            count: B, slots of the batch.
            entries: name, type and shape of what is taken as it is.

        Returns:
            "image" (or "features" and "levels"), "mask" if read, "valid",
            "height" and "width" of the original picture, and the entries by
            name.
        """
        shown, side = self._shown(), self.views.image_size
        specs = {**shown, "geometry": (tf.int32, (7,)), **entries}
        if self.with_mask:
            specs["mask"] = (tf.uint8, (side, side))

        def read(first: np.ndarray) -> list[np.ndarray]:
            arrays = {
                name: np.empty((count, *shape), kind.as_numpy_dtype)
                for name, (kind, shape) in specs.items()
            }

            def fill(row: int) -> None:
                rows = {name: array[row] for name, array in arrays.items()}
                for name, value in load(int(first) + row, rows).items():
                    arrays[name][row] = value

            for _ in self._map(fill, range(count)):
                pass
            return list(arrays.values())

        signature = [(kind, (count, *shape)) for kind, shape in specs.values()]
        values = failures.call_numpy(read, [first], signature)
        batch: dict[str, Any] = dict(zip(specs, values, strict=True))
        if self.cache is None:
            batch["image"] = preprocess.to_encoder_input(
                batch["image"], self.views.pixels
            )
        else:
            _, *levels = shown
            batch["levels"] = tuple(batch.pop(name) for name in levels)
        geometry = tf.unstack(batch.pop("geometry"), axis=1)
        height, width, base, top, left, size, flag = geometry
        window = (top, left, size, flag, side)
        batch["valid"] = preprocess.view_valid(
            height, width, base, *window, self.views.stride
        )
        return {**batch, "height": height, "width": width}


def _geometry(height: int, width: int, view: Window) -> tuple[int, ...]:
    place = (view.base, view.top, view.left, view.size, view.mirror)
    return (height, width, *place)
