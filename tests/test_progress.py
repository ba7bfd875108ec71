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


def test_a_terminal_shows_a_bar_in_its_place(monkeypatch, capsys):
    clock = iter(range(100))
    monkeypatch.setattr(module.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(module.sys.stderr, "isatty", lambda: True)
    assert list(module.progress("abcd", "reading")) == list("abcd")
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1
    assert shown.endswith("\n")
    first, *_, last = shown.strip().split("\r")
    assert (
        first
        == f"[{'#' * 12}{'.' * 12}] reading: 2 of 4, 1.0 a second, 2 s left"
    )
    assert last.startswith(f"[{'#' * 24}] reading: 4 of 4")


def test_an_unknown_number_has_no_time_left(monkeypatch, capsys):
    clock = iter(range(100))
    monkeypatch.setattr(module.time, "monotonic", lambda: next(clock))
    assert list(module.progress(iter("ab"), "reading")) == ["a", "b"]
    assert capsys.readouterr().err == "reading: 2, 1.0 a second\n"


def test_a_loop_that_is_left_ends_its_bar(monkeypatch, capsys):
    clock = iter(range(0, 1000, 5))
    monkeypatch.setattr(module.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(module.sys.stderr, "isatty", lambda: True)
    loop = module.progress("abcd", "reading")
    next(loop), next(loop)
    loop.close()
    assert capsys.readouterr().err.endswith("\n")
