"""What TensorBoard finds in a run's folder."""

import io
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from PIL import Image
from small_data import SPLIT
from tensorboard.backend.event_processing.event_accumulator import (
    EventAccumulator,
)
from tensorboard.plugins.hparams import plugin_data_pb2
from tensorboard.plugins.projector import ProjectorConfig

from keras_wsss.checkpoints import Checkpoint, save_checkpoint
from keras_wsss.config import Config
from keras_wsss.drawing import Panel, Row
from keras_wsss.evaluation.report.history import read_scalars
from keras_wsss.systems.problems import untaught_sentence
from keras_wsss.training.summaries import (
    TILE,
    Watch,
    write_embeddings,
    write_evaluation,
    write_graph,
    write_sheets,
)

IMAGE = np.full((32, 32, 3), (200, 40, 40), np.uint8)


def rows(count):
    return [Row(IMAGE, (Panel("picture"), Panel("again")))] * count


def events(folder):
    found = []
    for path in sorted(folder.glob("events.out.tfevents.*")):
        found += tf.compat.v1.train.summary_iterator(str(path))
    return found


@pytest.fixture
def writer(tmp_path):
    return tf.summary.create_file_writer(str(tmp_path))


def images(folder):
    """(step, tag) -> picture, of the summaries of TensorBoard's images."""
    found = {}
    for event in events(folder):
        for value in event.summary.value:
            width, height, data = tf.make_ndarray(value.tensor)
            assert value.metadata.plugin_data.plugin_name == "images"
            picture = Image.open(io.BytesIO(data))
            assert picture.size == (int(width), int(height))
            found[event.step, value.tag] = np.asarray(picture)
    return found


def test_examples_are_pictures_of_their_step(writer, tmp_path):
    for step in (0, 40):
        write_sheets(writer, {"source": rows(2), "target": rows(1)}, step)
    writer.flush()
    found = images(tmp_path)
    assert found.keys() == {
        (0, "examples/source"), (40, "examples/source"),
        (0, "examples/target"), (40, "examples/target"),
    }  # fmt: skip
    sheet = found[0, "examples/source"]
    assert sheet.shape[1] > 2 * TILE
    assert sheet.shape[0] > found[0, "examples/target"].shape[0]
    # The right colour in the first tile: red comes first, not blue.
    assert sheet[30 + TILE // 2, 8 + TILE // 2] == pytest.approx(
        (200, 40, 40), abs=12
    )


def test_an_empty_sheet_is_left_out(writer, tmp_path):
    write_sheets(writer, {"source": []}, 0)
    writer.flush()
    assert images(tmp_path) == {}


def test_embeddings_stand_in_the_order_of_their_names(tmp_path):
    vectors = np.arange(15, dtype=np.float32).reshape(5, 3) / 7
    write_embeddings(tmp_path, vectors, SPLIT)
    config = text_format.Parse(
        (tmp_path / "projector_config.pbtxt").read_text(), ProjectorConfig()
    )
    embedding = config.embeddings[0]
    read = np.loadtxt(tmp_path / embedding.tensor_path, delimiter="\t")
    assert read == pytest.approx(vectors, rel=1e-4)
    lines = (tmp_path / embedding.metadata_path).read_text().splitlines()
    assert lines == [
        "name\tdomain",
        "cat\ttarget",
        "dog\ttarget",
        "cup\tsource",
        "teddy bear\tsource",
        "plate\tunused",
    ]


def test_graph_holds_the_layers_of_the_model(writer, tmp_path):
    inputs = keras.Input((4,), name="given")
    outputs = keras.layers.Dense(2, name="wanted")(inputs)
    write_graph(writer, keras.Model([inputs], outputs))
    graphs = [event.graph_def for event in events(tmp_path) if event.graph_def]
    assert len(graphs) == 1
    graph = tf.compat.v1.GraphDef.FromString(graphs[0])
    assert any("wanted" in node.name for node in graph.node)


