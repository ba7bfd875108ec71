"""Settings of Keras that another project left behind."""

import contextlib
import json
import os

from keras_wsss.errors import ConfigError

# What keras.json must say, if anything.
_KERAS = {
    "backend": "tensorflow",
    "floatx": "float32",
    "image_data_format": "channels_last",
}


def check_keras() -> None:
    """Refuses settings with which nothing here would work.

    Raises:
        ConfigError: another backend than TensorFlow, another type of numbers
            than float32, or channels first.
    """
    home = os.environ.get("KERAS_HOME") or os.path.expanduser("~/.keras")
    path = os.path.join(home, "keras.json")
    found = {}
    # Keras itself takes what it cannot read for nothing.
    with contextlib.suppress(OSError, ValueError), open(path) as file:
        content = json.load(file)
        found = content if isinstance(content, dict) else {}
    backend = os.environ.get("KERAS_BACKEND")
    place = "KERAS_BACKEND"
    if not backend:
        backend, place = found.get("backend", _KERAS["backend"]), path
    settings = {**found, "backend": backend}
    for key, needed in _KERAS.items():
        value = settings.get(key, needed)
        if value != needed:
            where = place if key == "backend" else path
            raise ConfigError(
                f"{where}: Keras is set to the {key} {value!r}, but keras_wsss "
                f"needs {needed!r}; change it there, or set KERAS_BACKEND="
                "tensorflow and KERAS_HOME to an empty folder for this command."
            )
