"""Which part of a picture's square the network sees: crops and mirroring."""

import dataclasses

from keras_wsss.data.sampling import random_units
from keras_wsss.errors import ConfigError

_VIEW_STREAM = 0


@dataclasses.dataclass(frozen=True)
class PixelScale:
    """How grey levels of RGB become the input of a network.

    Attributes:
        mean: subtracted from the channels, in the order of the input.
        deviation: divides them then, in the same order.
        bgr: whether the input's order is blue, green, red.
    """

    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    deviation: tuple[float, float, float] = (1.0, 1.0, 1.0)
    bgr: bool = False

    @property
    def mean_colour(self) -> tuple[int, int, int]:
        """RGB grey levels that become 0, within half a level."""
        first, second, third = (
            min(255, max(0, round(value))) for value in self.mean
        )
        if self.bgr:
            return third, second, first
        return first, second, third


# What Caffe's networks were trained with: ImageNet's mean, no scaling.
CAFFE = PixelScale(mean=(104.008, 116.669, 122.675), bgr=True)


@dataclasses.dataclass(frozen=True)
class Window:
    """A square window of the padded, resized picture.

    Attributes:
        base: side of the resized square that the window is cut from, pixels.
        top: first row of the window.
        left: first column of the window.
        size: side of the window; it is resized to the network's input size.
        mirror: whether the window is mirrored horizontally, last of all.
    """

    base: int
    top: int
    left: int
    size: int
    mirror: bool


@dataclasses.dataclass(frozen=True)
class ViewSpec:
    """How training views are drawn.

    Attributes:
        image_size: side of the network's input, pixels.
        resize_size: side that the padded square is resized to before a
            window of `image_size` is cut at random; 330 for 320 in the
            published recipe. 0 takes the same proportion, `image_size`
            itself means no crop.
        min_scale: smallest side of a window as a fraction of the square, an
            extension. 1 is the published recipe. Below 1 a window of random
            size is drawn within the picture, not its padding, where the
            picture is large enough.
        mirror: whether half of the views are mirrored.
        stride: pixels per cell of the network's output.
        points: whether cells are every `stride`-th pixel, from the first to
            the last: `image_size` is then a multiple of `stride` plus 1.
        inside: whether windows lie within the picture, not its padding,
            where it is large enough; always so for `min_scale` below 1.
        pixels: how grey levels become the network's input.
        blank_padding: whether features of cells that show padding become 0,
            by which attention and tagger know them and leave them out.
    """

    image_size: int
    resize_size: int = 0
    min_scale: float = 1.0
    mirror: bool = True
    stride: int = 16
    points: bool = False
    inside: bool = False
    pixels: PixelScale = CAFFE
    blank_padding: bool = False

    def __post_init__(self) -> None:
        rest = int(self.points)
        if (
            self.image_size < self.stride
            or self.image_size % self.stride != rest
        ):
            raise ConfigError(
                f"image_size is {self.image_size}; it must be a positive "
                f"multiple of {self.stride}{' plus 1' if rest else ''}."
            )
        if not self.resize_size:
            size = round(self.image_size * 330 / 320)
            object.__setattr__(self, "resize_size", size)

    @property
    def base_size(self) -> int:
        """Side of the square that windows are cut from, pixels."""
        return round(self.resize_size / self.min_scale)

    def whole(self, mirror: bool = False) -> Window:
        """The evaluation view: the whole square, resized directly."""
        return Window(self.image_size, 0, 0, self.image_size, mirror)

    def draw(self, seed: int, height: int, width: int) -> Window:
        """The training view of a slot.

        Args:
            seed: decides the view, together with the other arguments.
            height: rows of the original picture.
            width: columns of the original picture.
        """
        unit = random_units(4, seed=seed, stream=_VIEW_STREAM)
        base = self.base_size
        scale = self.min_scale + (1 - self.min_scale) * unit[0]
        size = round(self.image_size * scale / self.min_scale)
        if self.min_scale == 1 and not self.inside:
            room = (base - size, base - size)
        else:
            side = max(height, width)
            room = tuple(
                max(round(base * extent / side) - size, 0)
                for extent in (height, width)
            )
        return Window(
            base=base,
            top=int(unit[1] * (room[0] + 1)),
            left=int(unit[2] * (room[1] + 1)),
            size=size,
            mirror=bool(self.mirror and unit[3] < 0.5),
        )
