"""The two losses of TransferNet (docs/method.md), as sums and weights.

Every loss is a numerator and a denominator, so that a mean over the pairs or
pixels of several replicas can be taken exactly: sum both over the replicas,
then divide.
"""

import tensorflow as tf

from keras_wsss.categories import IGNORE


def classification_loss(
    logits: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Softmax cross-entropy over all categories of both domains.

    Args:
        logits: float [batch, labels, classes]; class index = category id - 1.
        labels: int [batch, labels], category ids from 1; 0 is padding.
        weights: float [batch, labels], 0 for padding.

    Returns:
        Weighted sum over pairs and the sum of the weights, float32 scalars.
    """
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
        labels=tf.maximum(tf.cast(labels, tf.int32) - 1, 0),
        logits=tf.cast(logits, tf.float32),
    )
    weights = tf.cast(weights, tf.float32)
    return tf.reduce_sum(losses * weights), tf.reduce_sum(weights)


def binary_masks(
    masks: tf.Tensor, labels: tf.Tensor, stride: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Binary targets of (image, label) pairs at the decoder's resolution.

    A pixel of the pair's category is 1, of any other category or background
    0, and 255 is left out. At an output stride above 1 a cell
    takes the share of foreground among its pixels that are not ignored; at
    stride 1 this is the published hard mask.

    Args:
        masks: uint8 [batch, height, width], category ids, 0, 255 ignore.
        labels: int [batch, labels], category ids; 0 is padding.
        stride: output stride of the decoder, 1 or more; divides the size.

    Returns:
        foreground: float32 [batch, labels, height / stride, width / stride]
            in [0, 1].
        weights: float32 of the same shape, the share of pixels that count.
    """
    masks = tf.cast(masks, tf.int32)[:, None]  # (B, 1, H, W)
    counted = tf.cast(tf.not_equal(masks, IGNORE), tf.float32)
    labels = tf.cast(labels, tf.int32)[:, :, None, None]
    positive = tf.cast(tf.equal(masks, labels), tf.float32) * counted
    counted = tf.broadcast_to(counted, tf.shape(positive))
    if stride > 1:
        counted = _cell_means(counted, stride)
        positive = _cell_means(positive, stride)
    return tf.math.divide_no_nan(positive, counted), counted


def _cell_means(values: tf.Tensor, stride: int) -> tf.Tensor:
    shape = tf.shape(values)
    # A third of the time that a mean over two of six axes takes.
    means = tf.nn.avg_pool2d(
        tf.reshape(values, (-1, shape[2], shape[3], 1)), stride, stride, "VALID"
    )  # (B K, h, w, 1)
    return tf.reshape(means, (shape[0], shape[1], shape[2] // stride, -1))


def _margin(logits: tf.Tensor) -> tf.Tensor:
    """Foreground minus background, float32 [batch, labels, h, w].

    The gradient of two slices fills two tensors of the logits' size; that of
    this one.
    """
    background, foreground = tf.unstack(tf.cast(logits, tf.float32), axis=-1)
    return foreground - background


def mask_loss(
    logits: tf.Tensor,
    masks: tf.Tensor,
    labels: tf.Tensor,
    weights: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Two-way softmax cross-entropy per pixel, ignored pixels left out.

    softplus(-(2 m - 1)(f - b)) is the same number and cheaper than the
    two-channel softmax.

    Args:
        logits: float [batch, labels, h, w, 2], background then foreground.
        masks: uint8 [batch, height, width] with height = h x stride.
        labels: int [batch, labels], category ids; 0 is padding.
        weights: float [batch, labels], 0 for padding.

    Returns:
        Sum over counted pixels and their number, float32 scalars. Both are 0
        when every pixel is ignored, and so is the gradient.
    """
    stride = masks.shape[1] // logits.shape[2]
    foreground, counted = binary_masks(masks, labels, stride)
    counted *= tf.cast(weights, tf.float32)[:, :, None, None]
    losses = tf.nn.sigmoid_cross_entropy_with_logits(
        labels=foreground, logits=_margin(logits)
    )
    return tf.reduce_sum(losses * counted), tf.reduce_sum(counted)


def overlap_loss(
    logits: tf.Tensor,
    masks: tf.Tensor,
    labels: tf.Tensor,
    weights: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
    """One minus the soft Dice overlap of each pair (an extension).

    Most objects are small, so a decoder that answers "background" everywhere
    has a low cross-entropy; its overlap is 0 all the same, whatever the size
    of the object (Milletari et al., V-Net, 3DV 2016).

    Args and shapes as for `mask_loss`.

    Returns:
        Sum over pairs and the number of pairs that have foreground, float32
        scalars.
    """
    stride = masks.shape[1] // logits.shape[2]
    foreground, counted = binary_masks(masks, labels, stride)
    found = tf.sigmoid(_margin(logits)) * counted
    truth = foreground * counted
    common = tf.reduce_sum(found * truth, axis=(2, 3))
    size = tf.reduce_sum(found, axis=(2, 3)) + tf.reduce_sum(truth, axis=(2, 3))
    weights = tf.cast(weights, tf.float32)
    weights *= tf.cast(tf.reduce_sum(truth, axis=(2, 3)) > 0, tf.float32)
    losses = 1.0 - tf.math.divide_no_nan(2.0 * common, size)
    return tf.reduce_sum(losses * weights), tf.reduce_sum(weights)


def mask_accuracy(
    logits: tf.Tensor,
    masks: tf.Tensor,
    labels: tf.Tensor,
    weights: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Share of counted pixels whose larger logit is right.

    Args and shapes as for `mask_loss`.

    Returns:
        Number of right pixels and of counted pixels, float32 scalars.
    """
    stride = masks.shape[1] // logits.shape[2]
    foreground, counted = binary_masks(masks, labels, stride)
    counted *= tf.cast(weights, tf.float32)[:, :, None, None]
    right = tf.equal(_margin(logits) > 0, foreground > 0.5)
    right = tf.cast(right, tf.float32)
    return tf.reduce_sum(right * counted), tf.reduce_sum(counted)


def tag_loss(
    logits: tf.Tensor, tags: tf.Tensor, known: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Sigmoid cross-entropy of the multi-label tagger.

    Args:
        logits: float [batch, categories].
        tags: float [batch, categories], 1 where the category is present.
        known: float of a shape that broadcasts to `tags`: 1 where the
            picture's tags say something about the category. Source pictures
            know nothing of target categories, and the reverse.

    Returns:
        Sum over known entries and the number of pictures with any, float32.
    """
    known = tf.broadcast_to(tf.cast(known, tf.float32), tf.shape(tags))
    losses = tf.nn.sigmoid_cross_entropy_with_logits(
        labels=tf.cast(tags, tf.float32), logits=tf.cast(logits, tf.float32)
    )
    pictures = tf.reduce_sum(tf.reduce_max(known, axis=1))
    return tf.reduce_sum(losses * known), pictures
