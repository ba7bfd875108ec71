"""Drawing of pictures with shapes: textures, backgrounds, occlusion."""

import dataclasses
import math
from collections.abc import Sequence

import cv2
import numpy as np

from keras_wsss.shapes.outlines import Outline

_SUPERSAMPLING = 2  # for soft edges
_FULL = 252  # halves and quarters of it are exact
_SUBPIXEL_BITS = 4  # fixed-point coordinates of cv2.fillPoly
_LARGEST_OVERLAP = 0.25  # of a thing that lies under another one
_SMALLEST_INSIDE = 0.85  # part of a thing that must lie in the picture
_SMALLEST_CONTRAST = 70.0  # RGB distance of a thing from what is behind it


@dataclasses.dataclass(frozen=True)
class Thing:
    """Something to draw.

    Attributes:
        outline: its silhouette in unit coordinates.
        radius: distance in pixels that the unit stands for.
        name: its category; None for a distractor without category.
        crowd: whether it is a group that no one would separate.
    """

    outline: Outline
    radius: float
    name: str | None = None
    crowd: bool = False


@dataclasses.dataclass
class DrawnThing:
    """A thing as it was drawn.

    Attributes:
        name: its category, None for a distractor.
        crowd: whether it is a group.
        outline: its outline in pixels (0 is the left or upper border).
        drawn: bool [S, S], its pixels had it been drawn last.
        visible: bool [S, S], those that nothing else covers.
    """

    name: str | None
    crowd: bool
    outline: Outline
    drawn: np.ndarray
    visible: np.ndarray

    @property
    def whole(self) -> bool:
        """Whether nothing covers or cuts it, so that its outline is true."""
        height, width = self.drawn.shape
        uncut = all(
            (part > 0).all() and (part < (width, height)).all()
            for part in self.outline.parts
        )
        return uncut and bool((self.drawn == self.visible).all())


def draw_scene(
    rng: np.random.Generator, size: int, things: Sequence[Thing]
) -> tuple[np.ndarray, list[DrawnThing]]:
    """Draws things at random places over a cluttered background.

    Later things lie over earlier ones, which they cover by a quarter at
    most. A thing that finds no place is left out.

    Args:
        rng: random numbers; the result is a function of its state.
        size: S, side of the picture in pixels.
        things: what to draw.

    Returns:
        Picture, uint8 [S, S, 3], RGB, and what was drawn, in drawing order.
    """
    picture = _background(rng, size)
    instances: list[DrawnThing] = []
    for thing in things:
        placed = _place(rng, size, thing, instances)
        if placed is None:
            continue
        outline, alpha = placed
        drawn = inside(alpha)
        for instance in instances:
            instance.visible &= ~drawn
        _paint(rng, picture, alpha, drawn)
        instances.append(
            DrawnThing(thing.name, thing.crowd, outline, drawn, drawn.copy())
        )
    # Grain hides that textures are smooth functions.
    grain = rng.standard_normal((size, size), np.float32)
    picture += rng.uniform(1, 7) * grain[..., None]
    return np.clip(picture, 0, 255).astype(np.uint8), instances


def silhouette(outline: Outline, size: int) -> np.ndarray:
    """Coverage of every pixel by an outline in pixels, float32 [S, S]."""
    scale = _SUPERSAMPLING * 2**_SUBPIXEL_BITS
    # A pixel's centre is half a pixel right of and below its corner.
    centre = 2 ** (_SUBPIXEL_BITS - 1)
    canvas = np.zeros((size * _SUPERSAMPLING,) * 2, np.uint8)
    for polygons, value in ((outline.parts, _FULL), (outline.holes, 0)):
        for polygon in polygons:
            points = np.round(polygon * scale - centre).astype(np.int32)
            cv2.fillPoly(canvas, [points], value, shift=_SUBPIXEL_BITS)
    coverage = cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA)
    return coverage.astype(np.float32) / _FULL


def inside(coverage: np.ndarray) -> np.ndarray:
    """Pixels of a silhouette, bool [S, S].

    cv2.fillPoly also fills the pixels that a border crosses. With two
    samples a pixel and side, "more than half" makes up for that, and areas
    come out right on average; "half or more" would add half a pixel all
    around.
    """
    return coverage > 0.5


