"""A whole training run: from a config to a run folder."""

import resource
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from keras_wsss.categories import Split
from keras_wsss.checkpoints import (
    find_latest,
    list_checkpoints,
)
from keras_wsss.config import Config, PhaseConfig, to_json
from keras_wsss.config_files import load_run_config
from keras_wsss.data.pictures import PictureStore
from keras_wsss.data.records import Record
from keras_wsss.devices import announce_devices, computing_devices
from keras_wsss.files import write_json
from keras_wsss.mask_updates import (
    check_masks_will_be_learned,
    count_mask_updates,
    untrained_sentence,
)
from keras_wsss.run_folder import (
    BEST,
    CHECKPOINTS,
    CONFIG_FILE,
    ENCODER,
    EVENTS,
    HELDOUT_FILE,
    RESULTS_FILE,
    keep_encoder,
    load_run_encoder,
    read_results,
)
from keras_wsss.systems import get_phase, get_system
from keras_wsss.systems.network import (
    Network,
    build_network,
    named_variables,
)
from keras_wsss.systems.problems import (
    own_mask_updates,
    raise_problems,
    untaught_sentence,
    validate,
)
from keras_wsss.systems.system import (
    Job,
    Parts,
    Phase,
    System,
    TrainingData,
)
from keras_wsss.training.claim import (
    check_folder,
    check_pictures,
    claim_folder,
    differing_fields,
    pictures_of,
)
from keras_wsss.training.cluster import ALONE, MULTI_WORKER, read_cluster
from keras_wsss.training.devices import device_problems
from keras_wsss.training.feature_cache import FeatureCache
from keras_wsss.training.heldout_tags import HeldOutTags
from keras_wsss.training.inputs import (
    build_cache,
    heldout_lists,
    read_training_data,
)
from keras_wsss.training.loop import Loop
from keras_wsss.training.start import load_start
from keras_wsss.training.summaries import (
    Watch,
    event_errors,
    write_config,
    write_graph,
)
from keras_wsss.training.workers import (
    DEFAULT_TIMEOUTS,
    Timeouts,
    Workers,
    make_workers,
)
from keras_wsss.versions import library_versions

_Log = Callable[[str], None]


def train(
    config: Config,
    phase_name: str,
    workdir: str | Path,
    init_from: str | Path | None = None,
    strategy_name: str = "auto",
    log: Callable[[str], None] = print,
    timeouts: Timeouts = DEFAULT_TIMEOUTS,
) -> dict[str, Any]:
    """Trains one phase, or goes on where an interrupted run stopped.

    Args:
        config: see `keras_wsss.config.Config`.
        phase_name: a name of the phase table.
        workdir: run folder; gets config.json, about.json (counts of the
            data, versions, devices of the chief), checkpoints, TensorBoard
            events and, at the end, results.json.
        init_from: run folder of the phase that this one starts from; its
            categories may be others, see `keras_wsss.training.start`.
        strategy_name: see `make_strategy`; or "multi_worker", for one of
            the processes that TF_CONFIG names. They need the same arguments
            and a file system that all of them see.
        log: called with progress lines, in the chief only.
        timeouts: how long workers wait for each other.

    Returns:
        The content of results.json; nothing in workers that are not the
        chief, which writes it.

    Raises:
        UserError: something that the user can mend.
    """
    start = time.perf_counter()
    workdir = Path(workdir)
    start_run = str(init_from) if init_from else None
    phase = get_phase(phase_name, start_run, config.system)
    begun = (workdir / CONFIG_FILE).exists()
    validate(config, phase.name, start_run, begun)
    settings = config.phases[phase.name]
    cluster = read_cluster() if strategy_name == MULTI_WORKER else ALONE
    if cluster.index:
        log = _silent
    check_folder(config, phase, workdir, init_from)
    if (workdir / RESULTS_FILE).exists():
        log(f"{workdir} holds the finished run; there is nothing to do.")
        return {} if cluster.index else read_results(workdir)
    notes: list[str] = []  # after the line that says what computes
    check_masks_will_be_learned(config, phase.name, init_from, notes.append)
    if config.train.keep_best and not phase.mask_weight:
        notes.append(
            f"config.train.keep_best keeps nothing: --phase {phase.name} "
            "teaches no masks."
        )
    if config.train.deterministic:
        tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(config.train.seed)
    workers = make_workers(strategy_name, cluster, timeouts)
    announce_devices(workers.local_replicas, workers.count, log)
    for note in notes:
        log(note)
    with workers.together():
        replicas = workers.strategy.num_replicas_in_sync
        raise_problems(device_problems(config, phase.name, replicas))
        system = get_system(config.system)
        job = _prepare(
            config, system, phase, settings, workers, workdir, init_from, log
        )
        parts = system.assemble(job)
        before = count_mask_updates(Path(init_from)) if init_from else 0
        results = _loop(job, parts, workdir, workers, before, log).run()
        if workers.is_chief:
            seconds = time.perf_counter() - start
            results |= _figures(job, parts, workers, seconds)
            write_json(workdir / RESULTS_FILE, results)
            sentence = untrained_sentence(workdir) or _emptiness(results)
            if sentence:
                log(f"warning: {sentence}")
        # A worker that leaves before would be taken for lost.
        workers.meet()
    return results if workers.is_chief else {}


