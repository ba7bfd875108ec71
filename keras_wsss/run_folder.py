"""What a run folder holds, and how a network is read from it."""

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from keras_wsss.checkpoints import (
    Checkpoint,
    find_latest,
    load_latest,
    save_checkpoint,
)
from keras_wsss.errors import ConfigError
from keras_wsss.files import sha256
from keras_wsss.systems.network import (
    Network,
    assign_arrays,
    named_variables,
    read_arrays,
)
from keras_wsss.tagging import TagRule

CONFIG_FILE = "config.json"
PHASE_FILE = "phase.json"
ABOUT_FILE = "about.json"
RESULTS_FILE = "results.json"
CHECKPOINTS = "checkpoints"
BEST = "best"  # the checkpoint that was best on held-out source masks
# What `--checkpoint` may name, and where in a run folder it lies.
CHECKPOINT_FOLDERS = {"last": CHECKPOINTS, "best": BEST}
TAGGING_FILE = "tagging.json"
HELDOUT_FILE = "heldout.json"
EVENTS = "events"
ENCODER = "encoder"


def read_phase(run: Path) -> dict:
    """Phase and start of a run, as `train.py` noted them.

    Raises:
        ConfigError: the folder is not that of a run.
    """
    try:
        text = (run / PHASE_FILE).read_text(encoding="utf-8")
        found = json.loads(text)
        if not isinstance(found, dict) or "phase" not in found:
            raise ValueError("it names no phase")
        return found
    except (OSError, RecursionError, ValueError) as error:
        raise ConfigError(
            f"{run / PHASE_FILE}: cannot be read ({error}); is the folder a "
            "training run?"
        ) from error


def read_results(run: Path) -> dict:
    """The figures of a finished run.

    Raises:
        ConfigError: there are none, or the file is damaged.
    """
    path = run / RESULTS_FILE
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{path}: cannot be read ({error}); remove it and repeat the "
            "training command, which writes it anew."
        ) from error


def weights_digest(run: str | Path, folder: str = CHECKPOINTS) -> str:
    """SHA-256 of the checkpoint file that a run's network is read from.

    That is the newest sound one, in hexadecimal: see `load_trained_parts`.

    Args:
        run: the run folder.
        folder: where in it the checkpoint lies.

    Raises:
        ConfigError: the folder holds no sound checkpoint.
    """
    # Whoever reads the network says what is damaged.
    found = find_latest(Path(run) / folder, log=lambda line: None)
    if found is None:
        raise ConfigError(_no_checkpoint(run, folder))
    return sha256(found[0])


def load_trained_parts(
    net: Network, run: Path, folder: str = CHECKPOINTS
) -> int:
    """Loads what a run has trained into a network of the same categories.

    Args:
        net: the network.
        run: the run folder.
        folder: where in it the checkpoint lies.

    Returns:
        The step of the checkpoint.

    Raises:
        ConfigError: the folder holds no checkpoint.
        DataError: damaged, or of another network.
    """
    step, arrays = read_trained_arrays(run, folder)
    assign_arrays(named_variables(net, net.trained_parts), arrays, str(run))
    return step


def read_trained_arrays(
    run: Path, folder: str = CHECKPOINTS
) -> tuple[int, dict[str, np.ndarray]]:
    """What a run has trained: the newest sound checkpoint's step and weights.

    Args:
        run: the run folder.
        folder: where in it the checkpoint lies.

    Returns:
        The step, and arrays by the names of `named_variables`.

    Raises:
        ConfigError: the folder holds no checkpoint.
    """
    checkpoint = load_latest(run / folder)
    if checkpoint is None:
        raise ConfigError(_no_checkpoint(run, folder))
    return checkpoint.step, {
        name.removeprefix("model/"): array
        for name, array in checkpoint.arrays.items()
        if name.startswith("model/")
    }


def read_tag_rule(run: Path, folder: str = CHECKPOINTS) -> TagRule | None:
    """The thresholds of tags that a run chose on its held-out tags.

    Args:
        run: the run folder.
        folder: where in it the checkpoint lies.

    Returns:
        None where it could choose none: too few held-out tagged pictures.

    Raises:
        ConfigError: the file is damaged.
    """
    path = run / folder / TAGGING_FILE
    if not path.exists():
        return None
    try:
        rule = json.loads(path.read_text(encoding="utf-8"))["rule"]
        return rule and TagRule(**rule)
    except (KeyError, OSError, RecursionError, TypeError, ValueError) as error:
        raise ConfigError(
            f"{path}: cannot be read ({error}); restore it, or remove it and "
            "give config.inference.tag_threshold."
        ) from error


def load_run_encoder(net: Network, run: Path) -> None:
    """Loads the frozen encoder that a run was trained with from its folder.

    Nothing is loaded into a network without a frozen part.

    Raises:
        ConfigError: the folder holds no encoder.
    """
    if not net.frozen_parts:
        return
    found = load_latest(run / ENCODER)
    if found is None:
        raise ConfigError(
            f"{run} holds no encoder weights; it must be the --workdir of a "
            "training run."
        )
    named = named_variables(net, net.frozen_parts)
    assign_arrays(named, found.arrays, str(run))


def keep_encoder(net: Network, run: Path, init_from: Path | None) -> None:
    """Leaves the frozen encoder in a run's folder, so that the run is whole.

    Where the run that it starts from has the same one, the two share a file
    on disk (a hard link): each folder can be removed, moved or copied alone,
    and files of weights are replaced as a whole, never written into.

    Args:
        net: with the encoder's weights.
        run: the run folder.
        init_from: run folder of the run before, if any.

    Raises:
        DataError: it could not be written.
    """
    arrays = read_arrays(named_variables(net, net.frozen_parts))
    before = find_latest(init_from / ENCODER) if init_from else None
    if before is not None and _same(arrays, before[1].arrays):
        folder = run / ENCODER
        with contextlib.suppress(OSError):  # another disk, or it has no links
            folder.mkdir(parents=True, exist_ok=True)
            os.link(before[0], folder / before[0].name)
            return
    save_checkpoint(run / ENCODER, Checkpoint(0, arrays, {}))


def _same(
    ours: Mapping[str, np.ndarray], others: Mapping[str, np.ndarray]
) -> bool:
    """Whether names, types and values are the same."""
    return ours.keys() == others.keys() and all(
        array.dtype == others[name].dtype
        and np.array_equal(array, others[name])
        for name, array in ours.items()
    )


def _no_checkpoint(run: str | Path, folder: str) -> str:
    if folder == BEST:
        return (
            f"{Path(run) / BEST} holds no sound checkpoint; train with "
            "--config.train.keep_best=True, or leave --checkpoint out for the "
            "last one."
        )
    return (
        f"{run} holds no sound checkpoint; it must be the --workdir of a "
        "training run."
    )
