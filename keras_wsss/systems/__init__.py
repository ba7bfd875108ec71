"""The methods: what each is, and by which name a config asks for it.

`keras_wsss.systems.system.System` is what a system must say of itself.
"""

from typing import TYPE_CHECKING

from keras_wsss.config import register_start
from keras_wsss.errors import ConfigError
from keras_wsss.lazy import lazy_names
from keras_wsss.registry import Registry
from keras_wsss.systems.system import Job, Parts, Phase, System

if TYPE_CHECKING:
    from keras_wsss.systems.network import Network as Network
    from keras_wsss.systems.network import arguments_of as arguments_of
    from keras_wsss.systems.replicated_update import (
        ReplicatedUpdate as ReplicatedUpdate,
    )
    from keras_wsss.systems.steps import Steps as Steps
    from keras_wsss.systems.streams import make_stream as make_stream

# What a system of one's own is made of needs TensorFlow, but for its contract.
__getattr__, _, _made_of = lazy_names(
    __name__,
    {
        f"{__name__}.network": ["Network", "arguments_of"],
        f"{__name__}.replicated_update": ["ReplicatedUpdate"],
        f"{__name__}.steps": ["Steps"],
        f"{__name__}.streams": ["make_stream"],
    },
)
__all__ = [
    "Job",
    "Parts",
    "Phase",
    "System",
    "get_phase",
    "get_system",
    "phase_table",
    "register_system",
    "system_names",
]
__all__ += _made_of

_SYSTEMS: Registry[System] = Registry(
    "config.system",
    {
        "transfernet": "keras_wsss.systems.transfernet.system:TRANSFERNET",
        "prior": "keras_wsss.systems.prior.system:PRIOR",
    },
)


def system_names() -> tuple[str, ...]:
    """What `config.system` may be."""
    return _SYSTEMS.names()


def get_system(name: str) -> System:
    """The system called `name`. Raises `ConfigError` if there is none.

    TensorFlow waits until the system is asked to build something.
    """
    return _SYSTEMS.get(name)


def register_system(system: System) -> System:
    """Makes a system known by its name; gives it back."""
    register_start(system.name, system.start)
    return _SYSTEMS.register(system)


def phase_table() -> tuple[tuple[System, Phase], ...]:
    """Every phase with the system that it belongs to: what `--phase` may be."""
    systems = map(get_system, system_names())
    return tuple((system, p) for system in systems for p in system.phases)


def get_phase(name: str, init_from: str | None, system: str) -> Phase:
    """The phase called `name`.

    Args:
        name: value of `--phase`.
        init_from: the run folder that training starts from, or None.
        system: the method of the config.

    Raises:
        ConfigError: unknown phase, a phase of another system, or
            `init_from` missing or not wanted.
    """
    own = get_system(system)
    phase = own.find_phase(name)
    if phase is None:
        owners = {p.name: owner.name for owner, p in phase_table()}
        if name not in owners:
            raise ConfigError(
                f"Unknown phase '{name}'; use one of "
                f"{', '.join(sorted(owners))}."
            )
        raise ConfigError(
            f"--phase {name} trains the system '{owners[name]}', but "
            f"config.system is '{system}'; use --phase "
            f"{' or '.join(p.name for p in own.phases)}, or another config."
        )
    if phase.starts_from and not (init_from or phase.starts_alone):
        raise ConfigError(
            f"--phase {name} starts from an earlier run: give its folder with "
            f"--init_from (a run of --phase {' or '.join(phase.starts_from)})."
        )
    if init_from and not phase.starts_from:
        raise ConfigError(
            f"--phase {name} starts from the encoder's weights; leave out "
            f"--init_from {init_from}."
        )
    return phase


def __dir__() -> list[str]:
    return sorted(__all__)
