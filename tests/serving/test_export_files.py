"""Version numbers, manifest and warm-up requests of an export."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from keras_wsss.data.images import decode_image
from keras_wsss.errors import ConfigError, DataError
from keras_wsss.serving.build import check_version
from keras_wsss.serving.check import forbidden_files, sample_files
from keras_wsss.serving.manifest import verify_manifest, write_manifest
from keras_wsss.serving.warmup import Request, prediction_log, write_warmup


@pytest.fixture
def export(tmp_path):
    folder = tmp_path / "1"
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"graph")
    (folder / "variables" / "data").write_bytes(bytes(1000))
    write_manifest(folder, {"config": "tiny"})
    return folder


def test_untouched_files_are_verified(export):
    manifest = verify_manifest(export)
    assert manifest["config"] == "tiny"
    assert set(manifest["files"]) == {"saved_model.pb", "variables/data"}


def rename(folder, old, new):
    (folder / old).rename(folder / new)


def swap(folder):
    """Two files change places: every content is still there."""
    rename(folder, "saved_model.pb", "kept")
    rename(folder, "variables/data", "saved_model.pb")
    rename(folder, "kept", "variables/data")


def link(folder, name):
    """The same content, from outside of the export."""
    (folder / name).rename(folder.parent / "outside")
    (folder / name).symlink_to(folder.parent / "outside")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda f: (f / "variables/data").write_bytes(bytes(999)), "changed"),
        (lambda f: (f / "saved_model.pb").write_bytes(b"Graph"), "changed"),
        (lambda f: (f / "saved_model.pb").unlink(), "is missing"),
        (lambda f: (f / "more").write_text(""), "not in the manifest"),
        (lambda f: (f / "manifest.json").unlink(), "cannot be read"),
        (lambda f: (f / "manifest.json").write_text("{}"), "cannot be read"),
        (lambda f: (f / "manifest.json").write_text("[1]"), "cannot be read"),
        (lambda f: (f / "manifest.json").write_text("[" * 10**5), "be read"),
        (lambda f: rename(f, "saved_model.pb", "saved_model2.pb"), "missing"),
        (lambda f: swap(f), "variables/data was changed|saved_model.pb was"),
        (lambda f: (f / "extra").mkdir() or rename(f, "saved_model.pb",
                                                   "extra/saved_model.pb"),
         "extra/saved_model.pb is not in"),
        # The content is the same, now.
        (lambda f: link(f, "saved_model.pb"), "neither a plain file"),
        (lambda f: link(f, "variables"), "neither a plain file"),
        (lambda f: link(f, "manifest.json"), "neither a plain file"),
        (lambda f: (f / "more").symlink_to("gone"), "neither a plain file"),
        (lambda f: (f / "more").symlink_to("/"), "neither a plain file"),
        (lambda f: (f / "more").symlink_to("more"), "neither a plain file"),
        (lambda f: os.mkfifo(f / "more"), "neither a plain file"),
    ],
)  # fmt: skip
def test_changes_are_found(export, change, text):
    change(export)
    with pytest.raises(DataError, match=text):
        verify_manifest(export)


@pytest.mark.parametrize("name", ["model", "0", "1.5", "-1", "v2"])
def test_versions_are_whole_numbers(tmp_path, name):
    with pytest.raises(ConfigError, match="must end in a version number"):
        check_version(tmp_path / name)


def test_versions_are_not_replaced(export):
    with pytest.raises(ConfigError, match="exists; versions are not replaced"):
        check_version(export)
    check_version(export.parent / "2")


REQUEST = Request(
    "with_tags",
    {
        "image_bytes": np.array([b"\xff\xd8" + bytes(300), b"x"], object),
        "tags": np.array(["cat", ""], object),
    },
)


def test_warmup_is_what_tensorflow_serving_reads(tmp_path):
    api = pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2")
    path = write_warmup(tmp_path, [REQUEST, REQUEST])
    assert path == tmp_path / "assets.extra" / "tf_serving_warmup_requests"
    records = [r.numpy() for r in tf.data.TFRecordDataset(str(path))]
    assert len(records) == 2
    log = api.PredictionLog.FromString(records[0])
    request = log.predict_log.request
    assert request.model_spec.signature_name == "with_tags"
    for name, value in REQUEST.inputs.items():
        found = tf.make_ndarray(request.inputs[name])
        np.testing.assert_array_equal(found.astype("S"), value.astype("S"))


def test_warmup_wire_format():
    """By hand: PredictionLog.predict_log.request.model_spec.signature_name."""
    data = prediction_log(Request("png", {}))
    spec = b"\x1a\x03png"  # field 3, length 3
    request = b"\x0a" + bytes([len(spec)]) + spec
    log = b"\x0a" + bytes([len(request)]) + request
    assert data == b"\x32" + bytes([len(log)]) + log


def test_long_fields_have_long_lengths():
    data = prediction_log(REQUEST)
    # The length 300 and more does not fit into one byte of 7 bits.
    assert data[0] == 0x32
    assert data[1] & 0x80
    assert (data[1] & 0x7F) + (data[2] << 7) == len(data) - 3


def test_samples_are_pictures_of_different_sizes():
    shapes = [decode_image(data, "sample").shape for data in sample_files()]
    assert shapes == [(120, 160, 3), (150, 100, 3), (130, 91, 3)]
    assert sample_files() == sample_files()
    for data in forbidden_files():
        with pytest.raises(DataError):
            decode_image(data, "forbidden")


def test_compose_file_limits_the_server():
    path = Path(__file__).parents[2] / "export" / "compose.yaml"
    text = path.read_text(encoding="utf-8")
    for setting in ("user:", "read_only: true", "mem_limit:", "cap_drop:"):
        assert setting in text
    assert "latest" not in text
    assert json.dumps("no-new-privileges:true") in text
