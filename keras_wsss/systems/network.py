"""What the networks of all systems have in common, and weights by name."""

import inspect
import re
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import keras
import numpy as np

from keras_wsss.categories import Split
from keras_wsss.errors import DataError
from keras_wsss.systems import get_system


class Network(keras.Model):
    """A functional model whose parts are attributes and share its variables.

    Args:
        inputs: see `keras.Model`.
        outputs: see `keras.Model`.
        arguments: from which the class builds an equal network.
        **kwargs: name of the model.

    Attributes:
        trained_parts: names of the parts that training changes; checkpoints
            have them.
        frozen_parts: names of the parts that it does not; a run folder keeps
            them once.
        used_levels: the encoder's levels that masks are made of, in the
            order in which the network takes them.
    """

    trained_parts: ClassVar[tuple[str, ...]] = ()
    frozen_parts: ClassVar[tuple[str, ...]] = ("encoder",)
    used_levels: tuple[int, ...] = ()

    def __init__(self, inputs, outputs, arguments: Mapping[str, Any], **kwargs):
        super().__init__(inputs, outputs, **kwargs)
        self._arguments = dict(arguments)

    @property
    def large_weights(self) -> list[keras.Variable]:
        """Weights that a product is faster than their cast.

        Of layers that compute in `compute_dtype`; see `CastWeights`.
        """
        return []

    def get_config(self) -> dict[str, Any]:
        """The arguments that rebuild this network, as JSON values."""
        return {**self._arguments, "name": self.name}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Builds a network from what `get_config` gave."""
        return cls(**config)  # Keras would make a plain model of it

    def rebuilt(self, **changes) -> "Network":
        """A network with other arguments and the same weights.

        Raises:
            DataError: the weights do not fit.
        """
        net = type(self)(**{**self._arguments, **changes})
        parts = (*self.frozen_parts, *self.trained_parts)
        arrays = read_arrays(named_variables(self, parts))
        assign_arrays(named_variables(net, parts), arrays, self.name)
        return net


def arguments_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments among the `locals()` of a network's `__init__`."""
    others = ("self", "kwargs", "__class__")
    return {k: v for k, v in values.items() if k not in others}


def arguments_from(network: type[Network], group: Any) -> dict[str, Any]:
    """Those arguments of a network that are fields of a config's group."""
    names = inspect.signature(network).parameters
    return {k: getattr(group, k) for k in names if hasattr(group, k)}


def build_network(config, split: Split) -> Network:
    """Builds the network of a config, with random weights.

    Raises:
        ConfigError: a field that no network can have.
    """
    return get_system(config.system).build(config, split)


def named_variables(
    net: Network, parts: Iterable[str]
) -> dict[str, keras.Variable]:
    """The variables of parts of a network, by "part/layer/variable".

    A variable that two parts share stands under the first.
    """
    named: dict[str, keras.Variable] = {}
    seen: set[int] = set()
    for part in parts:
        model = getattr(net, part)
        # The state of a dropout that never acts is nothing to keep.
        frozen = part in net.frozen_parts
        for variable in model.weights if frozen else model.variables:
            if id(variable) in seen:
                continue
            seen.add(id(variable))
            name = _steady(f"{part}/{variable.path}", named)
            if name in named:
                raise AssertionError(f"two variables are called {name}")
            named[name] = variable
    return named


def _steady(name: str, taken: Iterable[str]) -> str:
    """A name that is the same in every process.

    Keras counts variables without a name of their own over all of a process.
    """
    layer, _, own = name.rpartition("/")
    if not re.fullmatch(r"variable(_\d+)?", own):
        return name
    before = f"{layer}/variable"
    return f"{before}{sum(other.startswith(before) for other in taken)}"


def read_arrays(
    variables: Mapping[str, keras.Variable],
) -> dict[str, np.ndarray]:
    """The values of variables as NumPy arrays."""
    return {
        name: np.asarray(keras.ops.convert_to_numpy(variable))
        for name, variable in variables.items()
    }


def assign_arrays(
    variables: Mapping[str, keras.Variable],
    arrays: Mapping[str, np.ndarray],
    origin: str,
) -> None:
    """Gives every variable its array.

    Raises:
        DataError: an array is missing, or of another shape or kind.
    """
    for name, variable in variables.items():
        if name not in arrays:
            raise DataError(
                f"{origin}: holds no '{name}'; it belongs to another network."
            )
        if tuple(arrays[name].shape) != tuple(variable.shape):
            raise DataError(
                f"{origin}: '{name}' has shape {tuple(arrays[name].shape)}, "
                f"{tuple(variable.shape)} is needed; it was made with another "
                "config."
            )
        kind = np.dtype(variable.dtype)
        if not np.can_cast(arrays[name].dtype, kind, "same_kind"):
            raise DataError(
                f"{origin}: '{name}' holds {arrays[name].dtype}, {kind} is "
                "needed; the file is no checkpoint of ours."
            )
        variable.assign(arrays[name])
