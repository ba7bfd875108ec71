"""What is decided when a model is exported; needs no TensorFlow."""

import dataclasses

from keras_wsss.systems.quality import Quality


@dataclasses.dataclass(frozen=True)
class ServingOptions:
    """What is decided when a model is exported.

    Attributes:
        max_pixels: largest height times width of a picture.
        max_tags: most tags that a request may name for a picture, and that
            the tagger may find; memory grows with them.
        max_batch: most pictures of a request. A body of 32 MB could hold
            half a million tiny ones and keep the server busy for hours.
        quality: what is done for a picture; None is what `choose_quality`
            says of the network.
    """

    max_pixels: int = 16_777_216
    max_tags: int = 8
    max_batch: int = 64
    quality: Quality | None = None
