"""Work on many items side by side: in order, in bounded memory."""

import collections
import contextlib
import os
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent import futures
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def cores() -> int:
    """Those that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        return os.cpu_count() or 1


def default_threads() -> int:
    """Pictures in work at a time: one more than there are cores, 8 at most.

    TensorFlow and the decoders of files release Python's lock, what they do
    for a single picture seldom keeps all cores busy, and one may wait for the
    disk.
    """
    return min(cores() + 1, 8)


def side_by_side(
    work: Callable[[_Item], _Result],
    items: Iterable[_Item],
    threads: int,
    ahead: int = 0,
) -> Generator[_Result, None, None]:
    """Results of `work`, in the order of the items.

    An item is taken only when fewer than `threads` + `ahead` are in work or
    wait to be given on, so memory does not grow with their number. When
    anything is raised, here or by who asks for results, no more items are
    begun, and those in work are waited for: nothing goes on behind the
    error.

    Args:
        work: called in a thread.
        items: taken one by one, in the caller's thread.
        threads: items in work at a time.
        ahead: further results that may wait.

    Raises:
        Exception: what `work` raised for the first item that failed.
    """
    pool = futures.ThreadPoolExecutor(threads)
    waiting: collections.deque[futures.Future[_Result]] = collections.deque()
    try:
        for number, item in enumerate(items):
            waiting.append(pool.submit(work, item))
            # The first one alone: it makes and traces what all others use.
            if not number or len(waiting) >= threads + ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


class Room:
    """Lets large pictures take turns, and small ones work side by side.

    Args:
        pixels: that may be in work together. A picture that has more goes
            alone.
    """

    def __init__(self, pixels: int):
        self._pixels = pixels
        self._used = 0
        self._change = threading.Condition()

    @contextlib.contextmanager
    def for_pixels(self, pixels: int) -> Iterator[None]:
        """Waits until there is room for a picture; it ends with the block."""
        with self._change:
            self._change.wait_for(
                lambda: not self._used or self._used + pixels <= self._pixels
            )
            self._used += pixels
        try:
            yield
        finally:
            with self._change:
                self._used -= pixels
                self._change.notify_all()
