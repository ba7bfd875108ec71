"""The scalars of a training run, read back from its TensorBoard events."""

import dataclasses
from pathlib import Path

import tensorflow as tf

from keras_wsss.errors import ConfigError
from keras_wsss.run_folder import EVENTS, read_phase

_MOST_RUNS = 4  # a chain of --init_from is not followed for ever


@dataclasses.dataclass(frozen=True)
class History:
    """Scalars of one run.

    Attributes:
        phase: "decoder", "transfer", ...
        scalars: tag -> (step, value), ascending steps.
    """

    phase: str
    scalars: dict[str, list[tuple[float, float]]]


def read_histories(run: Path) -> list[History]:
    """The histories of a run and of those it started from, first one first.

    What is not there any more is left out.
    """
    histories: list[History] = []
    while len(histories) < _MOST_RUNS:
        try:
            phase = read_phase(run)
        except ConfigError:
            break
        scalars = read_scalars(run / EVENTS)
        if scalars:
            histories.append(History(str(phase.get("phase")), scalars))
        if not phase.get("init_from"):
            break
        run = Path(phase["init_from"])
    return histories[::-1]


def read_scalars(folder: Path) -> dict[str, list[tuple[float, float]]]:
    """Scalars of the event files in a folder, by tag.

    A resumed run repeats the steps since its checkpoint: the newer values
    count. What follows the damage of a damaged file is left out.
    """
    values: dict[str, dict[int, float]] = {}
    for path in sorted(folder.glob("events.out.tfevents.*")):
        for event in _events(path):
            for value in event.summary.value:
                if _is_scalar(value):
                    known = values.setdefault(value.tag, {})
                    known[event.step] = float(tf.make_ndarray(value.tensor))
    return {tag: sorted(known.items()) for tag, known in values.items()}


def _events(path: Path):
    records = iter(tf.data.TFRecordDataset(str(path)))
    while True:
        try:
            record = next(records)
        except (StopIteration, tf.errors.DataLossError):
            return
        yield tf.compat.v1.Event.FromString(record.numpy())


def _is_scalar(value) -> bool:
    tensor = value.tensor
    return tensor.dtype == tf.float32.as_datatype_enum and not len(
        tensor.tensor_shape.dim
    )