def varied(rng: np.random.Generator, outline: Outline) -> Outline:
    """A mirrored, turned, stretched and slightly bent copy of an outline."""
    angle = math.radians(rng.uniform(-30, 30))
    stretch = math.exp(rng.uniform(-0.2, 0.2))
    flip = rng.choice([-1.0, 1.0])
    turn = np.array(
        [
            [math.cos(angle), -math.sin(angle)],
            [math.sin(angle), math.cos(angle)],
        ]
    )
    matrix = turn @ np.diag([flip * stretch, 1 / stretch])
    phases = rng.uniform(0, 2 * np.pi, 2)
    bend = rng.uniform(0, 0.07)

    def change(points: np.ndarray) -> np.ndarray:
        bent = points + bend * np.sin(2.5 * points[:, ::-1] + phases)
        return bent @ matrix.T

    return outline.moved(change)


def blob(rng: np.random.Generator) -> Outline:
    """A random silhouette that belongs to no category: lobed or jagged."""
    angles = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    radius = np.full(48, 0.7)
    for frequency in (1, 2, 3, 5, 7):
        radius += rng.normal(0, 0.2 / frequency) * np.sin(
            frequency * angles + rng.uniform(0, 2 * np.pi)
        )
    if rng.random() < 0.4:  # jagged: few corners at uneven angles
        keep = np.sort(rng.choice(48, rng.integers(5, 9), replace=False))
        angles, radius = angles[keep], radius[keep]
    radius = np.clip(radius, 0.25, 1.1)[:, None]
    return Outline(
        (radius * np.stack([np.cos(angles), np.sin(angles)], axis=1),)
    )


def crowd_of(rng: np.random.Generator, outline: Outline) -> Outline:
    """A cluster of 5 to 8 small copies of an outline."""
    parts: list[np.ndarray] = []
    holes: list[np.ndarray] = []
    for _ in range(rng.integers(5, 9)):
        centre = rng.normal(0, 0.55, 2).clip(-0.8, 0.8)
        copy = _placed(varied(rng, outline), 0.3, centre)
        parts.extend(copy.parts)
        holes.extend(copy.holes)
    return Outline(tuple(parts), tuple(holes))


def _place(
    rng: np.random.Generator,
    size: int,
    thing: Thing,
    instances: Sequence[DrawnThing],
) -> tuple[Outline, np.ndarray] | None:
    """Outline in pixels and coverage at a free place, or None."""
    outline = thing.outline if thing.crowd else varied(rng, thing.outline)
    margin = 0.6 * thing.radius
    for _ in range(12):
        centre = rng.uniform(margin, size - margin, 2)
        placed = _placed(outline, thing.radius, centre)
        points = np.concatenate(placed.parts)
        within = ((points >= 0) & (points <= size)).all(axis=1).mean()
        if within < _SMALLEST_INSIDE:
            continue
        alpha = silhouette(placed, size)
        drawn = inside(alpha)
        free = all(
            np.count_nonzero(instance.visible & ~drawn)
            >= (1 - _LARGEST_OVERLAP) * np.count_nonzero(instance.drawn)
            for instance in instances
        )
        if free and drawn.any():
            return placed, alpha
    return None


def _paint(
    rng: np.random.Generator,
    picture: np.ndarray,
    alpha: np.ndarray,
    drawn: np.ndarray,
) -> None:
    """Blends a textured, shaded thing into the picture, in place."""
    behind = picture[drawn].mean(axis=0)
    for _ in range(6):
        colours = _colours(rng, saturation=(60, 230))
        contrast = np.linalg.norm(colours.mean(axis=0) - behind)
        if contrast >= _SMALLEST_CONTRAST:
            break
    box = _box(drawn, margin=8)  # room for the shadow
    region, alpha = picture[box], alpha[box]
    height, width = alpha.shape
    texture = _texture(rng, max(height, width), colours)[:height, :width]
    if rng.random() < 0.6:
        offset = rng.integers(-3, 4, 2)
        shadow = np.roll(alpha, offset, axis=(0, 1))
        shadow = cv2.GaussianBlur(shadow, (0, 0), 2)
        region *= (1 - rng.uniform(0.2, 0.5) * shadow)[..., None]
    if rng.random() < 0.35:  # a rim, darker or lighter than the inside
        inner = cv2.erode(alpha, np.ones((3, 3), np.uint8))
        texture += (1 - inner)[..., None] * rng.uniform(-110, 80)
    region += alpha[..., None] * (texture - region)


