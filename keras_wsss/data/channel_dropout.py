"""Which channels of the encoder a training step does not see."""

import dataclasses

import numpy as np

from keras_wsss.data.sampling import random_words
from keras_wsss.errors import ConfigError

_STREAM = 2  # views and hidden cells take 0 and 1 of the same seed


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

    def __post_init__(self) -> None:
        if not 0 <= self.share < 1:
            raise ConfigError(
                f"config.train.feature_dropout is {self.share}; it must be at "
                "least 0 and less than 1."
            )

    def kept(self, seed: int) -> np.ndarray:
        """The factors of one slot of one step.

        Args:
            seed: see `PairBatch.seed`; it alone decides.

        Returns:
            float32 [D], 0 for hidden channels, else 1 / (1 - share), so that
            sums over channels keep their expected value.
        """
        words = random_words(
            self.channels, seed=seed, stream=_STREAM, position=0
        )
        unit = (words >> np.uint64(11)).astype(np.float64) / 2.0**53  # [0, 1)
        kept = (unit >= self.share).astype(np.float32)
        return kept / np.float32(1 - self.share)
