"""Random silhouettes, of which general features can be learned from tags."""

import math
from collections.abc import Callable, Iterable

import cv2
import numpy as np

from keras_wsss.shapes.drawing import silhouette
from keras_wsss.shapes.outlines import (
    Outline,
    arc,
    rectangle,
    regular,
    stroke,
)

_SIDE = 48  # of the pictures in which silhouettes are compared


def glyphs(
    seed: int, count: int, unlike: Iterable[Outline], largest_overlap: float
) -> dict[str, Outline]:
    """Makes silhouettes that differ from each other and from given ones.

    They are thick polylines, lobed blobs, irregular polygons, and compounds
    of simple bodies, some with a hole: letters and things of no language.

    Args:
        seed: the result is a function of the arguments.
        count: how many to make.
        unlike: silhouettes that none may look like.
        largest_overlap: intersection over union, maximised over turns and
            mirroring (see `likeness`), from which two look alike.

    Returns:
        "glyph00", "glyph01", ... and their outlines.
    """
    rng = np.random.default_rng(seed)
    makers = (_polyline, _lobed, _polygon, _compound)
    taken = [_normal_forms(outline) for outline in unlike]
    found: dict[str, Outline] = {}
    while len(found) < count:
        outline = _centred(makers[len(found) % len(makers)](rng))
        forms = _normal_forms(outline)
        if not 0.2 < silhouette_area(outline) < 2.6:
            continue
        if all(_likeness(forms[0], other) < largest_overlap for other in taken):
            taken.append(forms)
            found[f"glyph{len(found):02d}"] = outline
    return found


def likeness(one: Outline, other: Outline) -> float:
    """Intersection over union at equal area, over all turns and mirrorings.

    Args:
        one: a silhouette.
        other: another one.

    Returns:
        0 to 1, where 1 is the same silhouette; the largest value over turns
        in steps of 10 degrees, with and without mirroring.
    """
    return _likeness(_normal_forms(one)[0], _normal_forms(other))


def silhouette_area(outline: Outline) -> float:
    """Area of an outline within [-1.2, 1.2], in its own unit squared."""
    return float(_raster(outline, 1.0).sum()) * (2.4 / _SIDE) ** 2


def _raster(outline: Outline, scale: float) -> np.ndarray:
    half = _SIDE / 2
    return silhouette(
        outline.moved(lambda p: p * scale * half / 1.2 + half), _SIDE
    )


def _normal_forms(outline: Outline) -> np.ndarray:
    """Turned and mirrored pictures of equal area, bool [72, side^2]."""
    scale = 1 / max(math.sqrt(silhouette_area(outline)), 1e-3)
    upright = _raster(outline, scale)
    moments = cv2.moments(upright)
    mass = max(moments["m00"], 1e-6)
    centre = (moments["m10"] / mass, moments["m01"] / mass)
    middle = np.array([_SIDE / 2 - centre[0], _SIDE / 2 - centre[1]])
    forms = []
    for picture, x in ((upright, centre[0]), (upright[:, ::-1], None)):
        shift = middle.copy()
        if x is None:
            x, shift[0] = _SIDE - 1 - centre[0], 1 - middle[0]
        for angle in range(0, 360, 10):
            matrix = cv2.getRotationMatrix2D((x, centre[1]), angle, 1.0)
            matrix[:, 2] += shift
            turned = cv2.warpAffine(
                np.ascontiguousarray(picture), matrix, (_SIDE, _SIDE)
            )
            forms.append(turned.ravel() >= 0.5)
    return np.stack(forms)


def _likeness(form: np.ndarray, forms: np.ndarray) -> float:
    both = (form & forms).sum(axis=1)
    either = (form | forms).sum(axis=1)
    return float((both / np.maximum(either, 1)).max())


def _centred(outline: Outline) -> Outline:
    """Moves and scales an outline to fill the unit disc."""
    points = np.concatenate(outline.parts)
    centre = (points.min(axis=0) + points.max(axis=0)) / 2
    radius = np.linalg.norm(points - centre, axis=1).max()
    return outline.moved(lambda p: (p - centre) / radius)


def _polyline(rng: np.random.Generator) -> Outline:
    """A walk over a grid of 3 x 3 points, as in letters."""
    grid = np.stack(np.meshgrid((-0.7, 0, 0.7), (-0.8, 0, 0.8)), axis=-1)
    order = rng.permutation(9)[: rng.integers(3, 6)]
    return Outline(stroke(grid.reshape(9, 2)[order], rng.uniform(0.26, 0.42)))


def _lobed(rng: np.random.Generator) -> Outline:
    """A smooth body with uneven lobes; every third one has a hole."""
    angles = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    radius = np.full(60, 0.7)
    for frequency in range(1, 6):
        radius += rng.normal(0, 0.26 / math.sqrt(frequency)) * np.sin(
            frequency * angles + rng.uniform(0, 2 * np.pi)
        )
    radius = np.clip(radius, 0.22, None)[:, None]
    body = radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    hole = rng.random() < 0.33
    return Outline((body,), (0.45 * body,) if hole else ())


def _polygon(rng: np.random.Generator) -> Outline:
    """An uneven, mostly concave polygon."""
    corners = int(rng.integers(4, 10))
    steps = rng.dirichlet(np.full(corners, 3.0))
    angles = 2 * np.pi * np.cumsum(steps)
    radius = rng.uniform(0.3, 1.0, corners)[:, None]
    return Outline(
        (radius * np.stack([np.cos(angles), np.sin(angles)], axis=1),)
    )


def _compound(rng: np.random.Generator) -> Outline:
    """Two or three simple bodies side by side; every third has a hole."""
    bodies: tuple[Callable[[], np.ndarray], ...] = (
        lambda: arc(rng.uniform(0.3, 0.6)),
        lambda: arc(0.7, 180, 360),
        lambda: rectangle(-0.7, -0.2, 0.7, 0.2),
        lambda: rectangle(-0.4, -0.4, 0.4, 0.4),
        lambda: regular(3, rng.uniform(0.4, 0.8)),
        lambda: arc(0.5, stretch=(0.5, 1.3)),
    )
    parts = []
    place = np.zeros(2)
    for _ in range(rng.integers(2, 4)):
        angle = rng.choice([0, 45, 90, 135, 180, 270]) * math.pi / 180
        cos, sin = math.cos(angle), math.sin(angle)
        turn = np.array([[cos, -sin], [sin, cos]])
        body = bodies[rng.integers(len(bodies))]()
        parts.append(body @ turn.T + place)
        direction = rng.uniform(0, 2 * np.pi)
        step = rng.uniform(0.45, 0.75)
        place = place + step * np.array(
            [math.cos(direction), math.sin(direction)]
        )
    hole = rng.random() < 0.33
    centre = parts[0].mean(axis=0)
    holes = (0.5 * (parts[0] - centre) + centre,) if hole else ()
    return Outline(tuple(parts), holes)
