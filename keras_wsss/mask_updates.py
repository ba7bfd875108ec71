"""How many updates have taught a run to draw masks.

What draws them is TransferNet's decoder, or stream S of the prior system. The
warm-up of a phase and the whole phase `attention` teach it nothing: its masks
are then noise that looks like a result. Every checkpoint notes the number,
that of the runs before it included; for those of earlier versions it is
computed from their configs.
"""

from collections.abc import Callable
from pathlib import Path

from keras_wsss.checkpoints import list_checkpoints, read_meta
from keras_wsss.config import Config
from keras_wsss.config_files import load_run_config
from keras_wsss.errors import ConfigError, DataError
from keras_wsss.run_folder import (
    CHECKPOINTS,
    PHASE_FILE,
    read_phase,
)
from keras_wsss.systems import get_system
from keras_wsss.systems.problems import (
    drawer,
    no_masks_reason,
    no_masks_remedy,
    no_masks_sentence,
    own_mask_updates,
    phase_of,
)

MASK_UPDATES = "mask_updates"  # in a checkpoint's meta, and in results.json


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

    Arguments and errors are those of `count_mask_updates`.
    """
    if count_mask_updates(run, step, folder):
        return ""
    step = _newest_step(run, folder) if step is None else step
    phase, _, config = _read(run)
    what = f"{run}: no mask has taught the {drawer(config)} of this run"
    if not phase_of(config, phase).mask_weight:
        following = [
            after.name
            for after in get_system(config.system).phases
            if after.mask_weight and phase in after.starts_from
        ]
        return (
            f"{what} (--phase {phase} learns from tags alone), so its masks "
            f"would be noise; go on with --phase {' or '.join(following)} "
            f"--init_from {run} and use that run."
        )
    if own_mask_updates(config, phase, config.phases[phase].steps):
        return (
            f"{what} yet (step {step}, of which the first "
            f"{config.phases[phase].warmup_steps} are without), so its masks "
            "would be noise; repeat its training command, which goes on from "
            "there."
        )
    return (
        f"{what} ({no_masks_reason(config, phase)}), so its masks would be "
        "noise; train again with another --workdir, and "
        f"{no_masks_remedy(config, phase)}."
    )


def check_masks_will_be_learned(
    config, phase: str, init_from, log: Callable[[str], None]
) -> None:
    """Refuses a phase that would end with masks that are noise.

    One that starts from a run with learned masks may leave them as they are,
    and says so.

    Args:
        config: the run's config.
        phase: the phase's name.
        init_from: folder of the run that it starts from, or None.
        log: takes a line.

    Raises:
        ConfigError: names the fields and what to do.
    """
    sentence = no_masks_sentence(config, phase)
    if not sentence:
        return
    if init_from and count_mask_updates(Path(init_from)):
        log(
            f"No mask teaches the {drawer(config)} in this run "
            f"({no_masks_reason(config, phase)}): its masks stay those of "
            f"{init_from}."
        )
        return
    raise ConfigError(sentence)


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


def _read(run: Path) -> tuple[str, str | None, Config]:
    """Phase, start and config of a run, as `train.py` noted them."""
    found = read_phase(run)
    phase, start = found["phase"], found.get("init_from")
    config = load_run_config(run)
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
