"""The class-agnostic decoder of TransferNet."""

from collections.abc import Sequence

import keras

from keras_wsss.layers.pooling import UnpoolingWithSwitches

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
    switch_channels: Sequence[int],
    guide_channels: int = 1,
    convolutions: Sequence[int] = (2, 2, 3, 3),
    width: float = 1.0,
    output_stride: int = 1,
    initializer: str = "he",
    shortcut: bool = False,
) -> keras.Model:
    """Builds the decoder: a guide, the densified attention, to mask logits.

    In the published form the guide is the densified attention alone; from
    the encoder only the pooling switches are passed, no features: the decoder
    learns shapes, not categories.

    Args:
        grid: side of the guide, or None for any size.
        switch_channels: channels of the encoder's pools, from pool 1.
        guide_channels: M, maps of a guide; the first is the densified
            attention.
        convolutions: convolutions of the decoder's blocks, as many.
        width: multiplier of every channel count; the unpooling uses the
            first `width` share of the encoder's switch channels.
        output_stride: 1 (published), 2 or 4: pools above it are not undone,
            and their switches are not inputs.
        initializer: "published" or "he".
        shortcut: adds the enlarged densified attention, times a learnt
            factor, to the logits, so that the decoder corrects a first guess
            in place of making it (an extension).

    Returns:
        Model from [guide float [pairs, grid, grid, M], switches of pool 4,
        then 3, 2 and 1 as far as needed: uint8 [pairs, h, w, channels]] to
        logits float32 [pairs, h, w, 2]: background, foreground.
    """
    if output_stride not in OUTPUT_STRIDES:
        raise ValueError(f"output_stride must be one of {OUTPUT_STRIDES}")
    if not 0 < width <= 1:
        raise ValueError(
            f"decoder_width is {width}; it must be above 0 and at most 1"
        )
    channels = [max(8, round(width * count)) for count in switch_channels]
    last = len(switch_channels)
    pools = unpooled_levels(last, output_stride)

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
    switches = []
    for pool in pools:
        side = None if grid is None else grid * 2 ** (last - pool)
        switch = keras.Input(
            (side, side, switch_channels[pool - 1]),
            dtype="uint8",
            name=f"switches{pool}",
        )
        switches.append(switch)
        used = channels[pool - 1]
        x = UnpoolingWithSwitches(name=f"unpool{pool}")([x, switch[..., :used]])
        count = convolutions[pool - 1]
        following = channels[max(pool - 2, 0)]
        for index in range(1, count + 1):
            filters = used if index < count else following
            filled = 0.25 if index == 1 else 1.0
            x = deconvolution(x, filters, f"deconv{pool}_{index}", filled)
    logits = keras.layers.Conv2D(
        2,
        1,
        kernel_initializer=_initializer(initializer),
        # The loss needs float32: half precision can lose these gradients.
        dtype="float32",
        name="seg_score",
    )(x)
    if shortcut:
        enlarged = keras.layers.UpSampling2D(
            2**last // output_stride,
            interpolation="bilinear",
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
        logits = keras.layers.Add(name="corrected_score")([logits, coarse])
    return keras.Model([guide, *switches], logits, name="decoder")


def unpooled_levels(pools: int, output_stride: int) -> tuple[int, ...]:
    """Which of `pools` pools a decoder undoes, the last one first."""
    return tuple(
        pool for pool in range(pools, 0, -1) if 2 ** (pool - 1) >= output_stride
    )
