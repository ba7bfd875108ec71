"""Runs requests on a SavedModel in a process that has only TensorFlow.

    python -I keras_wsss/serving/reload.py SAVED_MODEL FOLDER

FOLDER holds `requests.json`, a list of {"signature", "files", "tags"}, and
the files. Outputs go to FOLDER/0.npz, ...; errors to FOLDER/0.error. It is a
script of its own because it must not import `keras_wsss`: an
exported model has to work without it.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

FORBIDDEN = "keras_wsss"


class _Forbid:
    """Makes the import of the forbidden package fail."""

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == FORBIDDEN:
            raise ImportError(f"{name} must not be needed by an export")


def main(model: str, folder: Path) -> None:
    """Loads the model in a process that lacks the package, and asks it."""
    sys.meta_path.insert(0, _Forbid())
    import tensorflow as tf

    answer(tf.saved_model.load(model).signatures, folder)


def answer(signatures, folder: Path) -> None:
    """Answers all requests of a folder.

    Args:
        signatures: name -> function, of a loaded model.
        folder: see the module.
    """
    import tensorflow as tf

    requests = json.loads((folder / "requests.json").read_text())
    for number, request in enumerate(requests):
        files = [(folder / name).read_bytes() for name in request["files"]]
        inputs = {"image_bytes": tf.constant(files)}
        if request["signature"] == "tensors":
            pictures = [tf.io.decode_png(data, channels=3) for data in files]
            inputs = {"images": tf.stack(pictures)}
        if request["tags"] is not None:
            inputs["tags"] = tf.constant(request["tags"])
        try:
            outputs = signatures[request["signature"]](**inputs)
        except tf.errors.InvalidArgumentError as error:
            (folder / f"{number}.error").write_text(str(error))
            continue
        arrays: dict[str, Any] = {}
        for name, value in outputs.items():
            if name == "mask_bytes":
                for index, data in enumerate(value.numpy()):
                    arrays[f"{name}/{index}"] = np.frombuffer(data, np.uint8)
            elif value.dtype == tf.string:
                arrays[name] = np.char.decode(value.numpy().astype("S"))
            else:
                arrays[name] = value.numpy()
        np.savez(folder / f"{number}.npz", **arrays)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
