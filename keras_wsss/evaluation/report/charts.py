"""Charts for inline SVG: lines and bars that follow the page's colours.

Colours come from the style sheet's classes `s1` to `s6`, so that charts turn
dark with the page. Each chart is one image to a screen reader, with its
message as text; the numbers themselves stand in tables.
"""

import dataclasses
import math
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Points = Sequence[tuple[float, float]]

_COLOURS = 6  # classes s1, s2, ... of report.css
_WIDTH, _HEIGHT = 360, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 18, 10, 26
_MOST_POINTS = 200
_LETTER = 7.6  # width of one at the style sheet's largest size
_BESIDE = 130  # longest label beside its bars


@dataclasses.dataclass(frozen=True)
class Shape:
    """An element of a chart.

    Attributes:
        tag: its SVG element.
        attributes: of the element.
        text: in it.
    """

    tag: str
    attributes: Mapping[str, Any]
    text: str = ""


@dataclasses.dataclass(frozen=True)
class Chart:
    """A chart that the macro `svg` draws.

    Attributes:
        number: unique in the page; ids start with it.
        message: what a screen reader says of it.
        width: of its drawing.
        height: of its drawing.
        shapes: in the order of drawing.
    """

    number: str
    message: str
    width: int
    height: int
    shapes: Sequence[Shape]


def line_chart(
    number: str,
    message: str,
    series: Mapping[str, Points],
    *,
    x_range: tuple[float, float] | None = None,
    y_range: tuple[float, float] | None = None,
    steps: bool = False,
) -> Chart:
    """Draws lines over a common pair of axes.

    Args:
        number: unique in the page; ids start with it.
        message: what a screen reader says of it.
        series: name -> points (x, y) in the order of x; not finite ones are
            left out.
        x_range: of the axis, else that of the points.
        y_range: of the axis, else that of the points.
        steps: a value holds from the point before on.
    """
    lines = {
        name: _thinned([p for p in points if all(map(math.isfinite, p))])
        for name, points in series.items()
    }
    points = [p for line in lines.values() for p in line] or [(0.0, 0.0)]
    x_low, x_high = x_range or _extent([x for x, _ in points])
    y_low, y_high = y_range or _extent([y for _, y in points], nice=True)

    up_ticks = [(tick, _short(tick)) for tick in ticks(y_low, y_high)]
    across_ticks = [(tick, _short(tick)) for tick in ticks(x_low, x_high, 4)]
    # Room for whole labels: beside the axis, and half of the last one below.
    left = max(_LEFT, 6 + _longest(text for _, text in up_ticks))
    right = max(_RIGHT, _longest(text for _, text in across_ticks[-1:]) / 2)

    def place(x: float, y: float) -> tuple[float, float]:
        inner = _WIDTH - left - right, _HEIGHT - _TOP - _BOTTOM
        across = (x - x_low) / ((x_high - x_low) or 1.0)
        up = (y - y_low) / ((y_high - y_low) or 1.0)
        return left + across * inner[0], _TOP + (1 - up) * inner[1]

    shapes: list[Shape] = []
    for tick, text in up_ticks:
        y = place(x_low, tick)[1]
        shapes += [
            _path("grid", f"M{left:g} {y:.1f}H{_WIDTH - right:g}"),
            _text("end", left - 6, y + 4, text),
        ]
    for tick, text in across_ticks:
        x = place(tick, y_low)[0]
        shapes.append(_text("mid", x, _HEIGHT - 8, text))
    for index, line in enumerate(lines.values()):
        shapes += _line([place(*p) for p in line], index, steps)
    return Chart(number, message, _WIDTH, _HEIGHT, shapes)


