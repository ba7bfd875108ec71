"""Whose run a folder holds: checked before, and noted when one begins."""

from collections.abc import Sequence
from pathlib import Path

from keras_wsss.config import (
    differences,
    load_config,
    save_config,
    split_of,
    to_json,
)
from keras_wsss.data.formats.voc import write_classes
from keras_wsss.errors import ConfigError
from keras_wsss.files import write_json
from keras_wsss.run_folder import (
    ABOUT_FILE,
    CONFIG_FILE,
    PHASE_FILE,
    read_phase,
)
from keras_wsss.systems import get_system
from keras_wsss.systems.system import Phase
from keras_wsss.training.identity import binding_differences


def check_folder(config, phase: Phase, workdir: Path, init_from) -> None:
    """Checks that a folder which holds a run already holds this one."""
    identity = _identity(phase, init_from)
    if init_from:
        _check_start(config, phase, Path(init_from))
    path = workdir / CONFIG_FILE
    if path.exists():
        there = to_json(load_config(path))
        changed = binding_differences(there, to_json(config))
        if (known := read_phase(workdir)) != identity:
            changed += differences(known, identity)
        if changed:
            raise ConfigError(
                f"{workdir} holds a run with another configuration: "
                f"{'; '.join(changed)}. Choose another --workdir, or repeat "
                "that run's own command to resume it."
            )


def claim_folder(
    config, phase: Phase, workdir: Path, init_from, about: dict
) -> None:
    """Notes what runs in a folder, once all that it starts from is loaded.

    A command with a wrong path must not claim the folder for its config.

    Args:
        config: the run's config.
        phase: the run's phase.
        workdir: the run folder.
        init_from: folder of the run that it starts from, or None.
        about: JSON values to keep of the run's beginning.
    """
    path = workdir / CONFIG_FILE
    if not path.exists():
        write_json(workdir / ABOUT_FILE, about)
        write_json(workdir / PHASE_FILE, _identity(phase, init_from))
        # Ids of the run's masks and weights, whatever its split is called.
        write_classes(workdir, split_of(config).categories)
        save_config(path, config)


def _check_start(config, phase: Phase, run: Path) -> None:
    """The run to start from is of a fitting phase and network."""
    found = read_phase(run)["phase"]
    if found not in phase.starts_from:
        raise ConfigError(
            f"{run} is a run of --phase {found}; --phase {phase.name} starts "
            f"from {' or '.join(phase.starts_from)}."
        )
    fields = ("system", *get_system(config.system).shape_fields(config))
    changed = differing_fields(config, run, fields)
    if changed:
        raise ConfigError(
            f"The network of {run} differs from this config's: "
            f"{'; '.join(changed)}. Give them the values of that run, or "
            "start from a run with this config's."
        )


def differing_fields(config, run: Path, fields: Sequence[str]) -> list[str]:
    """Sentences about those of some fields that are not as in another run."""
    there = to_json(load_config(run / CONFIG_FILE))
    return [
        text
        for text in differences(there, to_json(config))
        if text.partition(" ")[0] in fields
    ]


def _identity(phase: Phase, init_from) -> dict:
    return {
        "phase": phase.name,
        "init_from": str(init_from) if init_from else None,
    }
