"""How many updates have taught a run to draw masks.

What draws them is TransferNet's decoder, or stream S of the prior system. The
warm-up of a phase and the whole phase `attention` teach it nothing: its masks
are then noise that looks like a result. Every checkpoint notes the number,
that of the runs before it included; for those of earlier versions it is
computed from their configs.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from keras_wsss.checkpoints import list_checkpoints, read_meta
from keras_wsss.config import load_config
from keras_wsss.errors import ConfigError, DataError
from keras_wsss.run_folder import (
    CHECKPOINTS,
    CONFIG_FILE,
    PHASE_FILE,
    read_phase,
)
from keras_wsss.systems import get_system
from keras_wsss.systems.system import Phase

MASK_UPDATES = "mask_updates"  # in a checkpoint's meta, and in results.json


def own_mask_updates(config, phase: str, step: int) -> int:
    """Updates up to a step of a phase that teach masks.

    Args:
        config: the run's config.
        phase: the phase's name.
        step: updates done, from 0.
    """
    field = _phase(config, phase).mask_weight
    if not field or not _value(config, field):
        return 0
    return max(0, step - config[phase].warmup_steps)


def count_mask_updates(
    run: Path, step: int | None = None, folder: str = CHECKPOINTS
) -> int:
    """Updates that have taught a run's masks, with those before it.

    Args:
        run: a run folder.
        step: of the checkpoint that counts; the newest readable one if None.
        folder: where in the run folder the checkpoint lies.

    Raises:
        ConfigError: the folder is not that of a run.
        DataError: the checkpoint cannot be read.
    """
    return _count(Path(run), step, (), folder)


def untrained_sentence(
    run: Path, step: int | None = None, folder: str = CHECKPOINTS
) -> str:
    """Why a run's masks are noise and what to do; "" if they are not.

    Args:
        run: a run folder.
        step: of the checkpoint that counts; the newest readable one if None.
        folder: where in the run folder the checkpoint lies.

    Raises:
        ConfigError: the folder is not that of a run.
        DataError: the checkpoint cannot be read.
    """
    if count_mask_updates(run, step, folder):
        return ""
    step = _newest_step(run, folder) if step is None else step
    phase, _, config = _read(run)
    what = f"{run}: no mask has taught the {_drawer(config)} of this run"
    if not _phase(config, phase).mask_weight:
        following = [
            after.name
            for after in get_system(config.system).phases
            if after.mask_weight and phase in after.starts_from
        ]
        return (
            f"{what} (--phase {phase} learns from tags alone), so its masks "
            f"would be noise; go on with train.py --phase "
            f"{' or '.join(following)} --init_from {run} and use that run."
        )
    if own_mask_updates(config, phase, config[phase].steps):
        return (
            f"{what} yet (step {step}, of which the first "
            f"{config[phase].warmup_steps} are without), so its masks would "
            "be noise; repeat its training command, which goes on from there."
        )
    return (
        f"{what} ({_reason(config, phase)}), so its masks would be noise; "
        f"train again with another --workdir, and {_remedy(config, phase)}."
    )


def check_masks_will_be_learned(
    config, phase: str, init_from, report: Callable[[str], None]
) -> None:
    """Refuses a phase that would end with masks that are noise.

    One that starts from a run with learned masks may leave them as they are,
    and says so.

    Args:
        config: the run's config.
        phase: the phase's name.
        init_from: folder of the run that it starts from, or None.
        report: takes a line.

    Raises:
        ConfigError: names the fields and what to do.
    """
    if not _phase(config, phase).mask_weight:
        return
    if own_mask_updates(config, phase, config[phase].steps):
        return
    reason, drawer = _reason(config, phase), _drawer(config)
    if init_from and count_mask_updates(Path(init_from)):
        report(
            f"No mask teaches the {drawer} in this run ({reason}): its masks "
            f"stay those of {init_from}."
        )
        return
    raise ConfigError(
        f"{reason}, so no mask would ever teach the {drawer}; "
        f"{_remedy(config, phase)}."
    )


def _reason(config, phase: str) -> str:
    if field := _weight_field(config, phase):
        return f"config.{field} is 0"
    return (
        f"config.{phase}.warmup_steps is {config[phase].warmup_steps} and "
        f"config.{phase}.steps {config[phase].steps}"
    )


def _remedy(config, phase: str) -> str:
    if field := _weight_field(config, phase):
        return f"give --config.{field} a positive number"
    return f"make --config.{phase}.warmup_steps less than the steps"


def _weight_field(config, phase: str) -> str | None:
    """The weight of the masks' loss, where it is 0."""
    field = _phase(config, phase).mask_weight
    return None if _value(config, field) else field


def _value(config, field: str) -> Any:
    return functools.reduce(getattr, field.split("."), config)


def _phase(config, name: str) -> Phase:
    """A phase of the config's system, which must have it."""
    phase = get_system(config.system).find_phase(name)
    if phase is None:
        raise ConfigError(
            f"config.system '{config.system}' has no phase '{name}'."
        )
    return phase


def _drawer(config) -> str:
    return get_system(config.system).drawer


def _count(
    run: Path,
    step: int | None,
    seen: tuple[Path, ...],
    folder: str = CHECKPOINTS,
) -> int:
    """As `count_mask_updates`; `seen` ends folders that name each other."""
    step = _newest_step(run, folder) if step is None else step
    found = read_meta(run / folder / f"step_{step:09d}.npz")
    number = found.get(MASK_UPDATES)
    if isinstance(number, int) and number >= 0:
        return number
    phase, start, config = _read(run)
    own = own_mask_updates(config, phase, step)
    if not start or run in seen:
        return own
    try:
        return own + _count(Path(start), None, (*seen, run))
    except (ConfigError, DataError):
        return own  # the run before is gone, so what it learned is not known


def _read(run: Path) -> tuple[str, str | None, Any]:
    """Phase, start and config of a run, as `train.py` noted them."""
    found = read_phase(run)
    phase, start = found["phase"], found.get("init_from")
    config = load_config(run / CONFIG_FILE)
    if get_system(config.system).find_phase(phase) is None:
        raise ConfigError(
            f"{run / PHASE_FILE}: there is no phase {phase!r}; restore the "
            "file, or train again with another --workdir."
        )
    return phase, str(start) if start else None, config


def _newest_step(run: Path, folder: str) -> int:
    """Step of the newest checkpoint that can be read."""
    for path in reversed(list_checkpoints(run / folder)):
        try:
            return read_meta(path)["step"]
        except DataError:
            continue  # whoever loads it says what is damaged
    raise ConfigError(
        f"{run} holds no sound checkpoint; it must be the --workdir of a "
        "training run."
    )
