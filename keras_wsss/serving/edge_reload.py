"""Runs `client_edge` in a process that has neither us nor TensorFlow.

    python -I keras_wsss/serving/edge_reload.py MODEL FOLDER

FOLDER holds `requests.json`, a list of {"file", "tags"}, and pictures as
PNG files. Answers go to FOLDER/0.npz, ... It is a script of its own because
an exported model has to work without this package.
"""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np


class _Forbid:
    """Makes the import of packages fail."""

    def __init__(self, names: set[str]):
        self._names = names

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in self._names:
            raise ImportError(f"{name} must not be needed by an export")


def main(model: str, folder: Path) -> None:
    """Answers all requests of a folder; see the module."""
    forbidden = {"keras_wsss"}
    if importlib.util.find_spec("ai_edge_litert") is not None:
        forbidden.add("tensorflow")  # or it is what LiteRT comes with
    sys.meta_path.insert(0, _Forbid(forbidden))
    path = Path(__file__).with_name("client_edge.py")
    spec = importlib.util.spec_from_file_location("client_edge", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} cannot be loaded")
    client = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(client)
    loaded = client.EdgeModel(model)
    requests = json.loads((folder / "requests.json").read_text())
    for number, request in enumerate(requests):
        image = client.read_picture(folder / request["file"])
        answer = loaded.predict(image, request["tags"])
        np.savez(folder / f"{number}.npz", **answer)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
