"""Trains one phase of a config into a run folder.

    keras-wsss train --phase decoder --config mini60 --workdir DIR

Repeating the command resumes an interrupted run.
"""

from pathlib import Path

from absl import flags

from keras_wsss.commands.cli import define_max_pixels, no_arguments, say
from keras_wsss.commands.config_flag import define_config
from keras_wsss.config_files import RUN_FILE
from keras_wsss.quiet_start import load_tensorflow
from keras_wsss.systems import get_phase, phase_table
from keras_wsss.systems.problems import validate

_TABLE = phase_table()
PHASE = flags.DEFINE_enum(
    "phase",
    None,
    [phase.name for _, phase in _TABLE],
    "What to train: "
    + "; ".join(
        f"'{phase.name}' {phase.about} ({system.name})"
        for system, phase in _TABLE
    )
    + ".",
    required=True,
)
CONFIG = define_config("What the run computes.")
WORKDIR = flags.DEFINE_string(
    "workdir",
    None,
    "Run folder: config, checkpoints, TensorBoard events, results.json.",
    required=True,
)
INIT_FROM = flags.DEFINE_string(
    "init_from",
    None,
    "Run folder of the phase that this one starts from. Its categories may be "
    "others: weights are carried over by name.",
)
ENCODER_WEIGHTS = flags.DEFINE_string(
    "encoder_weights",
    None,
    "File with the encoder's weights; see README for where they come from.",
)
FEATURE_CACHE = flags.DEFINE_string(
    "feature_cache",
    None,
    "Folder for the frozen encoder's outputs; several runs may share it.",
)
STRATEGY = flags.DEFINE_enum(
    "strategy",
    "auto",
    ["auto", "one", "mirrored", "multi_worker"],
    "'one' device, 'mirrored' on all GPUs, or 'auto': mirrored if there are "
    "several. 'multi_worker': one of the processes that TF_CONFIG names; see "
    "docs/scaling.md.",
)
WORKER_TIMEOUT = flags.DEFINE_float(
    "worker_timeout",
    60,
    "Seconds after which a worker that ended or went silent ends the others.",
    lower_bound=10,
)
START_TIMEOUT = flags.DEFINE_float(
    "start_timeout",
    600,
    "Seconds that workers wait at the start for all of them to appear.",
    lower_bound=1,
)
SKIP_BAD_IMAGES = flags.DEFINE_bool(
    "skip_bad_images",
    False,
    "Leave out pictures that cannot be read, and name them, instead of "
    "stopping.",
)
MAX_PIXELS = define_max_pixels()


def run(argv: list[str]) -> int:
    """Parsed flags in, a run folder out; user errors are raised."""
    no_arguments(argv)
    config = CONFIG.load().replace(_of_other_flags())
    get_phase(PHASE.value, INIT_FROM.value, config.system)
    begun = (Path(WORKDIR.value) / RUN_FILE).exists()
    validate(config, PHASE.value, INIT_FROM.value, begun)
    # It takes seconds; what is above need not wait for it.
    load_tensorflow()
    from keras_wsss.training.run import train
    from keras_wsss.training.workers import Timeouts

    results = train(
        config,
        PHASE.value,
        WORKDIR.value,
        INIT_FROM.value,
        STRATEGY.value,
        log=say,
        timeouts=Timeouts(START_TIMEOUT.value, WORKER_TIMEOUT.value),
    )
    if results:  # of several workers, the chief's alone
        minutes = results["minutes"]
        print(f"Done: {WORKDIR.value}/results.json, {minutes:.1f} minutes.")
    return 0


def _of_other_flags() -> dict:
    """Fields of the config that have flags of their own."""
    given = {
        "model.encoder_weights": ENCODER_WEIGHTS.value,
        "cache.folder": FEATURE_CACHE.value,
        "data.skip_bad_images": SKIP_BAD_IMAGES.value or None,
        "data.max_pixels": MAX_PIXELS.value,
    }
    return {name: value for name, value in given.items() if value is not None}