def _silent(_: str) -> None:
    """The chief prints; what the others do is the same."""


def _prepare(
    config: Config,
    system: System,
    phase: Phase,
    settings: PhaseConfig,
    workers: Workers,
    workdir: Path,
    init_from: str | Path | None,
    log: _Log,
) -> Job:
    """Records, and a network with the weights that it starts from."""
    data = read_training_data(
        config,
        with_target=settings.target_pictures > 0,
        with_source=phase.source,
    )
    pictures = pictures_of(data, config)
    check_pictures(workdir, pictures)
    _log_ignored(config, data, log)
    strategy = workers.strategy
    workers.same(
        "a configuration or list of pictures",
        repr((phase.name, to_json(config), pictures)),
        "give all workers the same command, config and files",
    )
    with strategy.scope():
        net = build_network(config, data.split)
        optimizer = system.make_optimizer(config)
        if net.compute_dtype == "float16":
            # Small gradients would be 0 in it.
            optimizer = keras.optimizers.LossScaleOptimizer(
                optimizer, name="loss_scale"
            )
        optimizer.build(
            [
                variable
                for variable in named_variables(net, net.trained_parts).values()
                if variable.trainable
            ]
        )
    about = {
        "data": data.counts,
        "pictures": pictures,
        "versions": library_versions(),
        "devices": computing_devices(workers.local_replicas),
        "compute_dtype": net.compute_dtype,
    }
    if init_from:
        about |= _start(config, net, data.split, Path(init_from), log)
    # The chief leaves the encoder in the folder, where the others find it.
    if workers.is_chief:
        _load_first_weights(config, system, net, data, workdir, init_from, log)
        claim_folder(config, phase, workdir, init_from, about)
        write_json(workdir / HELDOUT_FILE, heldout_lists(data))
    workers.meet()
    if not workers.is_chief:
        _load_first_weights(config, system, net, data, workdir, init_from, log)

    if net.frozen_parts and not config.cache.folder:
        log(
            "No feature cache: the encoder computes its pictures anew in every "
            "update. --feature_cache FOLDER keeps what it gives for the whole "
            "pictures, on disk."
        )

    def encodings(
        records: Sequence[Record],
        levels: Sequence[int],
        pictures: PictureStore,
        shared: bool = True,
        written: Sequence[int] = (),
        whole: bool = False,
    ) -> FeatureCache:
        return build_cache(
            config,
            records,
            net.encoder,
            levels,
            pictures,
            log,
            workers.shard if shared else (0, 1),
            written,
            whole,
        )

    return Job(
        config,
        phase,
        settings,
        data,
        system.views(config),
        net,
        optimizer,
        strategy,
        workers.is_chief,
        encodings if config.cache.folder and net.frozen_parts else None,
    )


def _log_ignored(config: Config, data: TrainingData, log: _Log) -> None:
    """Pictures and masks that training does without."""
    if names := data.counts["never_absent"]:
        log(
            f"warning: no picture is known to lack {', '.join(names)}, so the "
            "tagger will name it everywhere: add pictures without it to "
            f"{config.data.target_tags} (an empty cell), or set "
            "config.data.source_negatives='all' if no source picture holds it."
        )
    if bad := data.counts["bad_pictures"]:
        names = ", ".join(bad[:_NAMED_BAD])
        more = f" and {len(bad) - _NAMED_BAD} more" * (len(bad) > _NAMED_BAD)
        log(f"Left out, cannot be read: {len(bad)} pictures: {names}{more}.")
    persons = data.counts["persons_masks"]
    if persons["pictures"]:
        names = ", ".join(persons["retagged"][:_NAMED_BAD])
        also = ""
        if persons["retagged"]:
            also = (
                f"; the tags of {len(persons['retagged'])} follow them, such "
                f"as {names}"
            )
        log(f"A person's masks: {persons['pictures']} pictures{also}.")
    if unknown := data.counts["pseudo_labels_ignored"]:
        names = ", ".join(
            name if count is None else f"{name} ({count} pictures)"
            for name, count in unknown.items()
        )
        log(
            f"Pseudo labels of {config.data.target_masks}: ignored where they "
            f"show what is no category here: {names}."
        )


