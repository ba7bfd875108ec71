"""Whether two configs describe the same run."""

from collections.abc import Mapping
from typing import Any

from keras_wsss.config import (
    default_config,
    differences,
    to_json,
    with_earlier,
    without_gone,
)

# Fields that may differ between a run and its resumption, or between a run
# and the one it starts from: they do not change what is computed.
_FREE_FIELDS = (
    "data.memory_mb",
    "cache_switches",
    "train.examples",
    "train.log_every",
    "name",
)


def binding_differences(
    first: Mapping[str, Any], second: Mapping[str, Any]
) -> list[str]:
    """Sentences about fields that decide what a run computes.

    Args:
        first: a config as JSON values; a field that it lacks, being of an
            earlier version, has its default.
        second: the config to compare it with.

    Returns:
        Nothing when the two are of the same run.
    """
    filled = _filled(
        with_earlier(without_gone(first)), to_json(default_config())
    )
    return [
        text
        for text in differences(_which_views(filled), _which_views(second))
        if not text.startswith(_FREE_FIELDS)
    ]


def _which_views(config: Mapping) -> dict:
    """The folder of the cache is free, having one is not.

    Windows and mirroring are drawn from what the cache holds.
    """
    cached = "used" if config.get("feature_cache") else "not used"
    return {**config, "feature_cache": cached}


def _filled(values: Mapping, defaults: Mapping) -> dict:
    filled = dict(defaults)
    for key, value in values.items():
        if isinstance(value, Mapping) and isinstance(defaults.get(key), dict):
            value = _filled(value, defaults[key])
        filled[key] = value
    return filled
