"""Five whole updates against losses by hand and Adam in NumPy."""

import numpy as np
import pytest
import tensorflow as tf
from test_update import make_batch, make_config, make_update

from keras_wsss.config import split_of
from keras_wsss.systems.network import named_variables, read_arrays
from keras_wsss.systems.transfernet.network import TransferNet
from keras_wsss.training.devices import make_strategy, share

STEPS, RATE = 5, 1e-3
MASK_WEIGHT, TAG_WEIGHT, OVERLAP_WEIGHT = 2.0, 0.5, 3.0
EMBEDDING = "attention/att/cls_embed/kernel"
# A tenth of a step. Float32 against float64 comes to 2e-5 at most and 2e-6 for
# the embedding; squaring before adding up puts that off by 3.6e-3.
TOLERANCE = 1e-4
STRIDE = 4  # of the decoder of `tiny_config`


def batch_of_doubles():
    """Three of four source pairs and all target pairs ask the same label."""
    batch = make_batch(make_config(), rows=4)
    for name, rows in (("source", 3), ("target", 4)):
        part = {key: value.numpy() for key, value in batch[name].items()}
        one = part["labels"][0, 0]
        for row in range(rows):
            if name == "source":
                own = part["mask"][row] == part["labels"][row, 0]
                part["mask"][row][own] = one
            part["labels"][row] = one
            part["tags"][row] = part["tags"][0]
        batch[name] = {k: tf.constant(v) for k, v in part.items()}
    return batch


def make(strategy=None):
    """The network and its update, with weights that no loss has by default."""
    return make_update(
        make_config(), MASK_WEIGHT, TAG_WEIGHT, strategy, OVERLAP_WEIGHT
    )


def losses_by_hand(net, batch):
    """What attention and decoder minimise, and what the tagger does."""
    source, target = batch["source"], batch["target"]
    features, *levels = net.encoder(
        tf.concat([source["image"], target["image"]], 0)
    )
    labels = tf.concat([source["labels"], target["labels"]], 0)
    outputs = net.attention([features, labels])
    rows = len(labels)
    # Every pair is one label of one picture.
    logs = tf.nn.log_softmax(outputs["class_logits"][:, 0])  # (B, C)
    right = [logs[row, labels[row, 0] - 1] for row in range(rows)]
    class_loss = -tf.add_n(right) / rows

    first = len(source["labels"])
    logits = net.mask_logits(
        [
            outputs["guide"][:first],
            source["labels"],
            *(maps[:first] for maps in net.select_levels(levels)),
        ]
    )[:, 0]  # (B, h, w, 2)
    truth, counted = targets_by_hand(source)
    both = tf.nn.log_softmax(logits)
    entropy = -(truth * both[..., 1] + (1 - truth) * both[..., 0])
    mask_loss = tf.reduce_sum(entropy * counted) / counted.sum()
    dice = []
    for row in range(first):
        found = tf.exp(both[row, ..., 1]) * counted[row]
        there = truth[row] * counted[row]
        size = tf.reduce_sum(found) + there.sum()
        dice.append(1 - 2 * tf.reduce_sum(found * there) / size)
    overlap_loss = tf.add_n(dice) / first

    # A picture's tags say something of its own domain's categories alone.
    split = split_of(make_config())
    tag_logits = net.tagger(features)["tag_logits"]
    entropies = []
    for row in range(rows):
        ids = split.source_ids if row < first else split.target_ids
        tags = tf.concat([source["tags"], target["tags"]], 0)[row]
        for i in ids:
            sign = 1 - 2 * tags[i - 1]
            entropies.append(tf.math.softplus(sign * tag_logits[row, i - 1]))
    tag_loss = tf.add_n(entropies) / rows
    total = class_loss + MASK_WEIGHT * mask_loss
    return total + OVERLAP_WEIGHT * overlap_loss, TAG_WEIGHT * tag_loss


