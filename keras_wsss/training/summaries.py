"""What a run writes for TensorBoard beside its scalars."""

import contextlib
import dataclasses
import json
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np
import tensorflow as tf
from tensorboard.plugins.hparams import api as hparams
from tensorboard.plugins.image.metadata import create_summary_metadata

from keras_wsss.categories import Split
from keras_wsss.checkpoints import list_checkpoints, read_meta
from keras_wsss.config import Config, to_json
from keras_wsss.config_fields import flat
from keras_wsss.drawing import Row, draw_sheet
from keras_wsss.errors import DataError
from keras_wsss.files import write_text
from keras_wsss.run_folder import CHECKPOINT_FOLDERS, EVENTS
from keras_wsss.systems.system import SheetRows

TILE = 144  # pixels, side of a picture in TensorBoard
_QUALITY = 88
# Groups of the config that decide what is learned, and what of them does not.
_LEARNING = ("image", "model", "train")
_UPKEEP = (
    "train.checkpoint_every",
    "train.deterministic",
    "train.examples",
    "train.heldout_every",
    "train.keep_best",
    "train.keep_checkpoints",
    "train.log_every",
)
# What the HParams tab compares runs by; it leaves out what a run lacks.
METRICS = (
    "heldout_source/mask_iou",
    "heldout_tags/mean_average_precision",
    "evaluation/mean_iou",
    "evaluation/oracle_mean_iou",
)
_PROJECTOR = "projector_config.pbtxt"  # TensorBoard looks for this name
_VECTORS, _NAMES = "label_embeddings.tsv", "label_names.tsv"
# A ProjectorConfig as text; protobuf itself need not be imported for it.
_PROJECTED = f"""embeddings {{
  tensor_name: "label embeddings"
  metadata_path: "{_NAMES}"
  tensor_path: "{_VECTORS}"
}}
"""


@contextlib.contextmanager
def event_errors() -> Iterator[None]:
    """Within it, events that cannot be written end with one sentence.

    Raises:
        DataError: the disk is full, say; TensorFlow tells it otherwise.
    """
    try:
        yield
    except tf.errors.OpError as error:
        # "{{node}} FILE; No space left on device", and then what it called.
        line = re.sub(r"\{\{.*?\}\}", "", str(error.message)).strip()
        where, _, why = line.partition("\n")[0].rpartition("; ")
        raise DataError(
            f"{where or 'The events'}: events for TensorBoard could not be "
            f"written ({why}). Make room and repeat the command; it goes on "
            "from the last checkpoint."
        ) from error


@dataclasses.dataclass
class Watch:
    """Draws and writes, each time it is called, how far learning is.

    Attributes:
        writer: TensorBoard writer of the run.
        folder: where that writer writes.
        split: names of the categories.
        sheets: gives rows of the fixed pictures, by sheet.
        embeddings: one vector per category, float [C, U]; None if the
            system has none.
        untaught: from a step to a sentence if masks of the network are
            noise at it, else "".
    """

    writer: tf.summary.SummaryWriter
    folder: Path
    split: Split
    sheets: SheetRows
    embeddings: Callable[[], np.ndarray] | None = None
    untaught: Callable[[int], str] = lambda step: ""

    def __call__(self, step: int) -> None:
        """Writes the state after `step` updates."""
        note = self.untaught(step)
        write_sheets(self.writer, self.sheets(), step, note)
        if self.embeddings is not None:
            write_embeddings(self.folder, self.embeddings(), self.split)
        with event_errors():
            self.writer.flush()


def write_sheets(
    writer: tf.summary.SummaryWriter,
    sheets: Mapping[str, Sequence[Row]],
    step: int,
    note: str = "",
) -> None:
    """Writes a sheet of rows for each name, as "examples/NAME".

    As JPEG: a sheet of photographs is a tenth of the PNG that
    `tf.summary.image` would write.

    Args:
        writer: TensorBoard writer.
        sheets: name -> rows; without rows nothing is written.
        step: updates done.
        note: a sentence to write on the sheets, e.g. why masks are noise.
    """
    for name, rows in sheets.items():
        if not rows:
            continue
        sheet = draw_sheet(rows, TILE, note)
        _, data = cv2.imencode(
            ".jpg",
            cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR),
            [cv2.IMWRITE_JPEG_QUALITY, _QUALITY],
        )
        height, width = sheet.shape[:2]
        headings = ", ".join(panel.heading for panel in rows[0].panels)
        with event_errors(), writer.as_default():
            tf.summary.write(
                f"examples/{name}",
                tf.constant([str(width), str(height), data.tobytes()]),
                step=step,
                metadata=create_summary_metadata(
                    display_name=None,
                    description=f"The same {name} pictures at every step: "
                    f"{headings}.",
                ),
            )