def _start(
    config: Config, net: Network, split: Split, run: Path, log: _Log
) -> dict[str, Any]:
    """Trained weights of the run to start from; what about.json says of it."""
    categories = load_start(net, config, split, run)
    log(categories.sentence(run))
    if used := differing_fields(
        config, run, get_system(config.system).usage_fields(config)
    ):
        log(f"The weights of {run} were trained otherwise: {'; '.join(used)}.")
    return {"categories": categories.to_dict()}


def _heldout_tags(job: Job, parts: Parts) -> HeldOutTags:
    """Held-out tags that this process scores: the chief, all.

    Without target pictures nothing teaches the tagger what is scored.
    """
    data = job.data
    watched = job.is_chief and data.target
    return HeldOutTags(
        data.split,
        data.heldout_tagged if watched else (),
        data.heldout_negatives if watched else (),
        parts.tag_scorer,
    )


def _loop(
    job: Job,
    parts: Parts,
    workdir: Path,
    workers: Workers,
    mask_updates: int,
    log: _Log,
) -> Loop:
    """The loop of a run; it writes events in the chief only.

    Args:
        job: the run.
        parts: of its system.
        workdir: run folder.
        workers: this process and those that it trains with.
        mask_updates: updates that taught masks in the runs before.
        log: called with progress lines.
    """
    config, events = job.config, workdir / EVENTS
    keep_best = config.train.keep_best and job.phase.mask_weight
    writer = tf.summary.create_noop_writer()
    if workers.is_chief:
        fresh = not events.exists()
        with event_errors():
            writer = tf.summary.create_file_writer(str(events))
        if fresh:
            write_graph(writer, job.net)
            write_config(writer, config, job.phase.name, str(workdir))
    return Loop(
        net=job.net,
        optimizer=job.optimizer,
        parts=parts,
        settings=job.settings,
        workers=workers,
        heldout_tags=_heldout_tags(job, parts),
        folder=workdir / CHECKPOINTS,
        writer=writer,
        watch=Watch(
            writer,
            events,
            job.data.split,
            parts.sheets,
            parts.embeddings,
            lambda step: untaught_sentence(
                config, job.phase.name, mask_updates, step
            ),
        ),
        meta={"phase": job.phase.name, "config": to_json(config)},
        mask_updates=lambda step: (
            mask_updates + own_mask_updates(config, job.phase.name, step)
        ),
        log=log,
        train=config.train,
        best=workdir / BEST if keep_best else None,
    )


def _figures(
    job: Job, parts: Parts, workers: Workers, seconds: float
) -> dict[str, Any]:
    """What results.json says beside the loop's own figures."""
    caches = {name: s.cache for name, s in parts.streams.items() if s}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "phase": job.phase.name,
        "name": job.config.name,
        "split": job.data.split.name,
        "seed": job.config.train.seed,
        "data": job.data.counts,
        "cache": {k: c.results() for k, c in caches.items() if c},
        "versions": library_versions(),
        "devices": job.strategy.num_replicas_in_sync,
        "workers": workers.count,
        "minutes": seconds / 60,
        "peak_memory_gb": peak / 1e6,
    }


def _emptiness(results: Mapping[str, Any]) -> str:
    """Why a run's masks would all be empty, or ""; of results.json."""
    overlap = results.get("heldout", {}).get("mask_iou")
    # Noise has 0.05 or more.
    if overlap is None or overlap >= 0.001:
        return ""
    return (
        "the masks of all held-out source pictures are empty or beside "
        "everything (mask_iou 0.000), so those of other pictures will be; "
        "train longer, or with another learning rate or "
        "config.model.initializer."
    )


def _load_first_weights(
    config: Config,
    system: System,
    net: Network,
    data: TrainingData,
    workdir: Path,
    init_from: str | Path | None,
    log: _Log,
) -> None:
    """What training does not change, or begins with; frozen parts are kept."""
    # Before the folder is claimed, weights may be of another command that was
    # killed. Whoever reads them says what is damaged.
    begun = (workdir / CONFIG_FILE).exists()
    kept = begun and list_checkpoints(workdir / ENCODER)
    if init_from:
        load_run_encoder(net, Path(init_from))
    elif kept:
        load_run_encoder(net, workdir)
        weights = config.model.encoder_weights
        if weights != load_run_config(workdir).model.encoder_weights:
            log(
                f"{workdir} keeps its encoder; {weights or 'another'} is not "
                "read."
            )
    elif net.frozen_parts or not find_latest(
        workdir / CHECKPOINTS, lambda line: None
    ):
        system.load_start(config, net, data, log)
    if net.frozen_parts and not kept:
        keep_encoder(net, workdir, Path(init_from) if init_from else None)


_NAMED_BAD = 20  # pictures named in the log; about.json names all