def targets_by_hand(part):
    """Shares of the pair's category and of counted pixels in every cell."""

    def cells(pixels):
        rows, height, width = pixels.shape
        shape = (rows, height // STRIDE, STRIDE, width // STRIDE, STRIDE)
        return pixels.reshape(shape).mean((2, 4), dtype=np.float32)

    mask = part["mask"].numpy()
    labels = part["labels"].numpy()[:, :, None]
    counted = cells(mask != 255)
    truth = cells((mask == labels) & (mask != 255))
    return truth / np.maximum(counted, 1e-9), counted


def dense(gradient, shape):
    """In float64; the rows of a look-up added up one by one."""
    array = np.zeros(shape)
    if isinstance(gradient, tf.IndexedSlices):
        rows = gradient.indices.numpy()
        assert len(set(rows)) < len(rows)  # what this file is about
        np.add.at(array, rows, gradient.values.numpy().astype(np.float64))
    elif gradient is not None:
        array += gradient.numpy()
    return array


def adam(weight, gradients, factor):
    """Kingma and Ba's algorithm 1, as they wrote it, from its beginning."""
    first, second = np.zeros_like(weight), np.zeros_like(weight)
    for step, gradient in enumerate(gradients, 1):
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        mean = first / (1 - 0.9**step)
        square = second / (1 - 0.999**step)
        weight = weight - factor * RATE * mean / (np.sqrt(square) + 1e-8)
    return weight


def factor_of(name):
    """Biases learn twice as fast, the classifier's last layer ten times."""
    factor = 2 if name.endswith("bias") else 1
    return 10 * factor if "classifier_logits/" in name else factor


def variables_of(net):
    return named_variables(net, TransferNet.trained_parts)


@pytest.fixture(scope="module")
def expected():
    """By variable: weights after five updates, and which can be compared."""
    net, _ = make()
    batch = batch_of_doubles()
    variables = variables_of(net)
    start = {n: a.astype(np.float64) for n, a in read_arrays(variables).items()}
    history = {name: [] for name in start}
    own = [name for name in variables if not name.startswith("tagger/")]
    taggers = [name for name in variables if name.startswith("tagger/")]
    for _ in range(STEPS):
        with tf.GradientTape(persistent=True) as tape:
            total, tag = losses_by_hand(net, batch)
        for loss, names in ((total, own), (tag, taggers)):
            learnt = [variables[name] for name in names]
            gradients = tape.gradient(loss, learnt)
            for name, gradient in zip(names, gradients, strict=True):
                history[name].append(dense(gradient, start[name].shape))
                now = adam(start[name], history[name], factor_of(name))
                variables[name].assign(now)
    return {
        name: (adam(start[name], gradients, factor_of(name)), sure(gradients))
        for name, gradients in history.items()
    }


def sure(gradients):
    """Where no gradient is so small that rounding decides about its step.

    Adam makes full steps of gradients of any size. Float32 leaves an error of
    some 1e-7 of an array's large gradients in all of them: 1e-5 of a step
    where they are above a hundredth of the largest.
    """
    sizes = np.abs(gradients)
    return sizes.min(0) > 0.01 * sizes.max()


@pytest.mark.parametrize("strategy", ["one", "mirrored"])
def test_five_updates_are_those_of_numpy(expected, strategy):
    strategy = make_strategy(strategy)
    net, update = make(strategy)
    parts = batch_of_doubles()
    batch = share(strategy, parts)
    for _ in range(STEPS):
        update(batch, RATE)
    found = read_arrays(variables_of(net))
    assert found.keys() == expected.keys()
    shared = int(parts["source"]["labels"][0, 0]) - 1
    assert expected[EMBEDDING][1][shared].mean() > 0.5
    for name, array in found.items():
        # One bias for all positions: softmax does not see it, its gradient
        # is rounding noise.
        if name == "attention/att/att_w/bias":
            continue
        final, where = expected[name]
        assert where.any(), name
        np.testing.assert_allclose(
            array[where], final[where], rtol=0, atol=TOLERANCE, err_msg=name
        )
