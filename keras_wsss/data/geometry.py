"""Whether instances mark what their own files say that they mark.

Nothing else can tell a mask that is misplaced from one that is right: the
box beside it, where there is one, and whether it marks any pixel.
"""

from collections.abc import Iterator

import numpy as np
from pycocotools import mask as coco_mask

from keras_wsss.data.annotations import AnnotatedImage, Instance
from keras_wsss.data.instance_masks import InstanceMask, region_of
from keras_wsss.data.problems import Problem
from keras_wsss.data.segmentation import Region

_TOLERANCE = 2.0  # pixels; outlines are rounded, boxes too
_FEW = 0.03  # of the longer side of the box

_Edges = tuple[float, float, float, float]  # left, top, right, bottom


def geometry_problems(mask: InstanceMask) -> Iterator[Problem]:
    """Yields what is wrong with the outlines of a picture's instances."""
    image = mask.image
    for instance in mask.instances:
        if not instance.placed:
            continue
        region = region_of(instance, image)
        record = f"annotation {instance.id} ({image.named})"
        if not region.area:
            yield Problem(
                "paints nothing",
                str(mask.annotations),
                record,
                f"it has no pixel: {_why_nothing(instance, image)}; draw it "
                "anew or remove it",
            )
            continue
        if text := _wrong_scale(instance, image):
            yield Problem("wrong scale", str(mask.annotations), record, text)
        elif _has_box(instance):
            assert instance.box is not None
            painted = _outline(instance, region)
            box = _edges(instance.box)
            if not _near(painted, box) and not _near(
                _inside(painted, image), box
            ):
                yield Problem(
                    "contradicts its bbox",
                    str(mask.annotations),
                    record,
                    f"it covers {_shown(painted)} but its bbox "
                    f"{_shown(box)} (left, top, right, bottom): "
                    f"{_why_elsewhere(instance, image, painted, box)}",
                )


def _wrong_scale(instance: Instance, image: AnnotatedImage) -> str:
    """What is wrong with the scale of an outline, if it shows.

    A box that ends with the picture says that the outline may go on.
    """
    if instance.runs is not None or not instance.polygons:
        return ""
    points = np.concatenate(instance.polygons)
    if points.min() >= 0 and points.max() <= 1 < min(image.width, image.height):
        return (
            "all its points lie between 0 and 1, as shares of the picture; "
            "multiply them by its width and height"
        )
    edges = (*points.reshape(-1, 2).min(0), *points.reshape(-1, 2).max(0))
    if _near(_inside(edges, image), edges):
        return ""
    if _has_box(instance):
        assert instance.box is not None
        if not _near(_edges(instance.box), edges):
            return ""  # its box tells more
    return (
        f"it covers {_shown(edges)} (left, top, right, bottom), in a picture "
        f"of {image.width} x {image.height}: perhaps it was drawn on a larger "
        "one; scale it, or cut it at the picture's edge"
    )


def _inside(edges: _Edges, image: AnnotatedImage) -> _Edges:
    """The part of a box that lies in the picture."""
    left, right = np.clip([edges[0], edges[2]], 0, image.width).tolist()
    top, bottom = np.clip([edges[1], edges[3]], 0, image.height).tolist()
    return (left, top, right, bottom)


def _has_box(instance: Instance) -> bool:
    """Whether there is a box to compare with; those of crowds are rough."""
    box = instance.box
    return not instance.crowd and box is not None and min(box[2:]) > 0


def _outline(instance: Instance, region: Region) -> _Edges:
    """Edges of what an instance marks.

    Of polygons the points count: their thin ends may paint no pixel.
    """
    if instance.runs is not None:
        return _edges(coco_mask.toBbox(region.code))
    points = np.concatenate(instance.polygons).reshape(-1, 2)
    return (*points.min(0).tolist(), *points.max(0).tolist())


def _why_nothing(instance: Instance, image: AnnotatedImage) -> str:
    if instance.runs is not None or not instance.polygons:
        return "its run lengths mark none"
    points = np.concatenate(instance.polygons).reshape(-1, 2)
    x, y = points.T
    outside = (
        x.max() <= 0
        or y.max() <= 0
        or x.min() >= image.width
        or y.min() >= image.height
    )
    if outside:
        return f"it lies outside of the {image.width} x {image.height} picture"
    return "its points enclose no area"


def _why_elsewhere(
    instance: Instance, image: AnnotatedImage, painted: _Edges, box: _Edges
) -> str:
    left, top, right, bottom = painted
    if _near((top, left, bottom, right), box):
        return "x and y are swapped in its outline"
    if instance.runs is not None and _near(_by_rows(instance, image), box):
        return "its run lengths go along the rows, COCO's go down the columns"
    scale = (right + bottom) / (box[2] + box[3])
    if abs(scale - 1) > _FEW and _near(
        painted,
        (box[0] * scale, box[1] * scale, box[2] * scale, box[3] * scale),
    ):
        return (
            f"its outline is {scale:.3g} times as large, drawn on a picture of "
            "another size"
        )
    return "one of them is wrong; export or draw it anew"


def _by_rows(instance: Instance, image: AnnotatedImage) -> _Edges:
    """Where run lengths lie if they go along the rows."""
    runs = instance.runs
    assert runs is not None
    values = np.repeat(np.arange(len(runs)) % 2, runs)
    y, x = np.nonzero(values.reshape(image.height, image.width))
    return (x.min(), y.min(), x.max() + 1.0, y.max() + 1.0)


def _edges(box) -> _Edges:
    x, y, width, height = map(float, box)
    return (x, y, x + width, y + height)


def _near(one: _Edges, other: _Edges) -> bool:
    sides = (other[2] - other[0], other[3] - other[1])
    few = max(_TOLERANCE, _FEW * max(sides))
    return all(abs(a - b) <= few for a, b in zip(one, other, strict=True))


def _shown(edges: _Edges) -> str:
    return ", ".join(f"{edge:.4g}" for edge in edges)
