"""What `import keras_wsss` offers, and that README's lines of it work."""

import re
import subprocess
import sys
import tomllib

import numpy as np
from tiny import REPOSITORY

import keras_wsss as kw
from keras_wsss import config_files, encoders, layers, systems
from keras_wsss.shapes import make

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")


def test_the_face_is_lazy_and_lists_its_names():
    code = (
        "import sys, keras_wsss as kw\n"
        "print(*dir(kw))\n"
        "print([name for name in ('tensorflow', 'keras', 'numpy', 'cv2')"
        " if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    names, loaded = done.stdout.splitlines()
    assert names.split() == sorted(kw.__all__)
    assert loaded == "[]"


def test_every_name_is_there():
    for module in (kw, layers, encoders, systems):
        assert dir(module) == sorted(module.__all__)
        for name in module.__all__:
            assert getattr(module, name).__doc__, name
        assert not hasattr(module, "something")


def test_its_types_are_checked_strictly():
    """What stands behind the face is in the list for mypy."""
    text = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    (strict,) = (
        set(each["module"])
        for each in tomllib.loads(text)["tool"]["mypy"]["overrides"]
        if each.get("disallow_untyped_defs")
    )
    face = {getattr(kw, name).__module__ for name in kw.__all__}
    assert face <= strict


def test_the_lines_of_the_readme(tmp_path, monkeypatch):
    """As they stand there, but fewer and smaller pictures, and few steps."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KERAS_WSSS_SHAPES", raising=False)
    size = make.ShapesSize(64, 24, 16, 4, negatives=4, without=2)
    quick = {"image": {"size": 64, "resize": 64}, "train.examples": 0}
    for phase in ("decoder", "transfer"):
        quick |= {
            f"phases.{phase}.steps": 3,
            f"phases.{phase}.warmup_steps": 1,
        }
    monkeypatch.setattr(
        kw,
        "make_shapes",
        lambda folder: make.write_shapes(folder, size=size),
        raising=False,
    )
    monkeypatch.setattr(
        kw,
        "load_config",
        lambda name: config_files.load_config(name).replace(quick),
        raising=False,
    )
    block = re.search(
        r"```python\n(import keras_wsss.*?)```", README, re.DOTALL
    )
    names = {}
    exec(block[1], names)
    mask = names["prediction"].mask
    assert mask.shape == (64, 64)
    assert mask.dtype == np.uint8
    assert (tmp_path / "runs/transfer/evaluation/report.html").exists()
    assert (tmp_path / "served/1/saved_model.pb").exists()
