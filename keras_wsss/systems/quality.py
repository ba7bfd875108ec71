"""How much is done for a picture: views, refinement, CRF, tiles.

`choose_quality` is the only place that knows the defaults: what `Predictor`,
the commands and the exported model give unless they are told otherwise, and
what `evaluate` marks in its table, come from it.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

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
SMALLEST_TILE = 32  # pixels


def augmented_views(scales: Sequence[float]) -> tuple[View, ...]:
    """Every scale, as it is and mirrored."""
    if not all(scale > 0 and math.isfinite(scale) for scale in scales):
        raise ConfigError(
            f"config.inference.scales is {tuple(scales)}; scales are positive."
        )
    return tuple(View(s, m) for s in scales for m in (False, True))


@dataclasses.dataclass(frozen=True)
class Tiling:
    """How a large picture is cut for the network.

    Attributes:
        side: of a tile, in pixels of the picture, at least 32.
        overlap: share of the side that neighbours have in common at least,
            0 to 0.5.
    """

    side: int
    overlap: float = 0.5

    def __post_init__(self) -> None:
        if self.side < SMALLEST_TILE:
            raise ConfigError(
                f"A tile of {self.side} pixels shows too little; give "
                f"{SMALLEST_TILE} or more."
            )
        if not 0 <= self.overlap <= 0.5:
            raise ConfigError(
                f"Tiles overlap by a share from 0 to 0.5 of their side, not "
                f"by {self.overlap}."
            )

    def cuts(self, height: int, width: int) -> bool:
        """Whether a picture of this size is larger than a tile."""
        return max(height, width) > self.side


@dataclasses.dataclass(frozen=True)
class Quality:
    """What is done for a picture, besides the network.

    Attributes:
        views: looks at the picture; tag scores and probabilities are means
            over them.
        refine: whether masks follow the picture's colours and edges.
        own_crf: whether the network's own CRF smooths its logits first, as
            the published inference of the prior system does.
        tiling: how pictures that are larger than a tile are cut; None looks
            at every picture as a whole.
    """

    views: tuple[View, ...] = RAW
    refine: bool = False
    own_crf: bool = False
    tiling: Tiling | None = None

    @property
    def name(self) -> str:
        """Its name in tables, e.g. "augmented + refined"."""
        parts = ["raw" if self.views == RAW else "augmented"]
        parts += ["own CRF"] * self.own_crf + ["refined"] * self.refine
        if self.tiling is not None:
            parts.append(f"tiles of {self.tiling.side}")
        return " + ".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """JSON values that tell it from others; see `View` and `Tiling`."""
        values = dataclasses.asdict(self)
        if self.tiling is None:
            del values["tiling"]  # as earlier folders have it
        return values


def choose_quality(
    steps: "Steps",
    augment: bool | None = None,
    refine: bool | None = None,
    own_crf: bool | None = None,
    tile: int | None = None,
    tile_overlap: float | None = None,
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
        tile: side of the tiles that larger pictures are cut into; 0 is the
            side of the network's own input. None does not cut.
        tile_overlap: see `Tiling`; None is its default.

    Raises:
        ConfigError: the network has no CRF of its own, a scale is not
            positive, or tiles of no use.
    """
    if own_crf:
        steps.check_crf()
    tiling = None
    if tile is not None:
        tiling = Tiling(tile or steps.network(1.0).views.image_size)
        if tile_overlap is not None:
            tiling = dataclasses.replace(tiling, overlap=tile_overlap)
    elif tile_overlap is not None:
        raise ConfigError("An overlap of tiles means nothing without tiles.")
    own_crf = steps.has_crf if own_crf is None else own_crf
    return Quality(
        RAW if augment is False else augmented_views(steps.scales),
        not own_crf if refine is None else refine,
        own_crf,
        tiling,
    )