def _box(drawn: np.ndarray, margin: int) -> tuple[slice, slice]:
    """Rows and columns of the True pixels and a margin around them."""
    used = (np.flatnonzero(drawn.any(axis=axis)) for axis in (1, 0))
    rows, columns = (
        slice(max(0, each[0] - margin), each[-1] + margin + 1) for each in used
    )
    return rows, columns


def _placed(outline: Outline, factor: float, centre: np.ndarray) -> Outline:
    return outline.moved(lambda points: factor * points + centre)


def _background(rng: np.random.Generator, size: int) -> np.ndarray:
    """Textured regions with lines over them, float32 [S, S, 3]."""
    picture = _background_texture(rng, size)
    for _ in range(rng.integers(0, 4)):  # regions with soft wavy borders
        field = _noise(rng, size, int(rng.integers(2, 5)))
        field = field + 1.5 * _ramp(size, rng.uniform(0, 2 * np.pi))
        alpha = np.clip((field - rng.uniform(0.8, 1.7)) * size / 6, 0, 1)
        picture += alpha[..., None] * (_background_texture(rng, size) - picture)
    for _ in range(rng.integers(0, 6)):
        start = rng.uniform(0, size, 2)
        bends = rng.normal(0, size / 5, (rng.integers(2, 5), 2))
        points = np.cumsum(np.concatenate([start[None], bends]), axis=0)
        cv2.polylines(
            picture,
            [np.round(points * 16).astype(np.int32)],
            False,
            _colours(rng, saturation=(10, 160))[0].tolist(),
            int(rng.integers(1, 3)),
            cv2.LINE_AA,
            shift=4,
        )
    return picture


def _background_texture(rng: np.random.Generator, size: int) -> np.ndarray:
    """A texture of duller colours and less contrast than things have."""
    first, second = _colours(rng, saturation=(10, 140))
    second = first + rng.uniform(0.2, 0.9) * (second - first)
    return _texture(rng, size, np.stack([first, second]))


def _colours(
    rng: np.random.Generator, saturation: tuple[float, float]
) -> np.ndarray:
    """Two related colours, float32 [2, 3], RGB in [0, 255]."""
    hue = rng.uniform(0, 180)
    hues = (hue, hue + rng.normal(0, 25))
    pixels = [
        (value % 180, rng.uniform(*saturation), rng.uniform(70, 250))
        for value in hues
    ]
    hsv = np.array([pixels]).astype(np.uint8)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0].astype(np.float32)


def _texture(
    rng: np.random.Generator, size: int, colours: np.ndarray
) -> np.ndarray:
    """Two colours mixed by a random pattern, float32 [S, S, 3]."""
    kind = rng.integers(6)
    angle = rng.uniform(0, np.pi)
    period = rng.uniform(5, 18)
    across = _ramp(size, angle) * size * 2 * np.pi / period
    along = _ramp(size, angle + np.pi / 2) * size * 2 * np.pi / period
    if kind == 0:  # gradient
        mixture = _ramp(size, rng.uniform(0, 2 * np.pi))
    elif kind == 1:  # stripes
        mixture = 0.5 + 1.5 * np.sin(across)
    elif kind == 2:  # chequers
        mixture = 0.5 + 3 * np.sin(across) * np.sin(along)
    elif kind == 3:  # dots
        mixture = 2.0 * (np.cos(across) + np.cos(along)) - 1.5
    elif kind == 4:  # marble
        mixture = 0.5 + np.sin(0.6 * across + 6 * _noise(rng, size, 4))
    else:  # clouds
        mixture = 2.4 * _noise(rng, size, int(rng.integers(4, 20))) - 0.7
    mixture = np.clip(mixture, 0, 1).astype(np.float32)[..., None]
    light = 1 + rng.uniform(0, 0.35) * (_ramp(size, rng.uniform(0, 7)) - 0.5)
    texture = colours[0] * (1 - mixture) + colours[1] * mixture
    return (texture * light[..., None]).astype(np.float32)


def _ramp(size: int, angle: float) -> np.ndarray:
    """A plane that rises from about 0 to 1 in a direction, [S, S]."""
    line = (np.arange(size, dtype=np.float32) + 0.5) / size - 0.5
    return 0.5 + math.cos(angle) * line[None] + math.sin(angle) * line[:, None]


def _noise(rng: np.random.Generator, size: int, cells: int) -> np.ndarray:
    """Smooth noise in [0, 1] with about `cells` bumps a side, [S, S]."""
    coarse = rng.random((cells + 1, cells + 1), np.float32)
    smooth = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)
    return np.clip(smooth, 0, 1)
