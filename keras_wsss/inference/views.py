"""Looks at a picture for test-time augmentation."""

import dataclasses
import math
from collections.abc import Sequence

from keras_wsss.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class View:
    """One look at a picture for test-time augmentation.

    Attributes:
        scale: factor of the network's input size.
        mirror: whether the picture is mirrored.
    """

    scale: float = 1.0
    mirror: bool = False


RAW = (View(),)


def augmented_views(scales: Sequence[float]) -> tuple[View, ...]:
    """Every scale, as it is and mirrored."""
    if not all(scale > 0 and math.isfinite(scale) for scale in scales):
        raise ConfigError(
            f"config.inference.scales is {tuple(scales)}; scales are positive."
        )
    return tuple(View(s, m) for s in scales for m in (False, True))
