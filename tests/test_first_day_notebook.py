"""The notebook runs with the wheel, and is stored without outputs."""

import json

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


def test_it_runs_from_top_to_bottom_with_the_wheel(
    installed, tmp_path, monkeypatch
):
    reason = "nbclient and ipykernel (requirements-dev.txt) are not installed"
    nbclient = pytest.importorskip("nbclient", reason=reason)
    nbformat = pytest.importorskip("nbformat", reason=reason)
    pytest.importorskip("ipykernel", reason=reason)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.delenv("PYTHONPATH", raising=False)
    kernel = tmp_path / "jupyter/kernels/wheel/kernel.json"
    kernel.parent.mkdir(parents=True)
    python = str(installed.with_name("python"))
    launch = [python, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    kernel.write_text(json.dumps({"argv": launch, "display_name": "wheel"}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    last = nbformat.v4.new_code_cell("print(kw.__file__)")
    notebook.cells.append(last)
    nbclient.NotebookClient(
        notebook,
        timeout=600,
        # On a busy machine outputs come late; after 4 s they would be lost.
        iopub_timeout=120,
        kernel_name="wheel",
        resources={"metadata": {"path": str(tmp_path)}},
    ).execute()
    assert str(installed.parents[1]) in last["outputs"][0]["text"]
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
