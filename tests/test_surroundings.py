"""What other projects left on the machine: one sentence, nothing lost."""

import json
import os
import subprocess
import sys

import pytest

from keras_wsss.errors import ConfigError
from keras_wsss.keras_settings import check_keras
from keras_wsss.serving.build import check_version


@pytest.mark.parametrize(
    ("settings", "backend", "words"),
    [
        ({"backend": "jax"}, None, "backend 'jax', but keras_wsss needs"),
        ({"image_data_format": "channels_first"}, None, "'channels_first'"),
        ({"floatx": "float16"}, None, "floatx 'float16'"),
        ({}, "torch", "KERAS_BACKEND: Keras is set to the backend 'torch'"),
        ({"backend": "tensorflow"}, "jax", "KERAS_BACKEND"),
    ],
)
def test_other_settings_of_keras_are_refused(
    tmp_path, monkeypatch, settings, backend, words
):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    if backend:
        monkeypatch.setenv("KERAS_BACKEND", backend)
    (tmp_path / "keras.json").write_text(json.dumps(settings))
    with pytest.raises(ConfigError, match=words):
        check_keras()


@pytest.mark.parametrize(
    ("text", "backend"),
    [
        (None, None),
        ("{", None),
        ("[1]", None),
        ('{"backend": "tensorflow", "floatx": "float32", "epsilon": 1}', None),
        ('{"backend": "jax"}', "tensorflow"),  # the variable wins in Keras
    ],
)
def test_all_else_is_let_through(tmp_path, monkeypatch, text, backend):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setenv("KERAS_BACKEND", backend or "")
    if text is not None:
        (tmp_path / "keras.json").write_text(text)
    check_keras()


def test_names_that_a_terminal_lacks_are_escaped(tmp_path):
    tags = tmp_path / "tags.csv"
    tags.write_text("image,labels\nneko.png,猫\n", encoding="utf-8")
    arguments = ["verify", "--split", "mine", "--target", "犬"]
    arguments += ["--tags", str(tags), "--tag_images", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "keras_wsss.data", *arguments],
        env={**os.environ, "PYTHONIOENCODING": "cp1252"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 1
    assert b"the tag '\\u732b' is no category" in done.stdout
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("folder", ["runs[1]", "a*", "b?"])
def test_an_export_does_not_go_where_a_path_is_a_pattern(tmp_path, folder):
    with pytest.raises(ConfigError, match="in a path for a pattern"):
        check_version(tmp_path / folder / "1")
