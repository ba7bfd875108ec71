"""The progress line: all items pass, lines come at intervals."""

from keras_wsss import progress as module


def test_items_pass_and_lines_say_how_far(monkeypatch, capsys):
    clock = iter(range(100))  # each look at the clock takes a second
    monkeypatch.setattr(module.time, "monotonic", lambda: next(clock))
    assert list(module.progress(iter("abcdef"), "reading", 6)) == list("abcdef")
    assert capsys.readouterr().err.splitlines() == [
        "reading: 2 of 6, 1.0 a second, 4 s left",
        "reading: 4 of 6, 1.0 a second, 2 s left",
        "reading: 6 of 6, 1.0 a second, 0 s left",
    ]


def test_short_loops_say_nothing(capsys):
    assert list(module.progress([1, 2], "reading")) == [1, 2]
    assert capsys.readouterr().err == ""
