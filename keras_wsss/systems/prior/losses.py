"""Losses of the prior system (docs/prior.md), as sums and counts.

Every loss is a pair (sum over pictures, number of pictures), so that several
replicas can share a batch.
"""

import tensorflow as tf

from keras_wsss.categories import IGNORE
from keras_wsss.errors import ConfigError

CLASS_LOSSES = ("sigmoid", "euclidean")
SEGMENT_LOSSES = ("conditional", "wtp")
_SMALLEST = 1e-6  # of 1 - P before its log


def class_loss(
    logits: tf.Tensor,
    tags: tf.Tensor,
    kind: str = "sigmoid",
    known: tf.Tensor | None = None,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Classification loss: a *sum* over categories, for each picture.

    Args:
        logits: float32 [B, K].
        tags: float32 [B, K], 1 for present.
        kind: "sigmoid" cross entropy, or "euclidean", half the squared
            distance of probabilities and tags (a weak hint in the release).
        known: float32 [B, K], 0 where nothing is known of a category; None
            is all ones.

    Returns:
        Sum over the batch, and B.
    """
    if kind == "sigmoid":
        values = tf.nn.sigmoid_cross_entropy_with_logits(tags, logits)
    elif kind == "euclidean":
        values = 0.5 * tf.square(tf.sigmoid(logits) - tags)
    else:
        raise ConfigError(
            f"config.prior.class_loss is '{kind}'; use one of "
            f"{', '.join(CLASS_LOSSES)}."
        )
    if known is not None:
        values *= known
    return tf.reduce_sum(values), _pictures(logits)


def segment_loss(
    logits: tf.Tensor,
    masks: tf.Tensor,
    tags: tf.Tensor,
    kind: str = "conditional",
    objectness: tf.Tensor | None = None,
    known: tf.Tensor | None = None,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Loss of stream S against the masks made on line.

    "conditional": the mean cross entropy of the cells that are not void where
    a picture's mask has foreground, else `image_level_loss`. "wtp", after
    What's the Point (Bearman et al., ECCV 2016): both for every picture, and
    an objectness term for void cells.

    Args:
        logits: float32 [B, n, n, K + 1].
        masks: int32 [B, n, n], 0 to K, or 255 for void.
        tags: float32 [B, K].
        kind: "conditional" or "wtp".
        objectness: float32 [B, n, n] in [0, 1], largest category score of
            each cell; for "wtp".
        known: float32 [B, K], 0 where nothing is known of a category; None
            is all ones.

    Returns:
        Sum over the batch, and B.
    """
    if kind not in SEGMENT_LOSSES:
        raise ConfigError(
            f"config.prior.segment_loss is '{kind}'; use one of "
            f"{', '.join(SEGMENT_LOSSES)}."
        )
    labelled = tf.cast(masks != IGNORE, tf.float32)
    labels = tf.where(masks != IGNORE, masks, 0)
    entropies = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    pixels = _mean_where(entropies, labelled)  # (B)
    image = image_level_loss(logits, tags, known)  # (B)
    if kind == "conditional":
        foreground = tf.reduce_any(labels > 0, axis=(1, 2))
        losses = tf.where(foreground, pixels, image)
    else:
        losses = pixels + image
        if objectness is not None:
            share = 1.0 - (255.0 * objectness + 1.0) / 257.0  # of background
            log_background, log_rest = _logs(logits[..., :1], logits)
            term = -(
                share * log_background[..., 0]
                + (1.0 - share) * log_rest[..., 0]
            )
            losses += _mean_where(term, 1.0 - labelled)
    return tf.reduce_sum(losses), _pictures(logits)


def image_level_loss(
    logits: tf.Tensor, tags: tf.Tensor, known: tf.Tensor | None = None
) -> tf.Tensor:
    """Every tagged label somewhere, every absent one nowhere.

    With t_c the cell of label c's largest logit: the mean of -log P[t_c, c]
    over background and tagged categories plus the mean of
    -log(1 - P[t_c, c]) over the others.

    Args:
        logits: float32 [B, n, n, K + 1].
        tags: float32 [B, K].
        known: float32 [B, K], 0 where nothing is known of a category; None
            is all ones.

    Returns:
        float32 [B].
    """
    labels = logits.shape[-1]
    flat = tf.reshape(logits, [-1, logits.shape[1] * logits.shape[2], labels])
    places = tf.argmax(tf.stop_gradient(flat), axis=1)  # (B, K + 1)
    peaks = tf.gather(flat, places, axis=1, batch_dims=1)  # (B, K + 1, K + 1)
    own = tf.linalg.diag_part(peaks)[..., None]
    log_present, log_absent = _logs(own, peaks)
    present = tf.concat([tf.ones_like(tags[:, :1]), tags], axis=1)
    absent = 1.0 - present
    if known is not None:
        absent *= tf.concat([tf.ones_like(tags[:, :1]), known], axis=1)
    return _mean_where(-log_present[..., 0], present) + _mean_where(
        -log_absent[..., 0], absent
    )


def _logs(own: tf.Tensor, logits: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """log P and log(1 - P) of some logits, clipped, within their softmax."""
    log_own = own - tf.reduce_logsumexp(logits, axis=-1, keepdims=True)
    rest = tf.clip_by_value(1.0 - tf.exp(log_own), _SMALLEST, 1.0)
    return log_own, tf.math.log(rest)


def _mean_where(values: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Weighted means over all axes but the first; 0 without any weight."""
    axes = list(range(1, len(values.shape)))
    return tf.math.divide_no_nan(
        tf.reduce_sum(values * weights, axes), tf.reduce_sum(weights, axes)
    )


def _pictures(logits: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.shape(logits)[0], tf.float32)
