"""Many pictures before a network: read, predicted and kept side by side.

What `Predictor.predict_many`, the commands and `evaluate` have in common.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
import tensorflow as tf

from keras_wsss.errors import ConfigError, DataError
from keras_wsss.inference.one_picture import (
    Encoded,
    OnePicture,
    encode_together,
)
from keras_wsss.inference.prediction import Prediction, Tags
from keras_wsss.side_by_side import (
    Room,
    default_threads,
    side_by_side,
)
from keras_wsss.systems.quality import Quality, View

if TYPE_CHECKING:
    from keras_wsss.inference.predictor import Predictor

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

# Pictures that are larger than this together take turns: what is computed of
# one takes some 40 bytes a pixel and label.
_PIXELS_AT_ONCE = 16_000_000
# Of the encoder on a GPU, which a single picture does not keep busy.
_GPU_BATCH = 8


@dataclasses.dataclass(frozen=True)
class Request:
    """A picture, and what is wanted of it.

    Attributes:
        image: uint8 [H, W, 3], RGB; None where nothing is to be predicted.
        tags: what is in it; None asks the tagger.
        encoded: what is known already of some views.
        note: whatever `finish` needs to know of it.
    """

    image: np.ndarray | None = None
    tags: Tags | None = None
    encoded: Mapping[View, Encoded] | None = None
    note: Any = None


def default_batch() -> int:
    """Pictures that the encoder takes at once: one, without a GPU.

    On a CPU a batch gains little and sums in another order, which moves
    single pixels; `python -m benchmarks.prediction` measures both.
    """
    return _GPU_BATCH if tf.config.list_logical_devices("GPU") else 1


@dataclasses.dataclass
class _Ticket(Generic[_Item]):
    """An item on its way through the stages; `error` ends it."""

    item: _Item
    request: Request = dataclasses.field(default_factory=Request)
    picture: OnePicture | None = None
    error: DataError | None = None


class ManyPictures(Generic[_Item, _Result]):
    """Predicts pictures side by side; iterate over `run`.

    Masks are those of one picture at a time: to the bit with a batch of 1,
    which is what `default_batch` says of CPUs; else a float32 sum may be of
    another order.

    Args:
        predictor: a trained network.
        quality: what is done for each picture.
        read: from an item to its picture; called in threads.
        finish: what is done with it, its job and its prediction (None where
            the job has no image); called in threads.
        failed: called in place of `finish` where a picture cannot be used;
            such errors are raised if None.
        batch: pictures that the encoder takes at once; None is
            `default_batch`, and a network that takes one at a time has 1.
        threads: pictures in work at a time; None is `default_threads`.

    Raises:
        ConfigError: `batch` is not positive.
    """

    def __init__(
        self,
        predictor: "Predictor",
        quality: Quality,
        read: Callable[[_Item], Request],
        finish: Callable[[_Item, Request, Prediction | None], _Result],
        failed: Callable[[_Item, DataError], _Result] | None = None,
        batch: int | None = None,
        threads: int | None = None,
    ):
        if batch is not None and batch < 1:
            raise ConfigError(f"The batch is {batch}; give 1 or more pictures.")
        self._predictor, self._quality = predictor, quality
        self._read_item, self._finish_item = read, finish
        self._failed = failed
        # Of pictures in tiles, whole ones would be encoded for nothing.
        batches = predictor.steps.takes_batches and quality.tiling is None
        self._batch = (batch or default_batch()) if batches else 1
        self._threads = threads or default_threads()
        self._room = Room(_PIXELS_AT_ONCE)

    def run(self, items: Iterable[_Item]) -> Iterator[_Result]:
        """Results of all items, in their order, in bounded memory.

        Raises:
            DataError: a picture cannot be used, and `failed` is None.
        """
        if self._batch == 1:
            return side_by_side(
                lambda item: self._finish(self._read(item)),
                items,
                self._threads,
            )
        tickets = side_by_side(self._read, items, self._threads, self._batch)
        return side_by_side(
            self._finish, self._encoded(tickets), self._threads, self._batch
        )

    def _read(self, item: _Item) -> _Ticket[_Item]:
        ticket = _Ticket(item)
        try:
            ticket.request = self._read_item(item)
        except DataError as error:
            ticket.error = error
        return ticket

    def _encoded(
        self, tickets: Iterable[_Ticket[_Item]]
    ) -> Iterator[_Ticket[_Item]]:
        """The same tickets, encoded by full batches."""
        group: list[_Ticket[_Item]] = []
        waiting = pixels = 0
        for ticket in tickets:
            group.append(ticket)
            image = ticket.request.image
            if image is not None and ticket.request.encoded is None:
                waiting += 1
                pixels += image.shape[0] * image.shape[1]
            # What needs no encoder must not pile up behind what does.
            many = not waiting or len(group) >= 4 * self._batch
            if many or waiting == self._batch or pixels > _PIXELS_AT_ONCE:
                yield from self._encode(group)
                group, waiting, pixels = [], 0, 0
        yield from self._encode(group)

    def _encode(self, group: list[_Ticket[_Item]]) -> list[_Ticket[_Item]]:
        for ticket in group:
            if (
                ticket.request.image is not None
                and ticket.request.encoded is None
            ):
                try:
                    ticket.picture = OnePicture(
                        self._predictor, ticket.request.image
                    )
                except DataError as error:
                    ticket.error = error
        encode_together(
            [t.picture for t in group if t.picture is not None],
            self._quality.views,
        )
        return group

    def _finish(self, ticket: _Ticket[_Item]) -> _Result:
        try:
            if ticket.error is not None:
                raise ticket.error
            prediction = self._predict(ticket)
            return self._finish_item(ticket.item, ticket.request, prediction)
        except DataError as error:
            if self._failed is None:
                raise
            return self._failed(ticket.item, error)

    def _predict(self, ticket: _Ticket[_Item]) -> Prediction | None:
        request = ticket.request
        if request.image is None:
            return None
        with self._room.for_pixels(
            request.image.shape[0] * request.image.shape[1]
        ):
            if ticket.picture is not None:
                return ticket.picture.predict(request.tags, self._quality)
            if request.encoded is not None:
                picture = OnePicture(
                    self._predictor, request.image, request.encoded
                )
                return picture.predict(request.tags, self._quality)
            return self._predictor.predict(
                request.image, request.tags, self._quality
            )