def test_watch_writes_pictures_and_vectors_of_now(writer, tmp_path):
    vectors = np.ones((5, 2))
    watch = Watch(
        writer, tmp_path, SPLIT, lambda: {"source": rows(1)}, lambda: vectors
    )
    watch(0)
    vectors *= 3
    watch(7)
    assert images(tmp_path).keys() == {
        (0, "examples/source"),
        (7, "examples/source"),
    }
    read = np.loadtxt(tmp_path / "label_embeddings.tsv", delimiter="\t")
    assert (read == 3).all()


def test_a_system_without_embeddings_writes_none(writer, tmp_path):
    Watch(writer, tmp_path, SPLIT, dict)(0)
    assert not list(tmp_path.glob("*.tsv"))


def test_sheets_say_why_masks_are_noise(writer, tmp_path):
    watch = Watch(
        writer,
        tmp_path,
        SPLIT,
        lambda: {"source": rows(1)},
        untaught=lambda step: "They are noise." if step < 5 else "",
    )
    watch(0)
    watch(5)
    found = images(tmp_path)
    before, after = found[0, "examples/source"], found[5, "examples/source"]
    assert before.shape[0] == after.shape[0] + 20
    red = before[:20].astype(int)
    assert ((red[..., 0] - red[..., 1]) > 60).any()


@pytest.mark.parametrize(
    ("phase", "before", "step", "sentence"),
    [
        (
            "attention",
            0,
            9,
            "Masks of the decoder are noise: phase attention does not teach "
            "it, a later one does.",
        ),
        (
            "decoder",
            0,
            0,
            "Masks of the decoder are noise: no update has taught it yet.",
        ),
        ("attention", 3, 0, ""),
        ("decoder", 0, 10**6, ""),
    ],
)
def test_why_masks_are_noise(phase, before, step, sentence):
    assert untaught_sentence(Config(), phase, before, step) == sentence


def test_a_run_can_be_compared_in_tensorboard(transfer_run):
    """Its config as text, its values and scores, from before step 1."""
    folder = transfer_run[0] / "events"
    reader = EventAccumulator(str(folder), {"tensors": 0})
    reader.Reload()
    (config,) = reader.Tensors("config")
    text = tf.make_ndarray(config.tensor_proto).item().decode()
    lines = text.splitlines()
    assert all(line.startswith("    ") for line in lines)
    assert json.loads(text) == json.loads(
        (transfer_run[0] / "config.json").read_text()
    )
    assert reader.PluginTagToContent("hparams").keys() == {
        "_hparams_/experiment",
        "_hparams_/session_start_info",
    }
    started = plugin_data_pb2.HParamsPluginData.FromString(
        reader.PluginTagToContent("hparams")["_hparams_/session_start_info"]
    ).session_start_info.hparams
    assert started["phase"].string_value == "transfer"
    assert started["transfer.steps"].number_value == 12
    assert "data.target_tags" not in started
    tags = reader.Tags()["tensors"]
    for tag in ("heldout_source/mask_iou", "heldout_tags/exact"):
        assert [e.step for e in reader.Tensors(tag)] == [0, 8, 12]
    assert any(t.startswith("heldout_tag_average_precision/") for t in tags)


def test_an_evaluation_stands_among_the_events(tmp_path):
    save_checkpoint(tmp_path / "checkpoints", Checkpoint(40, {}, {}))
    write_evaluation(tmp_path, "last", {"mean_iou": 0.25})
    found = read_scalars(tmp_path / "events")
    assert found == {"evaluation/mean_iou": [(40, 0.25)]}


def test_a_run_leaves_them_for_tensorboard(transfer_run):
    """Whole runs: examples at the first step, at scores, and at the end."""
    folder = transfer_run[0] / "events"
    steps = {}
    for event in events(folder):
        for value in event.summary.value:
            if value.tag.startswith("examples/"):
                steps.setdefault(value.tag, []).append(event.step)
    assert steps == {
        "examples/source": [0, 8, 12],
        "examples/target": [0, 8, 12],
    }
    assert sum(bool(event.graph_def) for event in events(folder)) == 1
    names = (folder / "label_names.tsv").read_text().splitlines()
    vectors = np.loadtxt(folder / "label_embeddings.tsv", delimiter="\t")
    assert vectors.shape == (len(names) - 1, 16)
