"""The first day of somebody new, as docs/first_day.md tells it.

Its commands and its file are run as they stand there, on generated pictures
that are named as nothing of ours is; but at few steps, at 64 pixels and with
the encoder of generated pictures.
"""

import json
import os
import re
import subprocess
import sys

import doc_commands
import numpy as np
import odd_shapes
import pytest
import yaml
from PIL import Image
from tiny import REPOSITORY

from keras_wsss.categories import SPLITS
from keras_wsss.shapes.make import ShapesSize

PAGE = (REPOSITORY / "docs/first_day.md").read_text(encoding="utf-8")
SHAPES = SPLITS["shapes"]
STEPS = {"steps": 24, "warmup_steps": 0, "learning_rate": 3e-3}
QUICK = {
    "image": {"size": 64, "resize": 64},
    "model": {
        "encoder": "vgg_small",
        "attention_units": 64,
        "attention_gain": 36.0,
        "classifier_gain": 4.5,
        "tagger_units": 64,
        "classifier_units": 64,
    },
    "train": {"examples": 0, "tagger_multiplier": 8.0},
    "phases": {"attention": STEPS, "transfer": {**STEPS}},
}


def block_after(heading: str, kind: str = "") -> str:
    """The first block in fences below a heading of the page."""
    below = PAGE.partition(f"## {heading}\n")[2]
    return re.search(rf"```{kind}\n(.*?)```", below, re.DOTALL)[1]


def commands() -> list[list[str]]:
    """The words of the page's commands."""
    fenced = f"```\n{block_after('Five commands')}```"
    lines = doc_commands.commands_in(fenced)
    return [words for line in lines if (words := doc_commands.words_of(line))]


def run(folder, *words):
    """`keras-wsss` in a folder, with what it printed."""
    return subprocess.run(
        [sys.executable, "-m", "keras_wsss", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )


@pytest.fixture(scope="module")
def day(tmp_path_factory):
    """Folder of a newcomer, the pictures' sizes, and what commands printed."""
    folder = tmp_path_factory.mktemp("Mein Projekt ü")
    sizes = odd_shapes.write_pictures(
        folder, ShapesSize(64, source=30, target=28, negatives=6, val=1)
    )
    fields = yaml.safe_load(block_after("The file to write", "yaml"))
    names = {**odd_shapes.SOURCE, **odd_shapes.TARGET}
    for side in ("source", "target"):
        given = [names.get(name, name) for name in getattr(SHAPES, side)]
        fields["split"][side] = given
    fields |= QUICK
    text = yaml.safe_dump(fields, allow_unicode=True)
    (folder / "mine.yaml").write_text(text, encoding="utf-8")
    printed = []
    for program, *words in commands():
        if program == "pip":
            continue
        done = run(folder, *words)
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        printed.append(done.stdout)
    return folder, sizes, printed


def test_the_page_keeps_to_five_commands():
    assert [words[0] for words in commands()] == ["pip", *["keras-wsss"] * 4]


def test_what_they_print_is_what_the_page_says(day):
    verified, attention, transfer, predicted = day[2]
    assert verified.rstrip().endswith("No problem found.")
    assert re.search(r"target \(csv\): 34 pictures", verified)
    assert re.search(r"source \(coco\): (29|30) pictures", verified)
    assert "columns that nothing reads: camera" in verified
    for text in (attention, transfer):
        assert "held-out tags: " in text
    assert "warning: runs/attention: no mask has taught" in attention
    assert "no mask has taught" not in transfer
    assert "mask_loss" in transfer
    assert "mask_iou" in transfer
    assert "Written: 34 masks" in predicted


def test_every_photo_has_its_mask(day):
    folder, sizes, _ = day
    shown = json.loads((folder / "masks/predictions.json").read_text("utf-8"))
    categories = shown["categories"]
    ids = {int(number) for number, name in categories.items()}
    assert set(odd_shapes.TARGET.values()) <= set(categories.values())
    assert len(shown["pictures"]) == len(sizes) == 34
    found = 0
    for name, size in sizes.items():
        path = (folder / "masks/masks" / name).with_suffix(".png")
        with Image.open(path) as mask:
            assert mask.size == size, name
            pixels = set(np.unique(np.asarray(mask)).tolist())
        assert pixels <= {0, *ids}
        found += bool(pixels - {0})
        overlay = (folder / "masks/overlays" / name).with_suffix(".jpg")
        with Image.open(overlay) as drawn:
            assert drawn.size == size
    # New categories, of which training knew tags alone.
    assert found > 3


def test_what_goes_wrong_on_the_way_is_said(day):
    """Slips of a first day, each with the sentence that mends it."""
    folder, _, _ = day
    text = (folder / "mine.yaml").read_text("utf-8")
    tags = (folder / "tags.csv").read_text("utf-8")
    (folder / "german.csv").write_text(
        tags.replace("file;tags", "Datei;Stichworte"), "utf-8"
    )
    cases = {
        "- Schlüssel": ("- Schlusel", "closest known: Schlusel"),
        "tags.csv": ("german.csv", "tags_image_column"),
        "images: photos": ("images: photo", "photo"),
        "base: photos": ("base: photo", "built-in config"),
        "target_tags": ("target_tag", "target_tags"),
    }
    for right, (wrong, expected) in cases.items():
        assert right in text
        path = folder / "wrong.yaml"
        path.write_text(text.replace(right, wrong), "utf-8")
        done = run(folder, "data", "verify", "--config", "wrong.yaml")
        assert done.returncode in (1, 2), done.stdout
        said = done.stdout + done.stderr
        assert re.search(expected, said), said
        assert "Traceback" not in said
