"""Carries a `DataError` out of a tf.data thread to whoever iterates."""

import contextlib
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_wsss.errors import UserError

# An exception inside a tf.data thread reaches the iterating thread as text
# only, after TensorFlow has printed a traceback. So the thread returns a text
# in place of raising, a graph operation fails with it, and the text has a
# number under which the exception itself is kept here.
_MARK = re.compile(r"\[user error (\d+)\]")
_numbers = itertools.count()
_kept: dict[int, UserError] = {}

Signature = Sequence[tuple[tf.DType, Sequence[int | None]]]


def call_numpy(
    function: Callable[..., Sequence[np.ndarray]],
    inputs: Sequence[tf.Tensor],
    signature: Signature,
) -> list[tf.Tensor]:
    """`tf.numpy_function` whose user errors reach `user_errors`.

    Args:
        function: from arrays to arrays; may raise `UserError`.
        inputs: its arguments.
        signature: types and static shapes of what it returns.

    Returns:
        What `function` returns.
    """
    types = [kind for kind, _ in signature]

    # AutoGraph would translate the function, and make it many times slower.
    @tf.autograph.experimental.do_not_convert
    def call(*arguments: np.ndarray) -> tuple[np.ndarray | bytes, ...]:
        try:
            return b"", *function(*arguments)
        except UserError as error:
            number = next(_numbers)
            _kept[number] = error
            nothing = [np.zeros(0, kind.as_numpy_dtype) for kind in types]
            return f"[user error {number}] {error}".encode(), *nothing

    problem, *values = tf.numpy_function(call, inputs, [tf.string, *types])
    passed = tf.debugging.Assert(tf.equal(problem, ""), [problem])
    with tf.control_dependencies([passed]):
        values = [tf.identity(value) for value in values]
    for value, (_, shape) in zip(values, signature, strict=True):
        value.set_shape(shape)
    return values


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
