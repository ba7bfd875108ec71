"""Outlines of masks as polygons that lose nothing, holes included."""

import cv2
import numpy as np


def mask_polygons(mask: np.ndarray) -> list[np.ndarray]:
    """The regions of a mask as polygons along the borders of its pixels.

    There is one polygon for each region whose pixels share sides. A hole is
    joined to the outline around it by a cut of no width, walked forth and
    back, because formats such as COCO's have no other way to say what lies
    within a polygon and is not part of it.

    Args:
        mask: bool [height, width].

    Returns:
        float64 [points, 2] each, x and y in pixels; the first pixel covers
        0 to 1. The first point is not repeated at the end.
    """
    padded = np.pad(np.asarray(mask, bool), 1)
    _, regions = cv2.connectedComponents(
        padded.view(np.uint8), connectivity=4, ltype=cv2.CV_32S
    )
    corners = _corners(regions)
    rings: dict[int, list[np.ndarray]] = {}
    for ring in _rings(corners):
        region = int(corners[ring[0], 0])
        points = corners[ring][:, 2:0:-1].astype(np.float64)  # x, y
        rings.setdefault(region, []).append(points)
    return [_joined(rings[region]) for region in sorted(rings)]


def _corners(regions: np.ndarray) -> np.ndarray:
    """Where the borders of regions turn, int64 [corners, 5].

    Args:
        regions: int32 [height, width], 0 around all others.

    Returns:
        Region, y, x, and where its borders go from there: -1 to the left or
        1 to the right, -1 up or 1 down. Where two pixels of a region touch
        by their corners alone, the point stands twice.
    """
    found = []
    for below in (0, 1):
        for right in (0, 1):
            own = _quarter(regions, below, right)
            row = _quarter(regions, below, 1 - right)
            column = _quarter(regions, 1 - below, right)
            across = _quarter(regions, 1 - below, 1 - right)
            # The borders of a single pixel lie along its own sides; where
            # only the pixel across is missing, along its neighbours'.
            outer = (row != own) & (column != own)
            inner = (row == own) & (column == own) & (across != own)
            for turns, side in ((outer, 1), (inner, -1)):
                y, x = np.nonzero(turns & (own > 0))
                to_side = np.full(len(y), side * (1 if right else -1))
                to_end = np.full(len(y), side * (1 if below else -1))
                found.append(np.stack([own[y, x], y, x, to_side, to_end], 1))
    return np.concatenate(found).astype(np.int64)


def _quarter(regions: np.ndarray, below: int, right: int) -> np.ndarray:
    """For every point between four pixels, one of the four."""
    height, width = regions.shape
    return regions[below : height - 1 + below, right : width - 1 + right]


def _rings(corners: np.ndarray) -> list[list[int]]:
    """Indices of corners in the order of closed walks along the borders."""
    region, y, x, to_side, to_end = corners.T
    # Along a line, borders begin and end by turns.
    rows = np.lexsort((to_side, x, y, region))
    columns = np.lexsort((to_end, y, x, region))
    partners = []
    for order in (rows, columns):
        partner = np.empty(len(corners), np.int64)
        partner[order[0::2]], partner[order[1::2]] = order[1::2], order[0::2]
        partners.append(partner.tolist())
    rings = []
    seen = [False] * len(corners)
    for start in range(len(corners)):
        if seen[start]:
            continue
        ring, at, turn = [], start, 0
        while not seen[at]:
            seen[at] = True
            ring.append(at)
            at, turn = partners[turn][at], 1 - turn
        rings.append(ring)
    return rings


def _joined(rings: list[np.ndarray]) -> np.ndarray:
    """One polygon of the outline of a region and its holes, [points, 2]."""
    outline, *holes = sorted(rings, key=lambda r: abs(_area(r)), reverse=True)
    outward = _area(outline) > 0
    for hole in holes:
        # Walked the other way round: some programs fill by winding number.
        if (_area(hole) > 0) == outward:
            hole = hole[::-1]
        distances = np.abs(outline - hole[0]).sum(1)
        at = int(distances.argmin())
        cut = (outline[: at + 1], hole, hole[:1], outline[at:])
        outline = np.concatenate(cut)
    return outline


def _area(ring: np.ndarray) -> float:
    """The area within, negative or positive by the direction of the walk."""
    x, y = ring.T
    return float(x @ np.roll(y, 1) - y @ np.roll(x, 1)) / 2
