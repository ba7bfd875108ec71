"""What a config asks for that cannot be, found before anything is read.

Needs no TensorFlow, so that a command can say it at once.
"""

import functools
import os
from pathlib import Path
from typing import Any

from keras_wsss.config import Config, split_of
from keras_wsss.config_fields import range_problems
from keras_wsss.encoders import get_encoder
from keras_wsss.errors import ConfigError
from keras_wsss.systems import get_system
from keras_wsss.systems.system import Phase


def validate(
    config: Config,
    phase: str,
    init_from: object | None = None,
    begun: bool = False,
) -> None:
    """Refuses everything that a phase of the config's system cannot run.

    Args:
        config: the run's config.
        phase: a phase of its system.
        init_from: what the run starts from; masks that it has learned may
            stay as they are.
        begun: whether its folder holds the run already, which then has its
            first weights.

    Raises:
        ConfigError: names all problems, each with field, value and remedy.
    """
    found = range_problems(config)
    found += get_system(config.system).problems(config, phase)
    if not (init_from or begun):
        found += _weights_problems(config)
    found += _cache_problems(config) + _step_problems(config, phase)
    dtype = config.model.compute_dtype
    if config.train.deterministic and dtype not in ("auto", "float32"):
        found.append(
            f"config.model.compute_dtype is '{dtype}'; with "
            "config.train.deterministic it must be float32 or auto."
        )
    if config.train.deterministic and config.train.xla:
        found.append(
            "config.train.xla cannot go with config.train.deterministic: XLA "
            "has no deterministic gradient of max pooling. Switch one off."
        )
    try:
        split_of(config)
    except ConfigError as error:
        found.append(str(error))
    if not init_from and (text := no_masks_sentence(config, phase)):
        found.append(text)
    raise_problems(found)


def raise_problems(sentences: list[str]) -> None:
    """Raises one `ConfigError` with all sentences, if there are any."""
    if len(sentences) == 1:
        raise ConfigError(sentences[0])
    if sentences:
        numbered = (f"({n}) {text}" for n, text in enumerate(sentences, 1))
        raise ConfigError(
            f"{len(sentences)} things cannot be: {' '.join(numbered)}"
        )


def _weights_problems(config: Config) -> list[str]:
    """Sentences about files of the encoder's weights that there are not."""
    name, given = config.model.encoder, config.model.encoder_weights
    files = given.split("+") if "+" in name else [given]
    return [
        f"config.model.encoder_weights: {path} does not exist; check the path, "
        "or leave it empty for the usual places."
        for path in files
        if path and not Path(path).exists()
    ]


def _cache_problems(config: Config) -> list[str]:
    """A sentence about a folder of the cache that cannot be made."""
    if not config.cache.folder:
        return []
    folder = Path(config.cache.folder).absolute()
    there = next(p for p in (folder, *folder.parents) if p.exists())
    why = ""
    if not there.is_dir():
        why = "no folder"
    elif there != folder and not os.access(there, os.W_OK | os.X_OK):
        why = "not writable"
    return [
        f"config.cache.folder is '{config.cache.folder}', which cannot be "
        f"made: {there} is {why}; name another one, or leave it empty."
    ] * bool(why)


def _step_problems(config: Config, phase: str) -> list[str]:
    """Sentences about settings of training that a phase has no use for."""
    found, parts = [], config.train.micro_batches
    for domain in ("source", "target"):
        pictures = config.phases[phase][f"{domain}_pictures"]
        if parts > 0 and pictures % parts:
            found.append(
                f"config.phases.{phase}.{domain}_pictures is {pictures}, which "
                f"config.train.micro_batches, {parts}, does not divide; use a "
                "multiple of it."
            )
    why = ""
    if not phase_of(config, phase).source:
        why = f"--phase {phase} reads none; switch it off."
    elif not config.data.heldout:
        why = "config.data.heldout is 0; hold some out, or switch it off."
    if config.train.keep_best and why:
        found.append(
            "config.train.keep_best chooses by held-out source pictures, and "
            + why
        )
    return found


# --- For the systems' own checks.


def encoder_problems(config: Config) -> list[str]:
    """A sentence about an encoder that there is not."""
    try:
        get_encoder(config.model.encoder)
    except ConfigError as error:
        return [f"config.model.encoder: {error}"]
    return []


def resize_problems(config: Config) -> list[str]:
    """A sentence about windows that are larger than the picture."""
    image = config.image
    if image.resize >= image.size:
        return []
    return [
        f"config.image.resize is {image.resize}; it must be at least "
        f"config.image.size, {image.size}."
    ]


# --- Updates that teach masks, see `keras_wsss.mask_updates`.


def own_mask_updates(config: Config, phase: str, step: int) -> int:
    """Updates up to a step of a phase that teach masks.

    Args:
        config: the run's config.
        phase: the phase's name.
        step: updates done, from 0.
    """
    if not phase_of(config, phase).mask_weight or _weight(config, phase):
        return 0
    return max(0, step - config.phases[phase].warmup_steps)


def untaught_sentence(
    config: Config, phase: str, before: int, step: int
) -> str:
    """Why masks that the network draws are noise at a step, or "".

    Args:
        config: the run's config.
        phase: the phase's name.
        before: updates that taught masks in the runs before.
        step: updates done, from 0.
    """
    if before or own_mask_updates(config, phase, step):
        return ""
    why = "no update has taught it yet"
    if not own_mask_updates(config, phase, config.phases[phase].steps):
        why = f"phase {phase} does not teach it, a later one does"
    return f"Masks of the {drawer(config)} are noise: {why}."


def no_masks_sentence(config: Config, phase: str) -> str:
    """Why no update of a phase would teach masks, or "" if some do."""
    if not phase_of(config, phase).mask_weight:
        return ""
    if own_mask_updates(config, phase, config.phases[phase].steps):
        return ""
    return (
        f"{no_masks_reason(config, phase)}, so no mask would ever teach the "
        f"{drawer(config)}; {no_masks_remedy(config, phase)}."
    )


def no_masks_reason(config: Config, phase: str) -> str:
    """Which fields keep a phase from teaching masks."""
    if name := _weight(config, phase):
        return f"config.{name} is 0"
    group, name = config.phases[phase], f"config.phases.{phase}"
    return (
        f"{name}.warmup_steps is {group.warmup_steps} and {name}.steps "
        f"{group.steps}"
    )


def no_masks_remedy(config: Config, phase: str) -> str:
    """What to do about it."""
    if name := _weight(config, phase):
        return f"give --config.{name} a positive number"
    name = f"--config.phases.{phase}"
    return f"make {name}.warmup_steps less than the steps"


def drawer(config: Config) -> str:
    """What of the network draws masks."""
    return get_system(config.system).drawer


def phase_of(config: Config, name: str) -> Phase:
    """A phase of the config's system.

    Raises:
        ConfigError: it has none of this name.
    """
    phase = get_system(config.system).find_phase(name)
    if phase is None:
        raise ConfigError(
            f"config.system '{config.system}' has no phase '{name}'."
        )
    return phase


def _weight(config: Config, phase: str) -> str | None:
    """The weight of the masks' loss, where it is 0."""
    name = phase_of(config, phase).mask_weight
    value: Any = functools.reduce(getattr, name.split("."), config)
    return None if value else name
