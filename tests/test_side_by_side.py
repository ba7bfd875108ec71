"""Work in threads: order, bounds, and what happens after an error."""

import threading

import pytest

from keras_wsss.side_by_side import Room, side_by_side

WAIT = 20  # seconds until a test that hangs gives up


def test_results_come_in_the_order_of_the_items():
    last_is_done = threading.Event()

    def work(number):
        if number == 1:
            assert last_is_done.wait(WAIT)
        if number == 3:
            last_is_done.set()
        return -number

    assert list(side_by_side(work, range(4), threads=3)) == [0, -1, -2, -3]


@pytest.mark.parametrize(("threads", "ahead"), [(1, 0), (2, 0), (2, 3)])
def test_no_more_is_taken_than_may_be_in_work(threads, ahead):
    taken = []

    def items():
        for number in range(20):
            taken.append(number)
            yield number

    for given, result in enumerate(
        side_by_side(lambda item: item, items(), threads, ahead), start=1
    ):
        assert result == given - 1
        assert len(taken) <= given - 1 + threads + ahead


def test_the_first_item_is_done_alone():
    """It traces the graphs that the others use."""
    done = []

    def items():
        yield 0
        assert done == [0]
        yield 1

    assert list(side_by_side(done.append, items(), threads=4)) == [None, None]


def test_after_an_error_nothing_goes_on():
    begun, threads = [], threading.active_count()

    def work(number):
        begun.append(number)
        if number == 2:
            raise ValueError("two")

    with pytest.raises(ValueError, match="two"):
        list(side_by_side(work, range(100), threads=2))
    assert max(begun) <= 3
    assert threading.active_count() == threads


def test_an_interrupt_waits_for_what_is_in_work():
    begun, go_on, finished = threading.Event(), threading.Event(), []

    def work(number):
        if number == 1:
            begun.set()
            assert go_on.wait(WAIT)
        finished.append(number)

    def items():
        yield from range(2)
        assert begun.wait(WAIT)
        go_on.set()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(side_by_side(work, items(), threads=2, ahead=1))
    assert finished == [0, 1]


def test_who_stops_asking_ends_the_work():
    threads = threading.active_count()
    results = side_by_side(lambda item: item, range(100), threads=3)
    assert next(results) == 0
    results.close()
    assert threading.active_count() == threads


def test_large_pictures_take_turns():
    room, together, most = Room(10), [], []

    def work(pixels):
        with room.for_pixels(pixels):
            together.append(pixels)
            most.append(list(together))
            together.remove(pixels)

    list(side_by_side(work, [4, 99, 4, 4, 4, 99, 10], threads=4))
    assert len(most) == 7
    for pixels in most:
        assert len(pixels) == 1 or sum(pixels) <= 10
