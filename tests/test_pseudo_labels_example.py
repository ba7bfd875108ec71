"""The example of docs/pseudo_labels.md: another segmenter on the masks."""

import re

import numpy as np
import pytest
from PIL import Image
from tiny import REPOSITORY

from keras_wsss.data.masks import write_palette_mask

keras_hub = pytest.importorskip(
    "keras_hub", reason="keras-hub is not installed (extra 'hub')"
)
NAMES = ["one", "two", "three", "four"]
SIZE = 64


@pytest.fixture
def folders(tmp_path):
    """Pictures, and pseudo labels with a category, background and 255."""
    pictures, labels = tmp_path / "pictures", tmp_path / "labels"
    lists = labels / "ImageSets" / "Segmentation"
    for folder in (pictures, labels / "SegmentationClass", lists):
        folder.mkdir(parents=True)
    for number, name in enumerate(NAMES):
        image = np.full((48, 80, 3), 60 * number, np.uint8)
        mask = np.zeros((48, 80), np.uint8)
        image[:, 40:] = 255
        mask[:, 40:], mask[0] = 2, 255
        Image.fromarray(image).save(pictures / f"{name}.jpg")
        write_palette_mask(labels / "SegmentationClass" / f"{name}.png", mask)
    (lists / "train.txt").write_text("".join(f"{n}\n" for n in NAMES))
    (labels / "classes.txt").write_text("teddy bear\ncat\n")
    return pictures, labels


def test_it_runs_as_it_stands_in_the_docs(folders, tmp_path):
    text = (REPOSITORY / "docs" / "pseudo_labels.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    settings = {
        "PICTURES = .*": f"PICTURES = Path({str(folders[0])!r})",
        "LABELS = .*": f"LABELS = Path({str(folders[1])!r})",
        "SIZE, BATCH, EPOCHS = .*": f"SIZE, BATCH, EPOCHS = {SIZE}, 2, 2",
        "OUT = .*": f"OUT = {str(tmp_path / 'deeplab.weights.h5')!r}",
    }
    for line, value in settings.items():
        code, count = re.subn(f"(?m)^{line}$", value, code)
        assert count == 1, line
    found = {}
    exec(compile(code, "docs/pseudo_labels.md", "exec"), found)
    losses = found["history"].history["loss"]
    assert len(losses) == 2
    assert np.isfinite(losses).all()
    assert any("io_u" in name for name in found["history"].history)
    pictures, masks = next(iter(found["pairs"]))
    assert pictures.shape == (2, SIZE, SIZE, 3)
    assert set(np.unique(masks)) == {0, 2, 255}
    assert found["model"].output_shape[-1] == 3
    assert (tmp_path / "deeplab.weights.h5").exists()
