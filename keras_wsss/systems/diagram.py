"""The parts of a network and their shapes as an SVG picture.

python -m keras_wsss.systems.diagram --config NAME --out FILE.svg
"""

import dataclasses
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from absl import flags

_BOX_WIDTH, _LINE, _GAP_X, _GAP_Y, _MARGIN = 218, 17, 34, 46, 20
# Readable on light and on dark paper: the picture brings its own.
_STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#22252a}"
    ".name{font-weight:650;font-size:13px}.soft{fill:#626873}"
    "rect.box{fill:#fff;stroke:#9aa3b0}rect.data{fill:#eef3fa;stroke:#9aa3b0}"
    "path{fill:none;stroke:#9aa3b0;stroke-width:1.5}"
)


@dataclasses.dataclass
class Part:
    """A part of a model.

    Attributes:
        name: of the layer or nested model.
        lines: what is written below the name: shapes, number of weights.
        inputs: names of the parts whose outputs it takes.
        data: whether it is an input of the model.
    """

    name: str
    lines: tuple[str, ...]
    inputs: tuple[str, ...]
    data: bool


def parts_of(model: Any) -> list[Part]:
    """The outermost layers of a functional model, inputs first.

    Args:
        model: a `keras.Model` made of inputs and outputs; nested models are
            one part each.
    """
    parts: dict[str, Part] = {}

    def visit(tensor: Any) -> str:
        operation, index, _ = tensor._keras_history
        node = operation._inbound_nodes[index]
        inputs = tuple(dict.fromkeys(visit(t) for t in node.input_tensors))
        name = operation.name
        if name in parts:
            # A layer that is called twice takes all its inputs.
            parts[name].inputs = tuple(
                dict.fromkeys((*parts[name].inputs, *inputs))
            )
            return name
        shapes = dict.fromkeys(_shape(t) for t in node.output_tensors)
        lines = list(shapes)
        weights = getattr(operation, "count_params", lambda: 0)()
        if weights:
            frozen = not operation.trainable_variables
            lines.append(f"{weights:,} weights{', frozen' * frozen}")
        parts[name] = Part(name, tuple(lines), inputs, not node.input_tensors)
        return name

    for output in model.outputs:
        visit(output)
    return list(parts.values())


def draw_diagram(parts: Sequence[Part], title: str) -> str:
    """Draws parts as boxes in rows, from the inputs down.

    Returns:
        An SVG document.
    """
    depth: dict[str, int] = {}
    for part in parts:  # what a part takes comes before it
        depth[part.name] = 1 + max((depth[i] for i in part.inputs), default=-1)
    for part in parts:
        if part.data:  # just above what takes it first
            takers = [depth[p.name] for p in parts if part.name in p.inputs]
            depth[part.name] = min(takers, default=1) - 1
    rows: list[list[Part]] = [[] for _ in range(max(depth.values()) + 1)]
    for part in parts:
        rows[depth[part.name]].append(part)
    widest = max(len(row) for row in rows)
    width = 2 * _MARGIN + widest * (_BOX_WIDTH + _GAP_X) - _GAP_X
    boxes: list[str] = []
    places: dict[str, tuple[float, float, float]] = {}
    spans: list[tuple[float, float]] = []  # top and bottom of every row
    top = float(_MARGIN)
    for row in rows:
        extent = len(row) * (_BOX_WIDTH + _GAP_X) - _GAP_X
        left = (width - extent) / 2
        for part in row:
            height = _LINE * (1 + len(part.lines)) + 12
            places[part.name] = (left + _BOX_WIDTH / 2, top, top + height)
            boxes.append(_box(part, left, top, height))
            left += _BOX_WIDTH + _GAP_X
        bottom = max(places[part.name][2] for part in row)
        spans.append((top, bottom))
        top = bottom + _GAP_Y
    arrows = []
    for part in parts:
        for index, source in enumerate(part.inputs):
            first, last = depth[source], depth[part.name]
            passed = range(first + 1, last)
            # What skips rows goes down between their two middle boxes.
            free = all(len(rows[row]) % 2 == 0 for row in passed)
            lane = width / 2 + 7 * (index - (len(part.inputs) - 1) / 2)
            stops = [(lane, *spans[row]) for row in passed if free]
            arrows.append(
                _arrow(
                    places[source], spans[first][1], stops, places[part.name]
                )
            )
    height = top - _GAP_Y + _MARGIN
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" '
        f'height="{height:g}" viewBox="0 0 {width:g} {height:g}" role="img">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style>"
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" '
        'markerWidth="7" markerHeight="7" orient="auto"><path '
        'd="M1 1L7 4L1 7"/></marker></defs>'
        f'<rect width="100%" height="100%" fill="#fbfaf8"/>'
        f"{''.join(arrows)}{''.join(boxes)}</svg>\n"
    )


def _shape(tensor: Any) -> str:
    sides = " x ".join("?" if s is None else str(s) for s in tensor.shape)
    return f"{sides}  {tensor.dtype}"


def _box(part: Part, left: float, top: float, height: float) -> str:
    kind = "data" if part.data else "box"
    text = "".join(
        f'<text class="soft" x="{left + 12:g}" '
        f'y="{top + _LINE * (index + 2):g}">{escape(line)}</text>'
        for index, line in enumerate(part.lines)
    )
    return (
        f'<rect class="{kind}" x="{left:g}" y="{top:g}" rx="8" '
        f'width="{_BOX_WIDTH}" height="{height:g}"/><text class="name" '
        f'x="{left + 12:g}" y="{top + _LINE:g}">{escape(part.name)}</text>'
        f"{text}"
    )


def _arrow(
    source: tuple[float, float, float],
    bottom: float,
    stops: Sequence[tuple[float, float, float]],
    target: tuple[float, float, float],
) -> str:
    """From below a box, through gaps between others, to the top of a box.

    Args:
        source: middle, top and bottom of the first box.
        bottom: of its row.
        stops: x, and top and bottom of the rows passed.
        target: middle, top and bottom of the last box.
    """
    x, _, y = source
    path, y = f"M{x:g} {y:g}V{bottom:g}", bottom
    for across, top, end in (*stops, (target[0], target[1] - 1, None)):
        middle = (y + top) / 2
        path += f"C{x:g} {middle:g} {across:g} {middle:g} {across:g} {top:g}"
        if end is not None:
            path += f"V{end:g}"
            y = end
        x = across
    return f'<path marker-end="url(#tip)" d="{path}"/>'


def _main() -> None:
    from keras_wsss.commands.cli import run_app
    from keras_wsss.commands.config_flag import define_config
    from keras_wsss.quiet_start import load_tensorflow

    flag = define_config("Whose network is drawn.")
    out = flags.DEFINE_string("out", "model.svg", "SVG file to write.")

    def run(argv: list[str]) -> int:
        load_tensorflow()
        from keras_wsss.config import split_of
        from keras_wsss.files import write_text
        from keras_wsss.systems.network import build_network

        config = flag.load()
        net = build_network(config, split_of(config))
        parts = parts_of(net.model)
        write_text(out.value, draw_diagram(parts, config.name))
        print(f"Written: {Path(out.value)}")
        return 0

    run_app(run)


if __name__ == "__main__":
    _main()
