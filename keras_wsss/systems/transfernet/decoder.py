"""The class-agnostic decoder of TransferNet."""

from collections.abc import Sequence

import keras

from keras_wsss.encoders.encoder import Level
from keras_wsss.layers.pooling import UnpoolingWithSwitches
from keras_wsss.systems.transfernet.problems import stride_problem

OUTPUT_STRIDES = (1, 2, 4)
INITIALIZERS = ("he", "published")


def _initializer(name: str, filled: float = 1.0) -> keras.Initializer:
    # N(0, 0.01^2) through twelve layers without normalisation gives logits
    # of about 1e-10 and a long plateau (docs/method.md); "he" is our deviation.
    # Only one in four inputs is filled after an unpooling.
    if name == "he":
        return keras.initializers.VarianceScaling(2.0 / filled)
    if name == "published":
        return keras.initializers.RandomNormal(0.0, 0.01)
    raise ValueError(f"initializer must be one of {INITIALIZERS}, not {name!r}")


def build_decoder(
    grid: int | None,
    stride: int,
    levels: Sequence[Level],
    guide_channels: int = 1,
    width: float = 1.0,
    output_stride: int = 1,
    initializer: str = "he",
    shortcut: bool = False,
) -> keras.Model:
    """Builds the decoder: a guide, the densified attention, to mask logits.

    In the published form the guide is the densified attention alone; from
    the encoder only the pooling switches are passed, no features: the decoder
    learns shapes, not categories. Where an encoder has no switches, its finer
    maps take their place (an extension): what was made so far is enlarged
    bilinearly, and the finer map, projected, is put beside it. Maps of stride
    4 and 8 are of early layers, which tell edges and textures; one of stride
    16 may tell more.

    Args:
        grid: side of the guide, or None for any size.
        stride: of the guide, pixels of the input per cell.
        levels: of the encoder, the finest first.
        guide_channels: M, maps of a guide; the first is the densified
            attention.
        width: multiplier of every channel count; an unpooling uses the
            first `width` share of the encoder's switch channels.
        output_stride: 1 (published), 2 or 4: levels finer than that are not
            used, and are no inputs.
        initializer: "published" or "he".
        shortcut: adds the enlarged densified attention, times a learnt
            factor, to the logits, so that the decoder corrects a first guess
            in place of making it (an extension).

    Returns:
        Model from [guide float [pairs, grid, grid, M], levels, the coarsest
        first: [pairs, h, w, channels], uint8 switches or float features] to
        logits float32 [pairs, h, w, 2]: background, foreground.
    """
    if output_stride not in OUTPUT_STRIDES:
        raise ValueError(f"output_stride must be one of {OUTPUT_STRIDES}")
    if not 0 < width <= 1:
        raise ValueError(
            f"decoder_width is {width}; it must be above 0 and at most 1"
        )
    if text := stride_problem(stride, levels, output_stride):
        raise ValueError(text)
    channels = [max(8, round(width * count)) for count in _widths(levels)]
    last = len(levels)

    def deconvolution(inputs, filters, name, filled=1.0):
        # A transposed 3x3 convolution of stride 1 is an ordinary one with
        # the kernel flipped.
        return keras.layers.Conv2D(
            filters,
            3,
            padding="same",
            activation="relu",
            kernel_initializer=_initializer(initializer, filled),
            name=name,
        )(inputs)

    guide = keras.Input((grid, grid, guide_channels), name="guide")
    x = deconvolution(guide, channels[-1], f"deconv{last + 1}_1")
    inputs, reached = [], stride
    for number in used_levels(levels, output_stride):
        level, used = levels[number - 1], channels[number - 1]
        side = None if grid is None else grid * stride // level.stride
        maps = keras.Input(
            (side, side, level.channels),
            dtype="uint8" if level.switches else "float32",
            name=f"{'switches' if level.switches else 'finer'}{number}",
        )
        inputs.append(maps)
        filled = 0.25 if level.switches else 1.0
        if level.switches:
            unpool = UnpoolingWithSwitches(name=f"unpool{number}")
            x = unpool([x, maps[..., :used]])
        else:
            x = _beside(x, maps, reached // level.stride, used // 2, number)
        reached = level.undone
        # A pool's block ends with the channels of the next pool.
        following = channels[max(number - 2, 0)] if level.switches else used
        for index in range(1, level.convolutions + 1):
            filters = used if index < level.convolutions else following
            x = deconvolution(
                x,
                filters,
                f"deconv{number}_{index}",
                filled if index == 1 else 1.0,
            )
    logits = keras.layers.Conv2D(
        2,
        1,
        kernel_initializer=_initializer(initializer),
        # The loss needs float32: half precision can lose these gradients.
        dtype="float32",
        name="seg_score",
    )(x)
    if reached > output_stride:
        logits = keras.layers.UpSampling2D(
            reached // output_stride,
            interpolation="bilinear",
            dtype="float32",
            name="enlarged_score",
        )(logits)
    if shortcut:
        enlarged = keras.layers.UpSampling2D(
            stride // output_stride,
            interpolation="bilinear",
            dtype="float32",
            name="enlarged_attention",
        )(guide[..., :1])
        # Begins as a threshold at 0.4 of attention's maximum.
        coarse = keras.layers.Conv2D(
            2,
            1,
            kernel_initializer=keras.initializers.Constant([[[[-3.0, 3.0]]]]),
            bias_initializer=keras.initializers.Constant([1.2, -1.2]),
            dtype="float32",
            name="coarse_score",
        )(enlarged)
        logits = keras.layers.Add(dtype="float32", name="corrected_score")(
            [logits, coarse]
        )
    return keras.Model([guide, *inputs], logits, name="decoder")


def used_levels(levels: Sequence[Level], output_stride: int) -> tuple[int, ...]:
    """Which levels a decoder uses, from 1, the coarsest first."""
    return tuple(
        number
        for number in range(len(levels), 0, -1)
        if levels[number - 1].undone >= output_stride
    )


def _widths(levels: Sequence[Level]) -> list[int]:
    """Full channel counts of a decoder's blocks, the finest first."""
    coarsest = len(levels) - 1
    return [
        # Of finer maps every encoder has other channels; as VGG-16's then.
        level.channels if level.switches else 512 >> (coarsest - index)
        for index, level in enumerate(levels)
    ]


def _beside(x, maps, factor: int, units: int, number: int):
    """Enlarges, and puts a finer map beside, projected to `units`."""
    if factor > 1:
        x = keras.layers.UpSampling2D(
            factor, interpolation="bilinear", name=f"enlarge{number}"
        )(x)
    projected = keras.layers.Conv2D(
        units,
        1,
        activation="relu",
        kernel_initializer="he_normal",
        name=f"project{number}",
    )(maps)
    return keras.layers.Concatenate(name=f"beside{number}")([x, projected])
