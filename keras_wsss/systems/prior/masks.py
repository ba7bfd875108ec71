"""Masks on line: from a network's own activations and the tags to targets.

Nothing here passes a gradient. The steps are those of docs/prior.md; what
had to be inferred from the release or decided by us is a field of the config's
group `prior`, which functions here take as `options`.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from keras_wsss.categories import IGNORE
from keras_wsss.errors import ConfigError
from keras_wsss.layers.mean_field import MeanFieldCrf
from keras_wsss.layers.resampling import resize_align_corners

# Guards a map that is the same everywhere, 0 / 0 in the release.
_SMALLEST_RANGE = 1e-8
# Instead of minus infinity, which softmax cannot take in all places.
_NEVER = -1e9


@dataclasses.dataclass(frozen=True)
class Masks:
    """The masks of a batch and what they were made of.

    Attributes:
        scores: float32 [B, n, n, K + 1], before the CRF, in [0, 1].
        foreground: float32 [B, g, g], in [0, 1].
        before_crf: int32 [B, n, n], largest score of a tagged category.
        target: int32 [B, n, n], 0 to K, or 255: the target of stream S.
    """

    scores: tf.Tensor
    foreground: tf.Tensor
    before_crf: tf.Tensor
    target: tf.Tensor


def build_masks(
    outputs: Mapping[str, Mapping[str, tf.Tensor]],
    tags: tf.Tensor,
    colours: tf.Tensor,
    valid: tf.Tensor,
    options: Any,
    crf: MeanFieldCrf,
) -> Masks:
    """Makes the masks of a batch (docs/prior.md, one update, step 3).

    Args:
        outputs: by stream "segment", "clean" and, where there is one,
            "hidden": what its model gives.
        tags: float [B, K], 1 for present.
        colours: [B, n, n, 3], the picture on the grid of S, grey levels.
        valid: float [B, n, n], 1 for picture, 0 for padding.
        options: the config's group `prior`.
        crf: the CRF, for that grid.
    """
    outputs = tf.nest.map_structure(tf.stop_gradient, dict(outputs))
    side = outputs["segment"]["logits"].shape[1]
    maps = class_maps(outputs, options.cam_source)
    foreground = foreground_map(outputs, maps.shape[1], options)
    small = mask_scores(maps, foreground, tags, options)
    scores = resize_align_corners(small, side, side)
    known = tf.concat([tf.ones_like(tags[:, :1]), tags], axis=1)
    known = known[:, None, None] > 0  # (B, 1, 1, K + 1)
    before = tf.argmax(tf.where(known, scores, _NEVER), -1, tf.int32)
    target = before
    if options.crf:
        log_scores = scores
        if options.crf_scores == "log":
            clipped = tf.clip_by_value(scores, options.smallest_score, 1.0)
            log_scores = tf.where(known, tf.math.log(clipped), _NEVER)
        beliefs = crf(log_scores, colours, valid)
        # Untagged categories never win, whatever went into the CRF.
        beliefs = tf.where(known, beliefs, 2 * _NEVER)
        target = tf.argmax(beliefs, -1, tf.int32)
    if options.ignore_ring:
        target = ignore_ring(target)
    if options.void_padding:
        target = tf.where(valid > 0, target, IGNORE)
    return Masks(*map(tf.stop_gradient, (scores, foreground, before, target)))


def class_maps(
    outputs: Mapping[str, Mapping[str, tf.Tensor]], source: str
) -> tf.Tensor:
    """Class activation maps float32 [B, g, g, K] of the stream(s) chosen.

    Raises:
        ConfigError: the hidden stream is wanted, but there is none.
    """
    if source != "clean" and "hidden" not in outputs:
        raise ConfigError(
            f"config.prior.cam_source is '{source}', but config.prior."
            "hidden_stream is False; use 'clean'."
        )
    if source == "mean":
        both = (outputs["clean"]["class_maps"], outputs["hidden"]["class_maps"])
        return (both[0] + both[1]) / 2
    return outputs[source]["class_maps"]


def foreground_map(
    outputs: Mapping[str, Mapping[str, tf.Tensor]],
    grid: int,
    options: Any,
) -> tf.Tensor:
    """Where anything is: mean activations of the streams, scaled to [0, 1].

    Args:
        outputs: as for `build_masks`; streams that are missing are left out.
        grid: g, side of the result.
        options: as for `build_masks`.

    Returns:
        float32 [B, g, g]; smallest and largest value of a picture are 0
        and 1.
    """
    keys = (options.fusion, *(("conv4",) if options.add_conv4 else ()))
    maps = [
        block_mean(
            tf.reduce_mean(tf.cast(outputs[stream][key], tf.float32), axis=-1),
            grid,
            options.count_padding,
        )
        for stream in options.fusion_streams
        if stream in outputs
        for key in keys
    ]
    if not maps:
        raise ConfigError(
            f"config.prior.fusion_streams is {tuple(options.fusion_streams)}, "
            "but config.prior.hidden_stream is False."
        )
    return min_max(tf.add_n(maps) / len(maps), (1, 2))


def block_mean(
    maps: tf.Tensor, grid: int, count_padding: bool = False
) -> tf.Tensor:
    """Means over blocks of cells, padded at the bottom and right.

    Args:
        maps: float32 [B, n, n].
        grid: side of the result; blocks have ceil(n / grid) cells a side.
        count_padding: divide by the padded cells too, as the release does.

    Returns:
        float32 [B, grid, grid].

    Raises:
        ConfigError: a block would lie in the padding altogether.
    """
    side = maps.shape[1]
    block = -(-side // grid)
    missing = block * grid - side
    if missing >= block:
        raise ConfigError(
            f"A map of {side} x {side} cells cannot be brought to {grid} x "
            f"{grid}; choose config.image.size and config.prior.class_size "
            "with a ratio near that of 321 and 224, for example 161 and 112."
        )
    if block == 1:
        return maps
    sizes = {"ksize": block, "strides": block, "padding": "VALID"}
    pad = [[0, 0], [0, missing], [0, missing], [0, 0]]
    means = tf.nn.avg_pool2d(tf.pad(maps[..., None], pad), **sizes)
    if not count_padding:
        ones = tf.pad(tf.ones_like(maps[:1, ..., None]), pad)
        means /= tf.nn.avg_pool2d(ones, **sizes)
    return means[..., 0]


def mask_scores(
    maps: tf.Tensor, foreground: tf.Tensor, tags: tf.Tensor, options: Any
) -> tf.Tensor:
    """Scores T of background and categories (docs/prior.md).

    Args:
        maps: class maps float32 [B, g, g, K].
        foreground: float32 [B, g, g].
        tags: float [B, K].
        options: as for `build_masks`.

    Returns:
        float32 [B, g, g, K + 1] in [0, 1]; 0 for untagged categories.
    """
    tagged = tags[:, None, None]  # (B, 1, 1, K)
    if options.background == "threshold":
        # One scale for all tagged categories of a picture.
        seen = tf.where(tagged > 0, maps, tf.reduce_min(maps))
        lowest = tf.where(tagged > 0, maps, tf.reduce_max(maps))
        low = tf.reduce_min(lowest, (1, 2, 3), keepdims=True)
        high = tf.reduce_max(seen, (1, 2, 3), keepdims=True)
        scaled = (maps - low) / (high - low + _SMALLEST_RANGE)
        background = tf.fill(
            tf.shape(foreground), float(options.background_threshold)
        )
    else:
        scaled = min_max(maps, (1, 2))
        background = 1.0 - foreground
    scaled = tf.where(tagged > 0, scaled, 0.0)
    return tf.concat([background[..., None], scaled], axis=-1)


def min_max(maps: tf.Tensor, axes: tuple[int, ...]) -> tf.Tensor:
    """Scales to [0, 1] over some axes; a constant map becomes 0."""
    low = tf.reduce_min(maps, axes, keepdims=True)
    high = tf.reduce_max(maps, axes, keepdims=True)
    # The range itself, unless it is next to nothing: the peak is exactly 1.
    return (maps - low) / tf.maximum(high - low, _SMALLEST_RANGE)


def ignore_ring(masks: tf.Tensor) -> tf.Tensor:
    """Background with a foreground 8-neighbour becomes void.

    Cells at the border of the grid are exempt, as in the release.

    Args:
        masks: int32 [B, n, n].

    Returns:
        Same shape and dtype.
    """
    inside = tf.cast(masks[..., None] > 0, tf.float32)
    near = tf.nn.max_pool2d(inside, 3, 1, "SAME")[..., 0]
    side = masks.shape[1]
    place = tf.range(side)
    inner = (place > 0) & (place < side - 1)
    ring = (near > 0) & (masks == 0) & inner[:, None] & inner[None]
    return tf.where(ring, IGNORE, masks)
