"""Weights that are laid out by category, and how they follow the names."""

import dataclasses
import enum
from collections.abc import Mapping

import numpy as np

from keras_wsss.errors import DataError


class Column(enum.Enum):
    """What stands beside the categories; no name can be mistaken for it."""

    BACKGROUND = "background"
    ABSENT = "absent"  # "the label asked for is not in the picture"


@dataclasses.dataclass(frozen=True)
class CategoryAxis:
    """How one variable is laid out by category.

    Attributes:
        axis: the axis that has an entry for each category.
        keys: what the entries are of, in their order: names and columns.
    """

    axis: int
    keys: tuple[str | Column, ...]


CategoryAxes = Mapping[str, CategoryAxis]


def carry_over(
    arrays: Mapping[str, np.ndarray],
    there: CategoryAxes,
    fresh: Mapping[str, np.ndarray],
    here: CategoryAxes,
    same: Mapping[str, str],
    origin: str,
) -> dict[str, np.ndarray]:
    """Weights of a network for one that differs from it by its categories.

    Args:
        arrays: the trained weights, by the names of the variables.
        there: their variables that are laid out by category.
        fresh: first values of the new network, of its own such variables at
            least.
        here: the new network's variables that are laid out by category.
        same: name of a category here to its name there; what is not in it
            is new. See `keras_wsss.categories.same_categories`.
        origin: where the weights come from, for errors.

    Returns:
        `arrays`, of which those in `here` have the new network's categories:
        the trained entries of those that were there, the fresh ones of those
        that are new.

    Raises:
        DataError: an array does not have the shape that its axis says.
    """
    carried = dict(arrays)
    for name, axis in here.items():
        # What is missing, the assignment names.
        if name in arrays and name in there:
            _check_shape(
                arrays[name], there[name], fresh[name], axis, name, origin
            )
            carried[name] = _by_key(
                arrays[name], there[name], fresh[name], axis, same
            )
    return carried


def _by_key(
    trained: np.ndarray,
    there: CategoryAxis,
    fresh: np.ndarray,
    here: CategoryAxis,
    same: Mapping[str, str],
) -> np.ndarray:
    places = {key: place for place, key in enumerate(there.keys)}
    values = fresh.astype(trained.dtype)
    entries = np.moveaxis(values, here.axis, 0)  # views: writing fills them
    found = np.moveaxis(trained, there.axis, 0)
    for place, key in enumerate(here.keys):
        origin = same.get(key) if isinstance(key, str) else key
        if origin in places:
            entries[place] = found[places[origin]]
    return values


def _check_shape(
    trained: np.ndarray,
    there: CategoryAxis,
    fresh: np.ndarray,
    here: CategoryAxis,
    name: str,
    origin: str,
) -> None:
    needed = list(fresh.shape)
    needed[here.axis] = len(there.keys)
    if trained.shape != tuple(needed):
        raise DataError(
            f"{origin}: '{name}' has shape {trained.shape}, {tuple(needed)} is "
            "needed for the categories of its config; restore the run's own "
            "checkpoints and config.json."
        )
