"""Outlines of the drawn categories, as polygons around the origin."""

import dataclasses
import itertools
import math
from collections.abc import Callable

import numpy as np


@dataclasses.dataclass(frozen=True)
class Outline:
    """A silhouette: the union of its parts, less its holes.

    Attributes:
        parts: float [N, 2] polygons (x right, y down), about within the
            unit disc. They may overlap.
        holes: float [N, 2] polygons cut out of the parts.
    """

    parts: tuple[np.ndarray, ...]
    holes: tuple[np.ndarray, ...] = ()

    def moved(self, change: Callable[[np.ndarray], np.ndarray]) -> "Outline":
        """The outline with `change` applied to the points of each polygon."""
        return Outline(
            tuple(change(part) for part in self.parts),
            tuple(change(hole) for hole in self.holes),
        )


def arc(
    radius: float,
    start: float = 0.0,
    end: float = 360.0,
    centre: tuple[float, float] = (0.0, 0.0),
    stretch: tuple[float, float] = (1.0, 1.0),
    points: int = 40,
) -> np.ndarray:
    """Points of an arc; degrees, clockwise on the screen from the right."""
    whole = abs(end - start) >= 360
    angles = np.radians(np.linspace(start, end, points, endpoint=not whole))
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return circle * radius * np.array(stretch) + np.array(centre)


def rectangle(
    left: float, top: float, right: float, bottom: float
) -> np.ndarray:
    """The four corners of a rectangle."""
    return np.array(
        [(left, top), (right, top), (right, bottom), (left, bottom)], float
    )


def regular(corners: int, radius: float) -> np.ndarray:
    """A regular polygon with a corner at the top."""
    return arc(radius, -90, 270, points=corners)


def stroke(points: np.ndarray, width: float) -> tuple[np.ndarray, ...]:
    """A thick polyline with round ends: one polygon per segment.

    Args:
        points: float [N, 2], the corners of the line.
        width: thickness in the same unit.
    """
    parts = []
    for start, end in itertools.pairwise(points):
        angle = math.degrees(math.atan2(*(end - start)[::-1]))
        parts.append(
            np.concatenate(
                [
                    arc(
                        width / 2, angle - 90, angle + 90, tuple(end), (1, 1), 9
                    ),
                    arc(
                        width / 2,
                        angle + 90,
                        angle + 270,
                        tuple(start),
                        (1, 1),
                        9,
                    ),
                ]
            )
        )
    return tuple(parts)


def _crescent() -> np.ndarray:
    outer = arc(0.9, 50, 310)
    inner = arc(0.72, 287, 73, centre=(0.37, 0.0))
    return np.concatenate([outer, inner]) + np.array([0.15, 0.0])


def _drop() -> np.ndarray:
    round_end = arc(0.58, -25, 205, centre=(0.0, 0.36))
    return np.concatenate(
        [round_end, [(-0.24, -0.45), (0.0, -1.0)], [(0.24, -0.45)]]
    )


def _arch() -> np.ndarray:
    outer = arc(0.85, 180, 360, centre=(0.0, -0.05))
    inner = arc(0.4, 360, 180, centre=(0.0, -0.05))
    right, left = [(0.85, 0.85), (0.4, 0.85)], [(-0.4, 0.85), (-0.85, 0.85)]
    return np.concatenate([outer, right, inner, left])


def _star() -> np.ndarray:
    points = regular(10, 1.0)
    points[1::2] *= 0.45
    return points


def _heart() -> np.ndarray:
    t = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    x = 16 * np.sin(t) ** 3
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return np.stack([x, -y - 2.5], axis=1) / 17


def _clover() -> tuple[np.ndarray, ...]:
    leaves = [
        arc(0.42, centre=(x, y))
        for x, y in ((0, -0.5), (-0.48, 0.1), (0.48, 0.1))
    ]
    stem = np.array([(-0.1, 0.0), (0.1, 0.0), (0.28, 0.95), (-0.28, 0.95)])
    return (*leaves, arc(0.25, centre=(0, -0.05)), stem)


def _fish() -> tuple[np.ndarray, ...]:
    body = arc(1.0, centre=(-0.22, 0.0), stretch=(0.72, 0.46))
    tail = np.array([(0.25, 0.0), (0.98, -0.55), (0.8, 0.0), (0.98, 0.55)])
    fin = np.array([(-0.4, -0.35), (0.0, -0.78), (0.12, -0.3)])
    return body, tail, fin


def _mushroom() -> tuple[np.ndarray, ...]:
    cap = arc(1.0, 180, 360, centre=(0.0, 0.1), stretch=(0.92, 0.9))
    stem = np.array([(-0.22, 0.0), (0.22, 0.0), (0.3, 0.9), (-0.3, 0.9)])
    return cap, stem


def _polygon(*points: tuple[float, float]) -> np.ndarray:
    return np.array(points, float)


# Every category of the split "shapes", source ones first.
OUTLINES = {
    "disc": Outline((arc(0.82),)),
    "ring": Outline((arc(0.9),), (arc(0.5),)),
    "square": Outline((rectangle(-0.75, -0.75, 0.75, 0.75),)),
    "triangle": Outline((regular(3, 1.0) + np.array([0.0, 0.2]),)),
    "cross": Outline(
        (rectangle(-0.28, -0.9, 0.28, 0.9), rectangle(-0.9, -0.28, 0.9, 0.28))
    ),
    "hourglass": Outline(
        (
            _polygon((-0.7, -0.85), (0.7, -0.85), (0.15, 0.0), (-0.15, 0.0)),
            _polygon((-0.15, 0.0), (0.15, 0.0), (0.7, 0.85), (-0.7, 0.85)),
        )
    ),
    "crescent": Outline((_crescent(),)),
    "bar": Outline((rectangle(-1.0, -0.26, 1.0, 0.26),)),
    "drop": Outline((_drop(),)),
    "half disc": Outline((arc(0.95, 180, 360, centre=(0.0, 0.4)),)),
    "corner": Outline(
        (rectangle(-0.8, -0.8, -0.25, 0.8), rectangle(-0.8, 0.25, 0.8, 0.8))
    ),
    "tee": Outline(
        (
            rectangle(-0.85, -0.8, 0.85, -0.25),
            rectangle(-0.28, -0.8, 0.28, 0.85),
        )
    ),
    "zigzag": Outline(
        stroke(
            _polygon((-0.85, 0.35), (-0.3, -0.4), (0.3, 0.4), (0.85, -0.35)),
            0.36,
        )
    ),
    "arch": Outline((_arch(),)),
    "star": Outline((_star(),)),
    "heart": Outline((_heart(),)),
    "arrow": Outline(
        (
            _polygon((-0.95, -0.2), (0.1, -0.2), (0.1, 0.2), (-0.95, 0.2)),
            _polygon((0.05, -0.65), (0.95, 0.0), (0.05, 0.65)),
        )
    ),
    "clover": Outline(_clover()),
    "fish": Outline(_fish()),
    "mushroom": Outline(_mushroom()),
}
