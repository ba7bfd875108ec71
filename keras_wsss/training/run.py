"""A whole training run: from a config to a run folder."""

import resource
import time
from collections.abc import Callable
from pathlib import Path

import keras
import tensorflow as tf

from keras_wsss.checkpoints import Checkpoint, save_checkpoint
from keras_wsss.config import (
    PhaseSettings,
    differences,
    load_config,
    save_config,
    to_json,
)
from keras_wsss.data.pictures import PictureStore
from keras_wsss.errors import ConfigError
from keras_wsss.files import write_json
from keras_wsss.models.network import (
    build_network,
    named_variables,
    read_arrays,
)
from keras_wsss.models.vgg import load_encoder_weights
from keras_wsss.run_folder import (
    CHECKPOINTS,
    CONFIG_FILE,
    ENCODER,
    EVENTS,
    PHASE_FILE,
    RESULTS_FILE,
    load_run_encoder,
    load_trained_parts,
    read_phase,
    read_results,
)
from keras_wsss.training.devices import check_divisible, make_strategy
from keras_wsss.training.examples import (
    TransferExamples,
    masked_examples,
    tagged_examples,
)
from keras_wsss.training.heldout import HeldOut
from keras_wsss.training.identity import binding_differences
from keras_wsss.training.inputs import (
    TrainingData,
    build_caches,
    make_streams,
    read_training_data,
)
from keras_wsss.training.loop import Loop
from keras_wsss.training.phases import Phase, get_phase
from keras_wsss.training.prior_system import PRIOR
from keras_wsss.training.summaries import Watch, write_graph
from keras_wsss.training.system import Job, Parts, System
from keras_wsss.training.update import Objective, Update, make_optimizer
from keras_wsss.versions import library_versions

# Fields that decide the variables: a later phase must keep them.
_NETWORK_FIELDS = ("model.", "image.size", "split.")


def train(
    config,
    phase_name: str,
    workdir: str | Path,
    init_from: str | Path | None = None,
    strategy_name: str = "auto",
    report: Callable[[str], None] = print,
) -> dict:
    """Trains one phase, or goes on where an interrupted run stopped.

    Args:
        config: see `keras_wsss.config.default_config`.
        phase_name: a name of the phase table.
        workdir: run folder; gets config.json, checkpoints, TensorBoard
            events and, at the end, results.json.
        init_from: run folder of the phase that this one starts from.
        strategy_name: see `make_strategy`.
        report: called with progress lines.

    Returns:
        The content of results.json.

    Raises:
        UserError: something that the user can mend.
    """
    start = time.perf_counter()
    workdir = Path(workdir)
    start_run = str(init_from) if init_from else None
    phase = get_phase(phase_name, start_run, config.system)
    system = _SYSTEMS[phase.system]
    settings = _settings(config, phase)
    if config.train.deterministic:
        tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(config.train.seed)
    data = read_training_data(
        config,
        with_target=settings.target_pairs > 0,
        with_source=phase.source,
    )
    strategy = make_strategy(strategy_name)
    for field in ("source_pairs", "target_pairs"):
        check_divisible(
            strategy, getattr(settings, field), f"{phase.name}.{field}"
        )
    _check_folder(config, phase, workdir, init_from)
    if (workdir / RESULTS_FILE).exists():
        report(f"{workdir} holds the finished run; there is nothing to do.")
        return read_results(workdir)
    with strategy.scope():
        net = build_network(config, data.split)
        optimizer = system.make_optimizer(config)
        optimizer.build(
            [
                variable
                for variable in named_variables(net, net.trained_parts).values()
                if variable.trainable
            ]
        )
    if init_from:
        load_trained_parts(net, Path(init_from))
    system.load_start(config, net, workdir, init_from, report)
    _begin(config, phase, workdir, init_from)
    parts = system.assemble(
        Job(config, phase, settings, data, net, optimizer, strategy, report)
    )
    events = workdir / EVENTS
    fresh = not events.exists()
    writer = tf.summary.create_file_writer(str(events))
    if fresh:
        write_graph(writer, parts.graph)
    loop = Loop(
        net=net,
        optimizer=optimizer,
        warmup=parts.warmup,
        update=parts.update,
        settings=settings,
        streams=parts.streams,
        strategy=strategy,
        heldout=parts.heldout,
        folder=workdir / CHECKPOINTS,
        writer=writer,
        watch=Watch(
            writer,
            events,
            data.split,
            parts.examples,
            parts.embeddings,
        ),
        meta={"phase": phase.name, "config": to_json(config)},
        report=report,
        log_every=config.train.log_every,
        checkpoint_every=config.train.checkpoint_every,
        heldout_every=config.train.heldout_every,
        keep_checkpoints=config.train.keep_checkpoints,
    )
    results = {
        **loop.run(),
        "phase": phase.name,
        "name": config.name,
        "split": data.split.name,
        "seed": config.train.seed,
        "data": data.counts,
        **parts.results(),
        "versions": library_versions(),
        "devices": strategy.num_replicas_in_sync,
    }
    results["minutes"] = (time.perf_counter() - start) / 60
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    results["peak_memory_gb"] = peak / 1e6
    write_json(workdir / RESULTS_FILE, results)
    return results


