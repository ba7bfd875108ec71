"""How much is done for a picture: views, refinement, the network's CRF.

`choose_quality` is the only place that knows the defaults: what `Predictor`,
the commands and the exported model give unless they are told otherwise, and
what `evaluate` marks in its table, come from it.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from keras_wsss.errors import ConfigError

if TYPE_CHECKING:
    from keras_wsss.systems.steps import Steps


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


@dataclasses.dataclass(frozen=True)
class Quality:
    """What is done for a picture, besides the network.

    Attributes:
        views: looks at the picture; tag scores and probabilities are means
            over them.
        refine: whether masks follow the picture's colours and edges.
        own_crf: whether the network's own CRF smooths its logits first, as
            the published inference of the prior system does.
    """

    views: tuple[View, ...] = RAW
    refine: bool = False
    own_crf: bool = False

    @property
    def name(self) -> str:
        """Its name in tables, e.g. "augmented + refined"."""
        parts = ["raw" if self.views == RAW else "augmented"]
        parts += ["own CRF"] * self.own_crf + ["refined"] * self.refine
        return " + ".join(parts)


def choose_quality(
    steps: "Steps",
    augment: bool | None = None,
    refine: bool | None = None,
    own_crf: bool | None = None,
) -> Quality:
    """The quality for a network; None leaves a choice to its system.

    TransferNet is augmented and refined. A network with a CRF of its own is
    augmented and has its CRF, which does the work of refinement.

    Args:
        steps: of the network.
        augment: average over mirrored pictures and the config's scales. A
            network with dense attention has one scale.
        refine: let masks follow the picture's colours and edges; None does
            so unless the network's own CRF is used.
        own_crf: let the network's own CRF smooth its logits first; None does
            so where there is one.

    Raises:
        ConfigError: the network has no CRF of its own, or a scale is not
            positive.
    """
    if own_crf:
        steps.check_crf()
    own_crf = steps.has_crf if own_crf is None else own_crf
    return Quality(
        RAW if augment is False else augmented_views(steps.scales),
        not own_crf if refine is None else refine,
        own_crf,
    )
