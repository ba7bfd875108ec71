"""Which pictures are worth a person's time, by what a network says of them.

Everything here is computed from the tagger's probabilities, the network's own
foreground probabilities and the given tags. No true mask is known here.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

# What pictures are put in order by.
TAGS, MASKS, TEACHING = "tags", "masks", "teaching"
ORDERS = (TAGS, MASKS, TEACHING)
# A probability of 0 or 1 is no proof.
_NEVER_SURE = 0.01


@dataclasses.dataclass(frozen=True)
class Look:
    """What the network says of a picture, and what its tags say.

    Attributes:
        image: the picture's name in a tags file.
        tags: ids that are given or, where no tags are, those that would be
            predicted.
        unknown: ids of which the given tags say nothing.
        is_given: whether tags are given.
        predicted: ids that the tagger names.
        scores: float32 [C], the tagger's probability of every category.
        areas: id -> share of the picture that its mask takes, of the ids
            whose masks were looked at: `tags` and what comes close to them.
        sureness: likewise, what `expected_iou` says of the mask.
        competition: what `competition` says of the masks of `tags`.
    """

    image: str
    tags: tuple[int, ...]
    unknown: tuple[int, ...]
    is_given: bool
    predicted: tuple[int, ...]
    scores: np.ndarray
    areas: Mapping[int, float]
    sureness: Mapping[int, float]
    competition: float

    def doubts(self, ids: Sequence[int]) -> np.ndarray:
        """How probably each of some categories is tagged wrongly.

        Args:
            ids: K categories.

        Returns:
            float [K] in [0, 1]: 1 minus the tagger's probability of a tag,
            the probability of what is no tag, and 0 of what is unknown.
        """
        scores = np.asarray(self.scores, float)[np.array(ids, int) - 1]
        doubts = np.where(np.isin(ids, self.tags), 1.0 - scores, scores)
        return np.where(np.isin(ids, self.unknown), 0.0, doubts)


def expected_iou(foreground: np.ndarray, threshold: float = 0.5) -> float:
    """The IoU of a mask that its own probabilities let expect.

    That of the mask with a truth which has each pixel with its probability,
    as ratio of the expected sizes of intersection and union.

    Args:
        foreground: float [H, W] in [0, 1].
        threshold: what is above is the mask.

    Returns:
        In [0, 1]; 0 for a mask without a pixel.
    """
    inside = foreground > threshold
    common = float(foreground[inside].sum())
    union = float(inside.sum() + foreground[~inside].sum())
    return common / union if union else 0.0


def competition(probabilities: np.ndarray, threshold: float = 0.5) -> float:
    """How much of the masks of a picture is claimed by two of its tags.

    Args:
        probabilities: float [K, H, W] in [0, 1].
        threshold: what is above belongs to a mask.

    Returns:
        Share of the pixels of any mask, in [0, 1], which a second one has,
        each weighted by how close the two probabilities are.
    """
    if len(probabilities) < 2:
        return 0.0
    second, first = np.sort(probabilities, axis=0)[-2:]
    masked = first > threshold
    if not masked.any():
        return 0.0
    claimed = np.where(second > threshold, second / np.maximum(first, 1e-6), 0)
    return float(claimed[masked].mean())


@dataclasses.dataclass(frozen=True)
class Ranking:
    """Pictures in an order.

    Attributes:
        values: float [N], higher for what is worth more.
        order: int [N], numbers of the pictures, first one first.
    """

    values: np.ndarray
    order: np.ndarray


def rank(
    looks: Sequence[Look], ids: Sequence[int], first: int
) -> dict[str, Ranking]:
    """Puts pictures in every order.

    * "tags": whose given tags look wrong, both ways: the tagger's loss on
      them, minus the sum of log(1 - doubt). Of pictures without given tags,
      how much the predicted ones may cost: the sum over categories of doubt
      times area, as a share of that category's area in all pictures, which
      is how mean IoU weighs it.
    * "masks": whose masks are unsure or compete: the larger of 1 minus the
      lowest expected IoU of a tag, and `competition`.
    * "teaching": which true masks would teach most: the sum over the tags of
      1 minus the expected IoU, times the probability that the tag is right.
      The first ones are taken one by one, and a category counts the less the
      more often it was taken already, so that all of them come in.

    Args:
        looks: N pictures.
        ids: categories that count.
        first: how many of the order "teaching" are taken one by one.
    """
    needs = np.array([_needs(look, ids) for look in looks])
    values = {
        TAGS: _tag_values(looks, ids),
        MASKS: np.array([_mask_value(look) for look in looks]),
        TEACHING: needs.sum(axis=1),
    }
    orders = {
        key: np.argsort(-found, kind="stable") for key, found in values.items()
    }
    orders[TEACHING] = _varied(needs, orders[TEACHING], first)
    return {key: Ranking(values[key], orders[key]) for key in ORDERS}


def _tag_values(looks: Sequence[Look], ids: Sequence[int]) -> np.ndarray:
    doubts = np.array([look.doubts(ids) for look in looks])
    doubts = np.minimum(doubts, 1.0 - _NEVER_SURE)
    areas = np.array([[look.areas.get(i, 0.0) for i in ids] for look in looks])
    tagged = np.array([np.isin(ids, look.tags) for look in looks])
    totals = (areas * tagged).sum(axis=0)
    # A category that is tagged nowhere has no more than this picture.
    costs = doubts * areas / np.maximum(np.maximum(totals, areas), 1e-9)
    given = np.array([look.is_given for look in looks])
    losses = -np.log1p(-doubts)
    return np.where(given, losses.sum(axis=1), costs.sum(axis=1))


def _mask_value(look: Look) -> float:
    own = [look.sureness[i] for i in look.tags if i in look.sureness]
    return max(1.0 - min(own, default=1.0), look.competition)


def _needs(look: Look, ids: Sequence[int]) -> np.ndarray:
    """How much a true mask of each category would tell, float [K]."""
    unsure = 1.0 - np.array([look.sureness.get(i, 1.0) for i in ids])
    right = np.asarray(look.scores, float)[np.array(ids, int) - 1]
    return np.where(np.isin(ids, look.tags), unsure * right, 0.0)


def _varied(needs: np.ndarray, order: np.ndarray, first: int) -> np.ndarray:
    """The order in which pictures are taken, what was taken counting less."""
    taken, chosen = np.zeros(needs.shape[1]), []
    left = np.ones(len(needs), bool)
    for _ in range(min(first, len(needs))):
        gains = np.where(left, needs @ (1.0 / (1.0 + taken)), -1.0)
        chosen.append(int(gains.argmax()))
        left[chosen[-1]] = False
        taken += needs[chosen[-1]] > 0
    return np.array([*chosen, *(i for i in order if left[i])], int)