def _assemble(job: Job) -> Parts:
    """The parts of TransferNet's loop."""
    config, data, net = job.config, job.data, job.net
    pictures = PictureStore(config.data.max_pixels, config.data.memory_mb)
    switches = net.used_switches if job.phase.masks else ()
    caches = build_caches(
        config, data, net.encoder, switches, pictures, job.report
    )

    def update(mask_weight: float) -> Update:
        objective = Objective(
            mask_weight,
            config.train.tag_weight,
            config.train.labels_per_image,
            config.train.overlap_weight,
        )
        return Update(net, data.split, job.optimizer, objective, job.strategy)

    return Parts(
        warmup=update(0.0),
        update=update(config.train.mask_weight if job.phase.masks else 0.0),
        streams=make_streams(
            config,
            data,
            job.settings.source_pairs,
            job.settings.target_pairs,
            pictures,
            caches,
        ),
        heldout=HeldOut(net, data.split, data.heldout, pictures),
        examples=_examples(config, net, data, pictures),
        graph=net.model,
        embeddings=net.label_embeddings,
        results=lambda: {
            "cache": {name: cache.results() for name, cache in caches.items()}
        },
    )


def _examples(
    config, net, data: TrainingData, pictures: PictureStore
) -> TransferExamples:
    """Held-out source pictures and tagged target pictures to look at."""
    count, size = config.train.examples, config.image.size
    # Scored categories first: they are what the run is for.
    scored = data.split.scored_ids
    others = [i for i in data.split.target_ids if i not in scored]
    pairs = {
        "source": masked_examples(data.heldout, pictures, size, count),
        "target": tagged_examples(data.target, (*scored, *others), count),
    }
    return TransferExamples(net, data.split, pairs, pictures, config.inference)


def _settings(config, phase: Phase) -> PhaseSettings:
    settings = PhaseSettings(**config[phase.name].to_dict())
    if not phase.target and settings.target_pairs:
        # "decoder" may use target tags when asked to, by its config.
        return settings
    if phase.target and not settings.target_pairs:
        raise ConfigError(
            f"config.{phase.name}.target_pairs is 0, but --phase {phase.name} "
            "learns from target tags; give it a positive number."
        )
    return settings


def _identity(phase: Phase, init_from) -> dict:
    return {
        "phase": phase.name,
        "init_from": str(init_from) if init_from else None,
    }


def _check_folder(config, phase: Phase, workdir: Path, init_from) -> None:
    """Checks that a folder which holds a run already holds this one."""
    here = to_json(config)
    identity = _identity(phase, init_from)
    if init_from:
        _check_start(here, phase, Path(init_from))
    path = workdir / CONFIG_FILE
    if path.exists():
        there = to_json(load_config(path))
        changed = binding_differences(there, here)
        if (known := read_phase(workdir)) != identity:
            changed += differences(known, identity)
        if changed:
            raise ConfigError(
                f"{workdir} holds a run with another configuration: "
                f"{'; '.join(changed)}. Choose another --workdir, or repeat "
                "that run's own command to resume it."
            )


def _begin(config, phase: Phase, workdir: Path, init_from) -> None:
    """Notes what runs in a folder, once all that it starts from is loaded.

    A command with a wrong path must not claim the folder for its config.
    """
    path = workdir / CONFIG_FILE
    if not path.exists():
        write_json(workdir / PHASE_FILE, _identity(phase, init_from))
        save_config(path, config)


def _check_start(here: dict, phase: Phase, run: Path) -> None:
    """The run to start from is of a fitting phase and network."""
    found = read_phase(run)["phase"]
    if found not in phase.starts_from:
        raise ConfigError(
            f"{run} is a run of --phase {found}; --phase {phase.name} starts "
            f"from {' or '.join(phase.starts_from)}."
        )
    changed = [
        text
        for text in differences(to_json(load_config(run / CONFIG_FILE)), here)
        if text.startswith(_NETWORK_FIELDS)
        and not text.startswith("model.encoder_weights")
    ]
    if changed:
        raise ConfigError(
            f"The network of {run} differs from this config's: "
            f"{'; '.join(changed)}."
        )


def _load_encoder(config, net, workdir: Path, init_from, report) -> None:
    """Encoder from the run to start from, or its weights file; kept here."""
    if init_from:
        load_run_encoder(net, Path(init_from))
    elif (workdir / ENCODER).exists():
        load_run_encoder(net, workdir)
        return
    else:
        load_encoder_weights(
            net.encoder,
            config.model.encoder,
            config.model.encoder_weights or None,
        )
    if not (workdir / ENCODER).exists():
        arrays = read_arrays(named_variables(net, [ENCODER]))
        save_checkpoint(workdir / ENCODER, Checkpoint(0, arrays, {}))


_SYSTEMS = {
    "transfernet": System(make_optimizer, _load_encoder, _assemble),
    "prior": PRIOR,
}
