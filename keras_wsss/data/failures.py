"""Carries a `DataError` out of a tf.data thread to whoever iterates."""

import contextlib
import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import tensorflow as tf

from keras_wsss.errors import UserError

# TensorFlow keeps of a Python exception only its text. The text therefore
# carries a number under which the exception itself is kept here.
_MARK = re.compile(r"\[user error (\d+)\]")
_numbers = itertools.count()
_kept: dict[int, UserError] = {}


def carrying(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wraps a function for `tf.numpy_function` so its user errors survive."""

    def wrapped(*arguments: Any) -> Any:
        try:
            return function(*arguments)
        except UserError as error:
            number = next(_numbers)
            _kept[number] = error
            raise RuntimeError(f"{error} [user error {number}]") from None

    return wrapped


@contextlib.contextmanager
def user_errors() -> Iterator[None]:
    """Turns TensorFlow's error back into the `UserError` that caused it.

    Put it around the `next` (or training step) that reads a data set made by
    `keras_wsss.data.pipeline`. Other errors pass unchanged.

    Raises:
        UserError: the error raised while reading, e.g. `DataError`.
    """
    try:
        yield
    except tf.errors.OpError as error:
        found = _MARK.search(str(error))
        if found is None or int(found[1]) not in _kept:
            raise
        raise _kept.pop(int(found[1])) from None


def iterate(dataset: Iterable[Any]) -> Iterator[Any]:
    """Iterates over a data set; reading problems appear as `UserError`."""
    iterator = iter(dataset)
    while True:
        with user_errors():
            try:
                value = next(iterator)
            except StopIteration:
                return
        yield value
