"""The phases of training: which data, which losses, what they start from."""

import dataclasses

from keras_wsss.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class Phase:
    """One row of the phase table.

    Attributes:
        name: value of `--phase`.
        target: whether target pictures are used.
        masks: whether the mask loss is used, on source pictures.
        starts_from: phases whose run `--init_from` may name; empty when the
            phase starts from the encoder's weights alone.
        starts_alone: whether it may also start from the encoder's weights.
        source: whether source pictures are used; without, nothing of them
            is read.
        system: the method that the phase belongs to, see `config.system`.
    """

    name: str
    target: bool
    masks: bool
    starts_from: tuple[str, ...] = ()
    starts_alone: bool = False
    source: bool = True
    system: str = "transfernet"


PHASES = {
    phase.name: phase
    for phase in (
        # Published step 1.
        Phase("attention", target=True, masks=False),
        # Ours: masks teach the decoder before any target category exists.
        Phase("decoder", target=False, masks=True),
        # Published step 2 when it starts from "attention". From "decoder",
        # new target categories need this phase alone. From "transfer", tags
        # of further pictures are added, and further categories.
        Phase(
            "transfer",
            target=True,
            masks=True,
            starts_from=("attention", "decoder", "transfer"),
        ),
        # The prior system: tags alone, in one phase. From a run of its own,
        # updates are added: other losses after the same warm-up, say.
        Phase(
            "joint",
            target=True,
            masks=False,
            starts_from=("joint",),
            starts_alone=True,
            source=False,
            system="prior",
        ),
    )
}


def get_phase(
    name: str, init_from: str | None, system: str = "transfernet"
) -> Phase:
    """The phase called `name`.

    Args:
        name: a key of `PHASES`.
        init_from: the run folder that training starts from, or None.
        system: the method of the config.

    Raises:
        ConfigError: unknown phase, a phase of the other system, or
            `init_from` missing or not wanted.
    """
    if name not in PHASES:
        raise ConfigError(
            f"Unknown phase '{name}'; use one of {', '.join(sorted(PHASES))}."
        )
    phase = PHASES[name]
    if phase.system != system:
        fitting = [p.name for p in PHASES.values() if p.system == system]
        raise ConfigError(
            f"--phase {name} trains the system '{phase.system}', but "
            f"config.system is '{system}'; use --phase {' or '.join(fitting)}, "
            "or another config."
        )
    if phase.starts_from and not (init_from or phase.starts_alone):
        raise ConfigError(
            f"--phase {name} starts from an earlier run: give its folder with "
            f"--init_from (a run of --phase {phase.starts_from[1]} or "
            f"{phase.starts_from[0]})."
        )
    if init_from and not phase.starts_from:
        raise ConfigError(
            f"--phase {name} starts from the encoder's weights; leave out "
            f"--init_from {init_from}."
        )
    return phase
