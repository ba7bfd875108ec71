"""The notebook runs from top to bottom, and is stored without outputs."""

import json
import os

import pytest
from tiny import REPOSITORY

NOTEBOOK = REPOSITORY / "examples/first_day.ipynb"


def test_it_is_stored_without_outputs():
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert code
    for cell in code:
        assert cell["outputs"] == []
        assert cell["execution_count"] is None
        assert len(cell["source"]) <= 15, "cells are short"


def test_it_runs_from_top_to_bottom(tmp_path, monkeypatch):
    reason = "nbclient and ipykernel (requirements-dev.txt) are not installed"
    nbclient = pytest.importorskip("nbclient", reason=reason)
    nbformat = pytest.importorskip("nbformat", reason=reason)
    pytest.importorskip("ipykernel", reason=reason)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    # Where the package is not installed, it is the checkout's.
    paths = [str(REPOSITORY), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbclient.NotebookClient(
        notebook,
        timeout=600,
        # On a busy machine outputs come late; after 4 s they would be lost.
        iopub_timeout=120,
        kernel_name="python3",
        resources={"metadata": {"path": str(tmp_path)}},
    ).execute()
    shown = [
        kind
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        for kind in output.get("data", ())
    ]
    assert shown.count("image/png") == 3, shown  # the sheet, two predictions
    (folder,) = tmp_path.glob("first_day_*")
    assert (folder / "served/1/saved_model.pb").exists()
    assert (folder / "suggested/suggestions.html").exists()
    assert (folder / "overlay.jpg").exists()
    tags = folder / "shapes/target/train_tags.csv"
    lines = (folder / "tags.csv").read_text(encoding="utf-8").splitlines()
    assert lines == tags.read_text(encoding="utf-8").splitlines()
