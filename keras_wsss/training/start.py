"""What a run takes over from the run that `--init_from` names."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from keras_wsss.categories import Split, same_categories
from keras_wsss.config import split_of
from keras_wsss.config_files import load_run_config
from keras_wsss.run_folder import read_trained_arrays
from keras_wsss.systems import get_system
from keras_wsss.systems.category_axes import carry_over
from keras_wsss.systems.network import (
    Network,
    assign_arrays,
    named_variables,
    read_arrays,
)

_NAMED = 12  # categories carried over that a line names


@dataclasses.dataclass(frozen=True)
class CarriedCategories:
    """What became of the categories of two runs.

    Attributes:
        carried: name here to name there, of those whose weights go on.
        new: names here that begin with random weights.
        left_out: names there whose weights are not used any more.
    """

    carried: dict[str, str]
    new: tuple[str, ...]
    left_out: tuple[str, ...]

    def to_dict(self) -> dict:
        """JSON values."""
        return dataclasses.asdict(self)

    def sentence(self, run: str | Path) -> str:
        """One line for the log."""
        names = [
            here if here == there else f"{here} as {there}"
            for here, there in self.carried.items()
        ]
        # Who is called otherwise must be seen, so it comes first.
        names.sort(key=lambda name: name in self.carried)
        more = f" and {len(names) - _NAMED} more" * (len(names) > _NAMED)
        return (
            f"Categories of {run}: {len(names)} carried over "
            f"({_listed(names[:_NAMED])}{more}); new: {_listed(self.new)}; "
            f"left out: {_listed(self.left_out)}."
        )


def load_start(
    net: Network, config, split: Split, run: Path
) -> CarriedCategories:
    """Gives a new network the trained weights of a run, by category name.

    Entries of categories that the run does not have keep the values that the
    network was built with.

    Args:
        net: the network, with random weights.
        config: its config.
        split: its categories.
        run: folder of the run to start from, whose network may have other
            categories, and in another order.

    Raises:
        ConfigError: the folder holds no checkpoint, or aliases make one
            category of several.
        DataError: damaged, or of another network.
    """
    run_config = load_run_config(run)
    run_split = split_of(run_config)
    axes_of = get_system(config.system).category_axes
    there, here = axes_of(run_config, run_split), axes_of(config, split)
    same = same_categories(split, run_split)
    _, arrays = read_trained_arrays(run)
    variables = named_variables(net, net.trained_parts)
    fresh = read_arrays({name: variables[name] for name in here})
    carried = carry_over(arrays, there, fresh, here, same, str(run))
    assign_arrays(variables, carried, str(run))
    return _compared(_names(here), _names(there), same)


def _names(axes) -> list[str]:
    """Categories that a network has, in their order."""
    keys = next(iter(axes.values())).keys if axes else ()
    return [key for key in keys if isinstance(key, str)]


def _compared(
    here: Sequence[str], there: Sequence[str], same: dict[str, str]
) -> CarriedCategories:
    carried = {name: same[name] for name in here if same.get(name) in there}
    return CarriedCategories(
        carried,
        tuple(name for name in here if name not in carried),
        tuple(name for name in there if name not in carried.values()),
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"
