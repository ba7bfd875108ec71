"""Colours of categories on screens, which stay apart to all eyes."""

import functools

import numpy as np

_OKABE_ITO = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
)
# What an eye makes of linear RGB: the usual one, and those without cones for
# red, green or blue (Machado et al., IEEE TVCG 2009, severity 1).
_EYES = (
    np.eye(3),
    np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
)
_TO_XYZ = np.array(
    [
        [0.4124, 0.3576, 0.1805],
        [0.2126, 0.7152, 0.0722],
        [0.0193, 0.1192, 0.9505],
    ]
)


@functools.cache
def bright_palette() -> np.ndarray:
    """Colours of categories on screens, float32 [256, 3], 0 to 255.

    They stay apart for those who see less red or green (mask files keep the
    VOC colours, as other tools expect). The first are those of Okabe and Ito,
    "Color Universal Design" (2008); each of the others is as far as can be
    from all before it, to the eye that sees the least of the difference.
    """
    levels = np.linspace(0, 255, 12)
    grid = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(-1, 3)
    light = _lab(grid)
    colourful = np.hypot(light[:, 1], light[:, 2]) > 35  # white is outline
    grid = grid[colourful & (light[:, 0] > 45) & (light[:, 0] < 92)]
    seen = _as_seen(grid)
    chosen = np.array(_OKABE_ITO, float)
    distance = np.min([_apart(seen, c) for c in _as_seen(chosen)], axis=0)
    while len(chosen) < 255:
        best = int(np.argmax(distance))
        chosen = np.vstack([chosen, grid[best]])
        distance = np.minimum(distance, _apart(seen, seen[best]))
    bright = np.vstack([[51, 51, 51], chosen]).astype(np.float32)
    bright.flags.writeable = False  # everybody gets this one
    return bright


def _as_seen(colours: np.ndarray) -> np.ndarray:
    """sRGB [N, 3] in CIELAB, to usual and to other eyes: [N, 4, 3]."""
    return np.stack([_lab(colours, eye) for eye in _EYES], axis=1)


def _apart(seen: np.ndarray, one: np.ndarray) -> np.ndarray:
    """Least distance to any eye: [N, 4, 3] and [4, 3] to [N]."""
    return np.linalg.norm(seen - one, axis=2).min(axis=1)


def _lab(colours: np.ndarray, eye: np.ndarray | None = None) -> np.ndarray:
    """sRGB from 0 to 255, [N, 3], as CIELAB (white D65)."""
    share = np.asarray(colours, float) / 255
    linear = np.where(
        share > 0.04045, ((share + 0.055) / 1.055) ** 2.4, share / 12.92
    )
    if eye is not None:
        linear = np.clip(linear @ eye.T, 0, 1)
    xyz = linear @ _TO_XYZ.T / _TO_XYZ.sum(axis=1)
    root = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    x, y, z = root.T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)
