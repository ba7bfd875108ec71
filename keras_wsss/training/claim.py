"""Whose run a folder holds: checked before, and noted when one begins."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_wsss.config import (
    Config,
    differences,
    save_config,
    split_of,
)
from keras_wsss.config_fields import flat
from keras_wsss.config_files import config_of_run, load_run_config
from keras_wsss.data.formats.voc import write_classes
from keras_wsss.data.pseudo_masks import read_manifest
from keras_wsss.data.records import Record
from keras_wsss.data.target_masks import pseudo_folder
from keras_wsss.errors import ConfigError
from keras_wsss.files import write_json
from keras_wsss.run_folder import (
    ABOUT_FILE,
    CONFIG_FILE,
    PHASE_FILE,
    RESULTS_FILE,
    read_phase,
)
from keras_wsss.systems import get_system
from keras_wsss.systems.system import Phase, TrainingData

# Fields that may differ between a run and its resumption: they do not change
# what is computed.
_FREE_FIELDS = (
    "name",
    "cache.folder",  # but not whether there is one
    "cache.switches",
    "cache.check",
    "data.index",
    "data.memory_mb",
    "train.examples",
    "train.log_every",
)
# Where things lie. They may have moved: what counts is what was read, and of
# the encoder's weights the copy that the run keeps.
_LOCATIONS = (
    "model.encoder_weights",
    "data.source_annotations",
    "data.source_images",
    "data.target_tags",
    "data.target_images",
    "data.target_masks",
    "data.eval_root",
    "data.eval_images",
    "data.eval_set",
    "data.eval_masks",
    "data.eval_negatives",
)
_PICTURES = "pictures"  # in ABOUT_FILE


def check_folder(config, phase: Phase, workdir: Path, init_from) -> None:
    """Checks that a folder which holds a run already holds this one."""
    if init_from:
        _check_start(config, phase, Path(init_from))
    if not (workdir / CONFIG_FILE).exists():
        return
    there, known = load_run_config(workdir), read_phase(workdir)
    # A run of an earlier version has not noted what it read.
    moved = bool(_noted_pictures(workdir))
    changed = _binding(there, config, moved)
    if (phase.name, _place(init_from)) != (
        known["phase"],
        _place(known.get("init_from")),
    ):
        here = _identity(phase, init_from)
        changed += [
            f"{key} is {known.get(key)!r} there and {here[key]!r} here"
            for key in ("phase", "init_from")
            if known.get(key) != here[key]
        ]
    if changed:
        raise ConfigError(
            f"{workdir} holds a run with another configuration: "
            f"{'; '.join(changed)}. Choose another --workdir, or repeat "
            "that run's own command to resume it."
            f"{_train_longer(config, there, phase, workdir)}"
        )


def check_pictures(workdir: Path, here: dict[str, dict]) -> None:
    """Checks that a run which is resumed reads what it read before.

    Args:
        workdir: its folder.
        here: what `pictures_of` gives.

    Raises:
        ConfigError: pictures, labels or pseudo labels are others.
    """
    known = _noted_pictures(workdir)
    changed = []
    for part in sorted(known.keys() & here.keys()):
        if known[part] == here[part]:
            continue
        counts = known[part]["pictures"], here[part]["pictures"]
        text = f"{counts[0]} pictures there and {counts[1]} here"
        if counts[0] == counts[1]:
            text = "as many pictures, but other names, labels or masks"
        changed.append(f"{part}: {text}")
    if changed:
        raise ConfigError(
            f"{workdir} holds a run that read other data ({'; '.join(changed)})"
            ". Give it the data that it began with to resume it, or choose "
            "another --workdir."
        )


def pictures_of(data: TrainingData, config: Config) -> dict[str, dict]:
    """What a run reads, by what is the same wherever it lies."""
    made_by: Any = None
    if data.target and config.data.target_masks:
        if folder := pseudo_folder(config.data.target_masks):
            made_by = read_manifest(folder).get("made_by")
        if persons := data.counts["persons_masks"]["digest"]:
            made_by = [made_by, persons]

    def part(records: Sequence[Record], more: Any = None) -> dict:
        # Of [[[name, labels, uncertain], ...], more], in pieces.
        digest, comma = hashlib.sha256(b"[["), ""
        for r in records:
            text = json.dumps([r.image_id, r.labels, r.uncertain])
            digest.update(f"{comma}{text}".encode())
            comma = ", "
        digest.update(f"], {json.dumps(more, sort_keys=True)}]".encode())
        return {"pictures": len(records), "digest": digest.hexdigest()}

    return {
        "source": part(data.source),
        "held-out source": part(data.heldout),
        "target": part(data.target, made_by),
    }


def claim_folder(
    config, phase: Phase, workdir: Path, init_from, about: dict
) -> None:
    """Notes what runs in a folder, once all that it starts from is loaded.

    A command with a wrong path must not claim the folder for its config. In a
    folder that the run has already, only where its data lie is noted anew.

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
        return
    there = load_run_config(workdir)
    here = flat(config)
    places = {name: here[name] for name in _LOCATIONS}
    if there.replace(places) != there:
        save_config(path, there.replace(places))


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
    return [
        text
        for text in differences(load_run_config(run), config)
        if text.partition(" ")[0] in fields
    ]


def binding_differences(
    first: Mapping[str, Any], second: Mapping[str, Any]
) -> list[str]:
    """Sentences about fields that decide what a run computes.

    Args:
        first: a config as JSON values, which a run of any version noted.
        second: the config to compare it with.

    Returns:
        Nothing when the two are of the same run, wherever its data lie.
    """
    return _binding(config_of_run(first), config_of_run(second), moved=True)


def _binding(there: Config, here: Config, moved: bool) -> list[str]:
    free = (*_FREE_FIELDS, *(_LOCATIONS if moved else ()))
    changed = [
        text
        for text in differences(there, here)
        if text.partition(" ")[0] not in free
    ]
    # Windows and mirroring are drawn from what the cache holds.
    if bool(there.cache.folder) != bool(here.cache.folder):
        used = ("used", "not used")[:: 1 if there.cache.folder else -1]
        changed.append(
            f"cache.folder is '{used[0]}' there and '{used[1]}' here"
        )
    return changed


def _train_longer(config, there: Config, phase: Phase, workdir: Path) -> str:
    """What to do for more steps, where a finished run is asked for them."""
    more = config.phases[phase.name].steps > there.phases[phase.name].steps
    if not more or not (workdir / RESULTS_FILE).exists():
        return ""
    if phase.name in phase.starts_from:
        return (
            " That run is finished; to train longer, go on from it with "
            f"another --workdir and --init_from {workdir}."
        )
    return (
        f" That run is finished, and --phase {phase.name} starts from the "
        "encoder's weights alone; to train longer, give another --workdir."
    )


def _noted_pictures(workdir: Path) -> dict[str, dict]:
    """What a run has noted of the data that it read; empty if nothing."""
    try:
        about = json.loads((workdir / ABOUT_FILE).read_text(encoding="utf-8"))
        return about.get(_PICTURES, {})
    except (AttributeError, OSError, RecursionError, ValueError):
        return {}


def _place(run) -> Path | None:
    """A run folder, however it is written."""
    return Path(run).resolve() if run else None


def _identity(phase: Phase, init_from) -> dict:
    return {
        "phase": phase.name,
        "init_from": str(Path(init_from)) if init_from else None,
    }