def bar_chart(
    number: str,
    message: str,
    rows: Mapping[str, Mapping[str, float | None]],
) -> Chart:
    """Draws values in [0, 1] as horizontal bars.

    Args:
        number: unique in the page.
        message: what a screen reader says of it.
        rows: label -> series -> value; None has no bar, but a "n/a".
    """
    # A label beside its bars, or above them where one is long.
    above = _longest(rows) > _BESIDE
    bar, gap, right = 9, 12, 36
    left = 8 if above else max(60, 8 + _longest(rows))
    width = 400
    line = 14 if above else 0
    inner = width - left - right
    shapes: list[Shape] = []
    top = 8
    most = max((len(values) for values in rows.values()), default=0)
    height = top + len(rows) * (line + most * bar + gap) + 18
    for tick in (0, 0.25, 0.5, 0.75, 1):
        x = left + tick * inner
        shapes += [
            _path("grid", f"M{x:.1f} {top - 4}V{height - 18}"),
            _text("mid", x, height - 4, f"{tick:g}"),
        ]
    for label, values in rows.items():
        if above:
            shapes.append(_text("start", left, top + line - 4, label))
            top += line
        else:
            middle = top + len(values) * bar / 2 + 4
            shapes.append(_text("end", left - 8, middle, label))
        for index, value in enumerate(values.values()):
            y = top + index * bar
            length = min(max(value or 0.0, 0.0), 1.0) * inner
            text = "n/a" if value is None else f"{value:.2f}"
            place = {"x": left, "y": y + 1, "width": f"{length:.1f}"}
            name = f"bar {class_of_colour(index)}"
            shapes += [
                Shape(
                    "rect",
                    {"class": name, **place, "height": bar - 2, "rx": 2},
                ),
                _text("small", left + length + 4, y + bar - 1, text),
            ]
        top += most * bar + gap
    return Chart(number, message, width, height, shapes)


def class_of_colour(index: int) -> str:
    """Class of the style sheet that colours a chart's n-th series."""
    return f"s{index % _COLOURS + 1}"


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """About `count` round numbers from `low` to `high`."""
    if not high > low:
        return [low]
    rough = (high - low) / count
    base = 10.0 ** math.floor(math.log10(rough))
    step = base * min(f for f in (1, 2, 2.5, 5, 10) if f * base >= rough * 0.99)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [index * step for index in range(first, last + 1)]


def _extent(values: Sequence[float], nice: bool = False) -> tuple:
    low, high = min(values), max(values)
    if nice:
        low = min(low, 0.0)
        high = high if high > low else low + 1.0
        step = ticks(low, high)
        size = step[1] - step[0] if len(step) > 1 else high - low
        high = math.ceil(high / size - 1e-9) * size
        low = math.floor(low / size + 1e-9) * size
    return low, high


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Means of neighbours where there are more points than pixels."""
    size = -(-len(points) // _MOST_POINTS)
    if size <= 1:
        return points
    groups = [points[i : i + size] for i in range(0, len(points), size)]
    return [
        (group[-1][0], sum(y for _, y in group) / len(group))
        for group in groups
    ]


def _path(kind: str, commands: str) -> Shape:
    return Shape("path", {"class": kind, "d": commands})


def _text(kind: str, x: float, y: float, text: str) -> Shape:
    return Shape(
        "text", {"class": kind, "x": f"{x:.1f}", "y": f"{y:.1f}"}, text
    )


def _line(
    places: Sequence[tuple[float, float]], index: int, steps: bool
) -> list[Shape]:
    name = class_of_colour(index)
    if len(places) == 1:
        ((x, y),) = places
        place = {"cx": f"{x:.1f}", "cy": f"{y:.1f}", "r": 3}
        return [Shape("circle", {"class": f"dot {name}", **place})]
    path = ""
    for x, y in places:
        if not path:
            path = f"M{x:.1f} {y:.1f}"
        elif steps:
            path += f"V{y:.1f}H{x:.1f}"
        else:
            path += f"L{x:.1f} {y:.1f}"
    return [_path(f"line {name}", path)] if path else []


def _longest(texts: Iterable[str]) -> float:
    """Width of the longest text, as drawn on a phone, where it is widest."""
    # Letters of Chinese, Japanese and Korean are as wide as two.
    widths = (
        sum(1 + (unicodedata.east_asian_width(c) in "WF") for c in text)
        for text in texts
    )
    return _LETTER * max(widths, default=0)


def _short(value: float) -> str:
    if abs(value) >= 10_000:
        return f"{value / 1000:g}k"
    # A tick is a multiple of a step: what is left of 0 is rounding.
    return f"{value:.4g}" if abs(value) >= 1e-9 else "0"
