"""One element of a batch: from a record to the view the network takes."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_wsss.data import failures, preprocess
from keras_wsss.data.encodings import Encodings
from keras_wsss.data.pictures import PictureStore
from keras_wsss.data.records import Record
from keras_wsss.data.views import ViewSpec, Window
from keras_wsss.errors import ConfigError

_NO_MASK = np.zeros((0, 0), np.uint8)


class ViewReader:
    """Reads one view of a picture, or its cached encoding, and its mask.

    Args:
        pictures: reads pictures and masks.
        cache: when given, replaces pictures.
        views: the network's input.
        base_size: side of the square that windows of pictures are cut from.
        with_mask: whether to read masks.

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

    def read(
        self,
        record: Record,
        draw: Callable[[int, int], Window],
        cached_view: int,
    ) -> list[np.ndarray]:
        """Reads from files.

        Args:
            record: the picture.
            draw: makes the view from the picture's height and width.
            cached_view: number of the view in the cache, where there is one.

        Returns:
            Arrays of the types and shapes that `signature` tells: the square
            (or features and levels), the square of the mask, and height,
            width, base, top, left, size, mirror.

        Raises:
            DataError: picture or mask cannot be used.
        """
        if self.cache is not None:
            entry = self.cache.read(record, cached_view)
            height, width, view = entry.height, entry.width, entry.view
            shown = [entry.features, *entry.levels]
        else:
            square = self.pictures.image(record, self.base_size)
            height, width = square.height, square.width
            view = draw(height, width)
            shown = [square.image]
        mask = _NO_MASK
        if self.with_mask:
            mask = self.pictures.mask(record, view.base, height, width)
        return [*shown, mask, _geometry(height, width, view)]

    def blank(self, view: Window) -> list[np.ndarray]:
        """What `read` gives, with nothing in it, for unused slots."""
        shown = [
            np.zeros(shape, kind.as_numpy_dtype)
            for kind, shape in self._shown()
        ]
        side = view.base if self.with_mask else 0
        mask = np.full((side, side), 255, np.uint8)
        return [*shown, mask, _geometry(1, 1, view)]

    def signature(self) -> failures.Signature:
        """Types and shapes of what `read` gives."""
        return [*self._shown(), (tf.uint8, [None, None]), (tf.int32, [7])]

    def _shown(self) -> list[tuple[tf.DType, Sequence[int]]]:
        if self.cache is None:
            return [(tf.uint8, (self.base_size, self.base_size, 3))]
        return [
            (tf.float16, self.cache.features_shape),
            *(
                (tf.as_dtype(spec.dtype), spec.shape)
                for spec in self.cache.level_specs
            ),
        ]

    def assemble(
        self,
        load: Callable[[np.ndarray], list[np.ndarray]],
        number: tf.Tensor,
        entries: dict[str, tuple[tf.DType, list[int]]],
        sizes: bool = False,
    ) -> dict[str, Any]:
        """Calls `load` and makes of its arrays an element of a batch.

        Args:
            load: from `number` to the arrays of `read` and of `entries`.
            number: scalar, passed on to `load`.
            entries: name, type and shape of what is taken as it is.
            sizes: also give "height" and "width" of the original picture.

        Returns:
            "image" (or "features" and "levels"), "mask" if read, "valid",
            and the entries by name.
        """
        signature: failures.Signature = [
            *self.signature(),
            *entries.values(),
        ]
        values = failures.call_numpy(load, [number], signature)
        element = dict(
            zip(entries, values[len(values) - len(entries) :], strict=True)
        )
        *shown, mask, geometry = values[: len(values) - len(entries)]
        height, width, base, top, left, size, flag = tf.unstack(geometry)
        window = (top, left, size, flag, self.views.image_size)
        if self.cache is None:
            element["image"] = preprocess.view_image(
                shown[0], *window, self.views.pixels
            )
        else:
            element["features"] = shown[0]
            element["levels"] = tuple(shown[1:])
        if self.with_mask:
            element["mask"] = preprocess.view_mask(mask, *window)
        element["valid"] = preprocess.view_valid(
            height, width, base, *window, self.views.stride
        )
        if sizes:
            element.update(height=height, width=width)
        return element


def cast_arrays(
    values: Sequence[np.ndarray],
    entries: dict[str, tuple[tf.DType, list[int]]],
) -> list[np.ndarray]:
    """Arrays of the types that `entries` tells."""
    kinds = [kind.as_numpy_dtype for kind, _ in entries.values()]
    return [
        np.asarray(value, kind)
        for value, kind in zip(values, kinds, strict=True)
    ]


def _geometry(height: int, width: int, view: Window) -> np.ndarray:
    values = (height, width, view.base, view.top, view.left, view.size)
    return np.array([*values, view.mirror], np.int32)
