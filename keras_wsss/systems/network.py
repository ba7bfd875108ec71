"""From a run's config to its network, and its weights by name.

Networks of both systems say which of their parts are trained
(`trained_parts`) and which are frozen and kept beside (`frozen_parts`).
"""

from collections.abc import Iterable, Mapping

import keras
import numpy as np

from keras_wsss.categories import Split
from keras_wsss.errors import ConfigError, DataError
from keras_wsss.systems.prior.network import Prior, PriorConfig, build_prior
from keras_wsss.systems.problems import PROBLEMS
from keras_wsss.systems.transfernet.network import (
    TransferNet,
    TransferNetConfig,
    build_transfernet,
)


def network_config(config, split: Split) -> TransferNetConfig | PriorConfig:
    """What decides the variables of a config's network.

    Raises:
        ConfigError: a field that no network can have.
    """
    if config.system == "prior":
        return PriorConfig(
            num_categories=len(split.target_ids),
            encoder=config.model.encoder,
            dropout=config.prior.dropout,
            frozen_blocks=config.prior.frozen_blocks,
            fc6_dilation=config.prior.fc6_dilation,
        )
    if config.system != "transfernet":
        raise ConfigError(
            f"config.system is '{config.system}'; use one of "
            f"{', '.join(sorted(PROBLEMS))}."
        )
    model = config.model
    if model.judge == "tagger" and config.train.absent_per_image:
        raise ConfigError(
            "config.train.absent_per_image asks for absent labels, which only "
            "config.model.judge='classifier' can answer; set it to 0 or "
            "change the judge."
        )
    return TransferNetConfig(
        num_categories=split.num_categories,
        encoder=model.encoder,
        image_size=config.image.size,
        attention=model.attention,
        attention_units=model.attention_units,
        classifier_units=model.classifier_units,
        absent_class=config.train.absent_per_image > 0,
        judge=model.judge,
        attention_gain=model.attention_gain,
        classifier_gain=model.classifier_gain,
        normalization=model.normalization,
        decoder_width=model.decoder_width,
        output_stride=model.output_stride,
        initializer=model.initializer,
        shortcut=model.shortcut,
        guide_maps=model.guide_maps,
        guide_features=model.guide_features,
        tagger_units=model.tagger_units,
    )


def build_network(config, split: Split) -> TransferNet | Prior:
    """Builds the network of a config, with random weights.

    Raises:
        ConfigError: a field that no network can have.
    """
    wanted = network_config(config, split)
    if isinstance(wanted, PriorConfig):
        return build_prior(wanted)
    try:
        return build_transfernet(wanted)
    except ValueError as error:
        raise ConfigError(f"config.model: {error}.") from error


def shape_fields(config) -> tuple[str, ...]:
    """The fields that decide shapes of variables, other than by categories.

    Weights fit into the network of another config where these are equal.
    """
    if config.system == "prior":
        return ("model.encoder",)
    fields = [
        f"model.{name}"
        for name in (
            "encoder",
            "attention",
            "attention_units",
            "judge",
            "decoder_width",
            "output_stride",
            "shortcut",
            "guide_maps",
            "guide_features",
            "tagger_units",
        )
    ]
    if config.model.judge == "classifier":
        fields.append("model.classifier_units")
    if config.model.attention == "dense":
        fields.append("image.size")
    return tuple(fields)


def usage_fields(config) -> tuple[str, ...]:
    """The fields that decide what weights mean, though no shape."""
    if config.system == "prior":
        return ("prior.fc6_dilation",)
    names = ("attention_gain", "classifier_gain", "normalization")
    return tuple(f"model.{name}" for name in names)


def named_variables(
    net: TransferNet | Prior, parts: Iterable[str]
) -> dict[str, keras.Variable]:
    """The variables of parts of a network, by "part/layer/variable".

    A variable that two parts share stands under the first.
    """
    named: dict[str, keras.Variable] = {}
    seen: set[int] = set()
    for part in parts:
        for variable in getattr(net, part).variables:
            if id(variable) in seen:
                continue
            seen.add(id(variable))
            name = f"{part}/{variable.path}"
            if name in named:
                raise AssertionError(f"two variables are called {name}")
            named[name] = variable
    return named


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
