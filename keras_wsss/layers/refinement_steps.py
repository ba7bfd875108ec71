"""The three steps of image-guided refinement, as plain TensorFlow ops.

All work on batches with dynamic sizes, in float32, on [B, h, w, K] arrays
whose K channels never mix.
"""

import itertools
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

# Keeps the logarithms of `appearance_evidence` finite, and weak where a
# label covers (almost) nothing or everything.
EVIDENCE_FLOOR = 0.01


def grid_size(size: tf.Tensor, longest: int) -> tf.Tensor:
    """Size of the grid whose longest side has at most `longest` cells.

    Args:
        size: int32 [2]; height and width of the picture.
        longest: cells on the longest side; smaller pictures keep their size.

    Returns:
        int32 [2]; both at least 1.
    """
    size = tf.cast(size, tf.float32)
    scale = tf.minimum(1.0, longest / tf.reduce_max(size))
    return tf.maximum(tf.cast(tf.round(size * scale), tf.int32), 1)


def appearance_evidence(
    image: tf.Tensor,
    logits: tf.Tensor,
    position_std: float,
    rgb_std: float,
    weight: float,
    iterations: int,
) -> tf.Tensor:
    """What the colours of the whole picture say about each cell.

    Every cell looks at all others through an exact Gaussian kernel over
    position and colour. Let s be the share of foreground among the cells
    that look alike, and m its share in the picture; the evidence is the log
    of (s / m) / ((1 - s) / (1 - m)), as between two colour models. Unlike
    the messages of a CRF, which side with the majority, it does not shrink
    small objects: a cell that looks like nothing in particular gets 0.

    Args:
        image: float32 [B, h, w, 3], 0 to 255.
        logits: float32 [B, h, w, K]; log odds of foreground.
        position_std: standard deviation of the kernel in space, as a part
            of the longest side.
        rgb_std: standard deviation in colour, grey levels.
        weight: factor of the evidence.
        iterations: rounds of counting shares and adding the evidence.

    Returns:
        float32 [B, h, w, K]; to be added to `logits`.
    """
    shape = tf.shape(logits)
    batch, height, width, labels = tf.unstack(shape)
    longest = tf.cast(tf.maximum(height, width), tf.float32)
    y, x = tf.meshgrid(tf.range(height), tf.range(width), indexing="ij")
    position = tf.cast(tf.reshape(tf.stack([y, x], -1), [-1, 2]), tf.float32)
    position = position[None] / (longest * position_std)  # (1, N, 2)
    # Distances do not change with the origin, but the rounding of the product
    # below does.
    image -= tf.reduce_mean(image, (1, 2), keepdims=True)
    colour = tf.reshape(image / rgb_std, [batch, -1, 3])  # (B, N, 3)
    position = tf.tile(position, [batch, 1, 1])
    features = tf.concat([position, colour], -1)  # (B, N, 5)
    # -|f - g|^2 / 2 = f g - |f|^2 / 2 - |g|^2 / 2 as one product: each pass
    # over the N x N kernel takes as long as everything else.
    half = -0.5 * tf.reduce_sum(features**2, -1, keepdims=True)  # (B, N, 1)
    one = tf.ones_like(half)
    exponent = fine_product(
        tf.concat([features, half, one], -1),
        tf.concat([features, one, half], -1),
    )
    kernel = tf.exp(exponent)  # (B, N, N)
    start = tf.reshape(logits, [batch, -1, labels])  # (B, N, K)

    def step(evidence: tf.Tensor) -> tf.Tensor:
        foreground = tf.sigmoid(start + evidence)
        mean = tf.reduce_mean(foreground, 1, keepdims=True)
        sums = tf.matmul(kernel, tf.concat([foreground, one], -1))
        share = sums[..., :-1] / sums[..., -1:]
        return weight * (
            tf.math.log(share + EVIDENCE_FLOOR)
            - tf.math.log(mean + EVIDENCE_FLOOR)
            - tf.math.log(1.0 - share + EVIDENCE_FLOOR)
            + tf.math.log(1.0 - mean + EVIDENCE_FLOOR)
        )

    evidence = _repeat(step, tf.zeros_like(start), iterations)
    return tf.reshape(evidence, shape)


