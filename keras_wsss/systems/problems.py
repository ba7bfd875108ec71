"""What a config asks for that cannot be, found before anything is read.

Needs no TensorFlow, so that a command can say it at once.
"""

from collections.abc import Callable, Mapping

from keras_wsss.config import Config, split_of
from keras_wsss.config_fields import range_problems
from keras_wsss.errors import ConfigError
from keras_wsss.systems.prior.problems import problems as prior_problems
from keras_wsss.systems.transfernet.problems import (
    problems as transfernet_problems,
)

# (config, phase) to sentences, of each system.
PROBLEMS: Mapping[str, Callable[[Config, str], list[str]]] = {
    "transfernet": transfernet_problems,
    "prior": prior_problems,
}
_WITHOUT_MASKS = "attention"  # the phase that teaches tags alone
_PRIOR = "joint"  # the phase of the prior system


def validate(
    config: Config, phase: str, init_from: object | None = None
) -> None:
    """Refuses everything that a phase of the config's system cannot run.

    Args:
        config: the run's config.
        phase: a phase of its system.
        init_from: what the run starts from; masks that it has learned may
            stay as they are.

    Raises:
        ConfigError: names all problems, each with field, value and remedy.
    """
    found = range_problems(config)
    if config.system in PROBLEMS:
        found += PROBLEMS[config.system](config, phase)
    else:
        found.append(
            f"config.system is '{config.system}'; use one of "
            f"{', '.join(sorted(PROBLEMS))}."
        )
    try:
        split_of(config)
    except ConfigError as error:
        found.append(str(error))
    if not init_from and (text := no_masks_sentence(config, phase)):
        found.append(text)
    raise_problems(found)


def raise_problems(found: list[str]) -> None:
    """Raises one `ConfigError` with all sentences, if there are any."""
    if len(found) == 1:
        raise ConfigError(found[0])
    if found:
        numbered = (f"({n}) {text}" for n, text in enumerate(found, 1))
        raise ConfigError(
            f"{len(found)} things cannot be: {' '.join(numbered)}"
        )


# --- Updates that teach masks, see `keras_wsss.mask_updates`.


def own_mask_updates(config: Config, phase: str, step: int) -> int:
    """Updates up to a step of a phase that teach masks.

    Args:
        config: the run's config.
        phase: the phase's name.
        step: updates done, from 0.
    """
    if phase == _WITHOUT_MASKS or _weight_field(config, phase):
        return 0
    return max(0, step - config.phases[phase].warmup_steps)


def no_masks_sentence(config: Config, phase: str) -> str:
    """Why no update of a phase would teach masks, or "" if some do."""
    group = config.phases[phase]
    if phase == _WITHOUT_MASKS or own_mask_updates(config, phase, group.steps):
        return ""
    return (
        f"{no_masks_reason(config, phase)}, so no mask would ever teach the "
        f"{drawer(phase)}; {no_masks_remedy(config, phase)}."
    )


def no_masks_reason(config: Config, phase: str) -> str:
    """Which fields keep a phase from teaching masks."""
    if name := _weight_field(config, phase):
        return f"config.{name} is 0"
    group, name = config.phases[phase], f"config.phases.{phase}"
    return (
        f"{name}.warmup_steps is {group.warmup_steps} and {name}.steps "
        f"{group.steps}"
    )


def no_masks_remedy(config: Config, phase: str) -> str:
    """What to do about it."""
    if name := _weight_field(config, phase):
        return f"give --config.{name} a positive number"
    name = f"--config.phases.{phase}"
    return f"make {name}.warmup_steps less than the steps"


def drawer(phase: str) -> str:
    """What of the network draws the masks that a phase teaches."""
    return "stream S" if phase == _PRIOR else "decoder"


def _weight_field(config: Config, phase: str) -> str | None:
    """The weight of the masks' loss, where it is 0."""
    name = "segment_weight" if phase == _PRIOR else "mask_weight"
    group = "prior" if phase == _PRIOR else "train"
    return None if config[group][name] else f"{group}.{name}"
