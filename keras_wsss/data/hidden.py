"""What a training step does not see: cells of a picture, or channels."""

import dataclasses

import numpy as np
import tensorflow as tf

from keras_wsss.data.sampling import random_units

_CELLS, _CHANNELS = 1, 2  # `keras_wsss.data.views` takes 0 of the same seed


@dataclasses.dataclass(frozen=True)
class HideAndSeek:
    """Draws the cells to hide, each on its own.

    Attributes:
        grid: cells along a side, 4 in the release.
        probability: of hiding a cell, 0.5 in the release.
    """

    grid: int = 4
    probability: float = 0.5

    def cells(self, seed: int) -> np.ndarray:
        """The cells of one slot of one step.

        Args:
            seed: see `PairBatch.seed`, a function of the run's seed and the
                step; it alone decides.

        Returns:
            float32 [grid, grid], 1 for hidden.
        """
        drawn = random_units(self.grid**2, seed=seed, stream=_CELLS)
        hidden = (drawn < self.probability).astype(np.float32)
        return hidden.reshape(self.grid, self.grid)


def hide(images: tf.Tensor, hidden: tf.Tensor) -> tf.Tensor:
    """Fills hidden cells with 0, which is the mean colour.

    The release leaves gaps of one pixel between cells and fills in the mean
    after it was subtracted; here cells are whole and take the mean colour
    itself, as Hide-and-Seek (Singh & Lee, ICCV 2017) intends.

    Args:
        images: float [B, a, a, 3], mean subtracted; the grid divides a.
        hidden: float [B, grid, grid], 1 for hidden.

    Returns:
        Same shape and dtype as `images`.
    """
    side = images.shape[1] // hidden.shape[1]
    seen = tf.repeat(tf.repeat(1.0 - hidden, side, axis=1), side, axis=2)
    return images * tf.cast(seen, images.dtype)[..., None]


@dataclasses.dataclass(frozen=True)
class ChannelDropout:
    """Draws the channels that a picture keeps, the same at every position.

    With few pictures of a category, a network on frozen features learns them
    by heart; it cannot when it sees other channels every time (Srivastava et
    al., JMLR 2014; whole channels: Tompson et al., CVPR 2015).

    Attributes:
        channels: D, channels of the encoder's features.
        share: of the channels that are hidden, at least 0 and below 1.
    """

    channels: int
    share: float

    def kept(self, seed: int) -> np.ndarray:
        """The factors of one slot of one step.

        Args:
            seed: see `PairBatch.seed`; it alone decides.

        Returns:
            float32 [D], 0 for hidden channels, else 1 / (1 - share), so that
            sums over channels keep their expected value.
        """
        drawn = random_units(self.channels, seed=seed, stream=_CHANNELS)
        kept = (drawn >= self.share).astype(np.float32)
        return kept / np.float32(1 - self.share)
