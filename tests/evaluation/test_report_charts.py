"""Charts: where their points lie, and what a screen reader is told."""

import re
import xml.etree.ElementTree as ElementTree

import pytest

from keras_wsss.evaluation.report import charts
from keras_wsss.evaluation.report.charts import ticks
from keras_wsss.evaluation.report.page import environment

MACROS = environment().get_template("macros.html").module


def line_chart(*arguments, **options):
    return str(MACROS.svg(charts.line_chart(*arguments, **options)))


def bar_chart(*arguments):
    return str(MACROS.svg(charts.bar_chart(*arguments)))


def elements(svg, name):
    return list(ElementTree.fromstring(svg).iter(name))


def path_points(svg):
    """Coordinates of the only line, which consists of straight parts."""
    path = next(
        e.get("d") for e in elements(svg, "path") if "line" in e.get("class")
    )
    numbers = re.findall(r"[ML]([\d.]+) ([\d.]+)", path)
    return [(float(x), float(y)) for x, y in numbers]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0, 750, [0, 200, 400, 600]),
        (0.0001, 0.0015, [0.0005, 0.001, 0.0015]),
        (-3, 7, [-2, 0, 2, 4, 6]),
        (5, 5, [5]),
    ],
)
def test_ticks_are_round_and_within(low, high, expected):
    assert ticks(low, high) == pytest.approx(expected)


def test_line_lies_where_its_values_are():
    svg = line_chart(
        "c", "falls", {"loss": [(0, 1.0), (5, 0.5), (10, 0.0)]}, y_range=(0, 1)
    )
    (x0, y0), (x1, y1), (x2, y2) = path_points(svg)
    assert x1 - x0 == pytest.approx(x2 - x1)
    assert y0 < y1 < y2  # down the page
    assert y1 - y0 == pytest.approx(y2 - y1)


def test_what_is_not_finite_and_what_is_alone_can_be_drawn():
    svg = line_chart("c", "gap", {"a": [(0, 1), (1, float("nan")), (2, 3)]})
    assert len(path_points(svg)) == 2
    assert len(elements(line_chart("c", "dot", {"a": [(3, 4)]}), "circle")) == 1
    assert elements(line_chart("c", "none", {"a": []}), "title")


def test_a_long_run_is_thinned_to_means():
    points = [(step, step % 2) for step in range(5_000)]
    drawn = path_points(line_chart("c", "many", {"a": points}, y_range=(0, 1)))
    assert len(drawn) <= 200
    heights = {y for _, y in drawn}
    assert max(heights) - min(heights) < 10  # all near the mean, 0.5


def test_bars_are_as_long_as_their_values():
    svg = bar_chart(
        "b", "two", {"cat": {"raw": 0.25, "best": 0.5}, "dog": {"raw": None}}
    )
    widths = [float(e.get("width")) for e in elements(svg, "rect")]
    assert widths[1] == pytest.approx(2 * widths[0], abs=0.2)
    assert widths[2] == 0
    texts = [e.text for e in elements(svg, "text")]
    assert {"cat", "dog", "0.25", "0.50", "n/a"} <= set(texts)


def test_labels_have_room():
    svg = line_chart("a", "m", {"rate": [(0, 0.000125), (123456, 0.0)]})
    for text in elements(svg, "text"):
        room = float(text.get("x"))
        if text.get("class") == "end":
            assert room >= 7 * len(text.text)
        else:
            assert room + 3.5 * len(text.text) <= 360
    for label in ("bus", "an uncommonly long name of a category", "猫と犬" * 4):
        svg = bar_chart("b", "m", {label: {"ours": 0.5}})
        (text,) = [t for t in elements(svg, "text") if t.text == label]
        room = float(text.get("x"))
        if text.get("class") == "start":
            room = 400 - room
        assert room >= 7 * len(label.encode("shift_jis"))  # 2 bytes if wide


def test_every_chart_tells_its_message_and_escapes_names():
    for svg in (
        line_chart("x1", "a <b> & c", {"<i>": [(0, 1)]}),
        bar_chart("x2", "a <b> & c", {"<i>": {"s": 1.0}}),
    ):
        root = ElementTree.fromstring(svg)
        assert root.get("role") == "img"
        title = root.find("title")
        assert title.text == "a <b> & c"
        assert root.get("aria-labelledby") == title.get("id")
    legend = str(MACROS.legend(["<i>"]))
    assert "&lt;i&gt;" in legend
    assert "<i>" not in legend