def fine_product(left: tf.Tensor, right: tf.Tensor) -> tf.Tensor:
    """All inner products of rows, exact to float32 on every device.

    Newer GPUs round what they multiply to the 11 bits of TensorFloat-32,
    which makes entries of a Gaussian kernel up to 40 % wrong. So what they
    round away is a column of its own here.

    Args:
        left: float32 [B, N, D].
        right: float32 [B, M, D]; both with a small D.

    Returns:
        float32 [B, N, M].
    """
    return tf.matmul(*in_two_parts(left, right), transpose_b=True)


def in_two_parts(
    left: tf.Tensor, right: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Rows with the same inner products, of numbers of few bits.

    Returns:
        float32 [B, N, 4 D] and [B, M, 4 D].
    """

    def parts(values: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        # Veltkamp: the upper 11 bits, and the 13 that are left.
        shifted = values * (2.0**13 + 1.0)
        coarse = shifted - (shifted - values)
        return coarse, values - coarse

    coarse, fine = parts(left)
    other_coarse, other_fine = parts(right)
    return (
        tf.concat([coarse, coarse, fine, fine], -1),
        tf.concat([other_coarse, other_fine, other_coarse, other_fine], -1),
    )


def _offsets(steps: Sequence[int]) -> list[tuple[int, int]]:
    """The 8 neighbours at each step size, as (down, right)."""
    around = itertools.product((-1, 0, 1), repeat=2)
    directions = [offset for offset in around if offset != (0, 0)]
    return [(step * y, step * x) for step in steps for y, x in directions]


def _neighbours(values: tf.Tensor, steps: Sequence[int]) -> tf.Tensor:
    """The neighbours' values, 0 outside: [B, C, h, w] -> [8S, B, C, h, w]."""
    reach = max(steps)
    height, width = tf.shape(values)[2], tf.shape(values)[3]
    padded = tf.pad(values, [[0, 0], [0, 0], [reach, reach], [reach, reach]])
    shifted = []
    for y, x in _offsets(steps):
        top, left = reach + y, reach + x
        shifted.append(padded[:, :, top : top + height, left : left + width])
    return tf.stack(shifted)


def _repeat(
    step: Callable[[tf.Tensor], tf.Tensor], start: tf.Tensor, times: int
) -> tf.Tensor:
    """Applies `step` some times; one loop in a graph, however many times."""
    (result,) = tf.while_loop(
        lambda _: True,
        lambda values: (tf.ensure_shape(step(values), start.shape),),
        (start,),
        maximum_iterations=times,
    )
    return result


def local_mean_field(
    image: tf.Tensor,
    logits: tf.Tensor,
    steps: Sequence[int],
    rgb_std: float,
    weight: float,
    iterations: int,
) -> tf.Tensor:
    """Mean field of a binary CRF over a few neighbours of like colour.

    Each cell is tied to its 8 neighbours at each step size with a Gaussian
    weight of the colour difference, normalised over the neighbours (as in
    Araslanov & Roth, "Single-Stage Semantic Segmentation from Image Labels",
    CVPR 2020, section 3.4, there without unary term).

    Args:
        image: float32 [B, h, w, 3], 0 to 255.
        logits: float32 [B, h, w, K]; log odds of foreground, the unary term.
        steps: distances of the neighbours in cells.
        rgb_std: standard deviation of the weights in colour, grey levels.
        weight: strength of the pairwise term; the largest possible message.
        iterations: mean-field iterations.

    Returns:
        float32 [B, h, w, K]; log odds of foreground.
    """
    # Channels first: the affinities are shared by the channels, and ops run
    # over long rows instead of a few channels.
    image = tf.transpose(image, [0, 3, 1, 2])
    logits = tf.transpose(logits, [0, 3, 1, 2])
    inside = _neighbours(tf.ones_like(image[:, :1]), steps)
    difference = _neighbours(image, steps) - image[None]
    squares = tf.reduce_sum(difference**2, 2, keepdims=True)
    affinity = inside * tf.exp(-squares / (2.0 * rgb_std**2))
    # The small term leaves a cell alone that resembles no neighbour.
    total = tf.reduce_sum(affinity, 0, keepdims=True) + 1e-6
    affinity *= weight / total  # (8S, B, 1, h, w)

    def step(refined: tf.Tensor) -> tf.Tensor:
        # tanh(l / 2) = p - (1 - p): the difference of the two labels.
        beliefs = _neighbours(tf.tanh(0.5 * refined), steps)
        return logits + tf.reduce_sum(affinity * beliefs, 0)

    refined = _repeat(step, logits, iterations)
    return tf.transpose(refined, [0, 2, 3, 1])


def _box_mean(values: tf.Tensor, radius: int) -> tf.Tensor:
    """Mean over (2 radius + 1)^2 cells, of those inside the picture."""
    side = 2 * radius + 1
    values = tf.nn.avg_pool2d(values, (side, 1), 1, "SAME")
    return tf.nn.avg_pool2d(values, (1, side), 1, "SAME")


def guided_upsample(
    image: tf.Tensor,
    small_image: tf.Tensor,
    values: tf.Tensor,
    radius: int,
    epsilon: float,
) -> tf.Tensor:
    """Brings values to the picture's size along the picture's edges.

    Fast guided filter (He & Sun, arXiv 1505.00996) with a colour guide: on
    the small grid the values are fitted by linear functions of the colour
    in every window; the averaged coefficients are enlarged and applied to
    the picture itself.

    Args:
        image: float32 [B, H, W, 3], 0 to 1.
        small_image: float32 [B, h, w, 3], the same reduced.
        values: float32 [B, h, w, K].
        radius: of the windows, in cells of the small grid.
        epsilon: ridge penalty; the variance of colour (0 to 1 scale) below
            which a window counts as flat.

    Returns:
        float32 [B, H, W, K]; may leave the range of `values` a little.
    """
    mean = _box_mean(small_image, radius)  # (B, h, w, 3)
    mean_values = _box_mean(values, radius)  # (B, h, w, K)
    products = small_image[..., :, None] * small_image[..., None, :]
    covariance = _box_mean_of_last_two(products, radius)
    covariance -= mean[..., :, None] * mean[..., None, :]
    covariance += epsilon * np.eye(3, dtype=np.float32)
    cross = small_image[..., :, None] * values[..., None, :]
    cross = _box_mean_of_last_two(cross, radius)
    cross -= mean[..., :, None] * mean_values[..., None, :]  # (B, h, w, 3, K)
    slope = tf.matmul(_inverse_of_symmetric(covariance), cross)
    offset = mean_values - tf.reduce_sum(slope * mean[..., None], -2)
    coefficients = tf.concat([slope, offset[..., None, :]], -2)
    coefficients = _box_mean_of_last_two(coefficients, radius)
    shape = tf.shape(coefficients)  # (B, h, w, 4, K)
    size = tf.shape(image)[1:3]
    flat = tf.reshape(coefficients, [shape[0], shape[1], shape[2], -1])
    large = tf.image.resize(flat, size, method="bilinear")
    labels = tf.split(
        tf.reshape(large, [shape[0], size[0], size[1], 4, -1]), 4, axis=3
    )
    result = labels[3][..., 0, :]
    for channel in range(3):
        result += image[..., channel, None] * labels[channel][..., 0, :]
    return result


def _box_mean_of_last_two(values: tf.Tensor, radius: int) -> tf.Tensor:
    """`_box_mean` of [B, h, w, I, J] arrays."""
    shape = tf.shape(values)
    flat = tf.reshape(values, [shape[0], shape[1], shape[2], -1])
    return tf.reshape(_box_mean(flat, radius), shape)


def _inverse_of_symmetric(matrix: tf.Tensor) -> tf.Tensor:
    """Inverse of symmetric 3x3 matrices [..., 3, 3] by their cofactors.

    `tf.linalg.inv` works matrix by matrix and takes most of the filter's
    time on a CPU.
    """
    a, b, c = (matrix[..., 0, i] for i in range(3))
    d, e, f = matrix[..., 1, 1], matrix[..., 1, 2], matrix[..., 2, 2]
    cofactors = [
        d * f - e * e,
        c * e - b * f,
        b * e - c * d,
        a * f - c * c,
        b * c - a * e,
        a * d - b * b,
    ]
    determinant = a * cofactors[0] + b * cofactors[1] + c * cofactors[2]
    rows = tf.stack([cofactors[i] for i in (0, 1, 2, 1, 3, 4, 2, 4, 5)], -1)
    rows /= determinant[..., None]
    return tf.reshape(rows, tf.shape(matrix))