def write_config(
    writer: tf.summary.SummaryWriter,
    config: Config,
    phase: str,
    run: str,
) -> None:
    """Writes a run's config as text, and for the table of the HParams tab.

    Of its values, the table has those that decide how the phase learns: no
    data and nothing of other phases.

    Args:
        writer: TensorBoard writer of the run.
        config: the run's.
        phase: the phase's name.
        run: tells the run from others in the table.
    """
    text = json.dumps(to_json(config), indent=2, sort_keys=True)
    with event_errors(), writer.as_default(step=0):
        # Indented lines are code in Markdown, whatever they hold.
        tf.summary.text("config", textwrap.indent(text, "    "))
        values = _hyperparameters(config, phase)
        hparams.hparams_config(
            hparams=[hparams.HParam(name) for name in values],
            metrics=[hparams.Metric(tag) for tag in METRICS],
        )
        hparams.hparams(values, trial_id=run)
        writer.flush()


def write_evaluation(
    run: Path, checkpoint: str, figures: Mapping[str, float]
) -> None:
    """Writes figures of an evaluation among a run's events.

    Args:
        run: the run folder.
        checkpoint: which one was evaluated, "last" or "best".
        figures: name -> value.
    """
    paths = list_checkpoints(run / CHECKPOINT_FOLDERS[checkpoint])
    step = read_meta(paths[-1])["step"] if paths else 0
    name = "evaluation" if checkpoint == "last" else f"evaluation_{checkpoint}"
    with event_errors():
        writer = tf.summary.create_file_writer(str(run / EVENTS))
        with writer.as_default(step=step):
            for key, value in figures.items():
                tf.summary.scalar(f"{name}/{key}", value)
        writer.close()


def _hyperparameters(config: Config, phase: str) -> dict[str, Any]:
    own = f"phases.{phase}."
    values = {"name": config.name, "system": config.system, "phase": phase}
    for name, value in flat(config).items():
        group = name.partition(".")[0]
        if name.startswith(own):
            values[name.removeprefix("phases.")] = value
        elif group in _LEARNING and name not in _UPKEEP:
            values[name] = value
    return {
        name: value
        if isinstance(value, bool | int | float | str)
        else json.dumps(value)
        for name, value in values.items()
    }


def write_embeddings(folder: Path, vectors: np.ndarray, split: Split) -> None:
    """Writes category vectors for TensorBoard's projector.

    Args:
        folder: folder of the run's events.
        vectors: float [C, U].
        split: names, and which categories have masks or tags.
    """
    lines = ["\t".join(f"{v:.5g}" for v in vector) for vector in vectors]
    write_text(folder / _VECTORS, "\n".join(lines) + "\n")
    names = ["name\tdomain"]
    for number in range(1, split.num_categories + 1):
        domain = "unused"
        if number in split.source_ids:
            domain = "source"
        elif number in split.target_ids:
            domain = "target"
        # Tabs and line ends would start another column or row.
        name = " ".join(split.name_of(number).split())
        names.append(f"{name}\t{domain}")
    write_text(folder / _NAMES, "\n".join(names) + "\n")
    write_text(folder / _PROJECTOR, _PROJECTED)


def write_graph(writer: tf.summary.SummaryWriter, model: keras.Model) -> None:
    """Writes the operations of one pass of a model, for the Graphs tab.

    Args:
        writer: TensorBoard writer.
        model: a functional one; unknown sizes stay unknown.
    """
    inputs = keras.tree.map_structure(
        lambda i: tf.TensorSpec(i.shape, i.dtype, i.name), model.input
    )
    function = tf.function(
        lambda values: model(values, training=False), autograph=False
    )
    graph = function.get_concrete_function(inputs).graph
    with event_errors(), writer.as_default(step=0):
        tf.summary.graph(graph)
        writer.flush()
