"""From per-label scores to one index mask, in TensorFlow ops.

Plain ops with dynamic shapes, so that the same code runs eagerly, in
`tf.function` and in the exported graph (docs/method.md,
"From logits to a mask").
"""

import math

import tensorflow as tf


def foreground_probability(
    scores: tf.Tensor,
    background_factor: float = 0.5,
    relative: bool = False,
) -> tf.Tensor:
    """Foreground probability with a discounted background.

    p = e^f / (e^f + factor e^b) = sigmoid(f - b - ln factor). The release of
    TransferNet halves the background: a decoder that learned other
    categories is less sure of a new one's foreground.

    Args:
        scores: float [..., 2]; decoder logits, background then foreground.
        background_factor: positive; 0.5 is the published value, 1 leaves
            the softmax as it is.
        relative: divide each map's softmax by its largest value first (an
            extension): the label is there, so some pixel must be its. The
            maps' sides are the two axes before the last.

    Returns:
        float [...] in [0, 1], dtype of `scores`.
    """
    if not background_factor > 0:
        raise ValueError(
            f"background_factor must be positive, got {background_factor}"
        )
    background, foreground = tf.unstack(scores, axis=-1)
    if not relative:
        return tf.sigmoid(foreground - background - math.log(background_factor))
    share = tf.sigmoid(foreground - background)
    highest = tf.reduce_max(share, axis=[-2, -1], keepdims=True)
    share = tf.math.divide_no_nan(share, highest)
    return share / (share + background_factor * (1.0 - share))


def merge_labels(
    probabilities: tf.Tensor,
    label_ids: tf.Tensor,
    keep: tf.Tensor,
    fires: tf.Tensor,
) -> tf.Tensor:
    """The most probable label that fires at each pixel, else background.

    There is no background channel and no normalisation across labels: a
    label competes only where its own binary decision is foreground. Equal
    probabilities go to the lower id.

    Args:
        probabilities: float [..., K, H, W] in [0, 1]; foreground
            probability of each label, before any refinement that decides
            `fires`: sharp edges leave nearly 1 and nothing to rank by.
        label_ids: integer [..., K]; ids 1 to 254, in any order. Padding may
            hold any value.
        keep: bool [..., K]; False leaves a label (or padding) out.
        fires: bool [..., K, H, W]; each label's binary decision: a threshold's,
            a refinement's or the dense CRF's.

    Returns:
        uint8 [..., H, W]; 0 or one of the kept ids.
    """
    probabilities = tf.convert_to_tensor(probabilities)
    label_ids = tf.cast(label_ids, tf.int32)
    fires = tf.logical_and(fires, tf.cast(keep, tf.bool)[..., None, None])
    scores = tf.where(fires, probabilities, tf.zeros_like(probabilities))
    best = tf.reduce_max(scores, axis=-3, keepdims=True)
    wins = tf.logical_and(scores > 0, scores >= best)
    # The lowest id among the winners; 255 marks "no winner".
    ids = tf.where(wins, label_ids[..., None, None], 255)
    lowest = tf.reduce_min(ids, axis=-3)
    return tf.cast(tf.where(lowest < 255, lowest, 0), tf.uint8)
