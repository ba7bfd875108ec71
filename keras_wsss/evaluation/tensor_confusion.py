"""Confusion counts as a TensorFlow op, for use inside a distributed step."""

import tensorflow as tf

from keras_wsss.categories import IGNORE


def confusion_counts(
    truth: tf.Tensor, prediction: tf.Tensor, num_classes: int
) -> tf.Tensor:
    """Counts (truth, prediction) pairs of one replica's pixels.

    Sum the results over replicas and steps and hand them to
    `ConfusionMatrix.add_counts`. Integers add exactly, so any sharding of
    the pixels gives the same matrix.

    Args:
        truth: integer [...]; 0 to num_classes - 1, or 255 (ignore).
        prediction: integer, shape of `truth`; 0 to num_classes - 1.
        num_classes: number of classes, background included; at most 255.

    Returns:
        int64 [num_classes, num_classes]; row = truth, column = prediction.

    Raises:
        tf.errors.InvalidArgumentError: a label that is not a class.
    """
    truth = tf.reshape(tf.cast(truth, tf.int32), [-1])
    prediction = tf.reshape(tf.cast(prediction, tf.int32), [-1])
    valid = tf.not_equal(truth, IGNORE)
    truth = tf.boolean_mask(truth, valid)
    checks = []
    for name, labels in (("truth", truth), ("prediction", prediction)):
        message = f"A {name} label is not one of {num_classes} classes."
        checks += [
            tf.debugging.assert_non_negative(labels, message=message),
            tf.debugging.assert_less(labels, num_classes, message=message),
        ]
    # In eager mode the checks have run already and are None.
    with tf.control_dependencies([c for c in checks if c is not None]):
        pairs = truth * num_classes + tf.boolean_mask(prediction, valid)
    counts = tf.math.bincount(
        pairs,
        minlength=num_classes**2,
        maxlength=num_classes**2,
        dtype=tf.int64,
    )
    return tf.reshape(counts, [num_classes, num_classes])
