"""The command line `python -m keras_wsss.data`."""

import json
import subprocess
import sys

import numpy as np
import pytest
from small_data import (
    annotation,
    box,
    document,
    write_coco,
    write_tags,
    write_voc,
)

from keras_wsss.commands.data import main
from keras_wsss.errors import ConfigError

OWN_SPLIT = ["--split", "own", "--source", "cup,teddy bear", "--target", "cat"]


@pytest.fixture
def flags(tmp_path):
    content = document(
        {1: (8, 8)}, [annotation(1, 1, "cup", [box(0, 0, 4, 4)])]
    )
    annotations, images = write_coco(tmp_path / "source", content)
    root = write_voc(tmp_path / "voc", {"v": np.full((4, 4), 8, np.uint8)})
    tags, tagged = write_tags(tmp_path, ["a,cat"], ["a.png"])
    return [
        "--coco_annotations", str(annotations), "--coco_images", str(images),
        "--voc_root", str(root), "--tags_file", str(tags),
        "--tag_images", str(tagged), *OWN_SPLIT,
    ]  # fmt: skip


def test_verify_prints_counts_and_writes_json(flags, tmp_path, capsys):
    path = tmp_path / "found.json"
    assert main(["verify", *flags, "--json", str(path)]) == 0
    printed = capsys.readouterr().out
    assert "source (coco): 1 pictures, 1 pairs" in printed
    assert "No problem found." in printed
    found = json.loads(path.read_text())
    assert found["split"] == "own"
    assert found["problems"] == []
    assert found["counts"]["evaluation"]["pixels"] == {"cat": 16}


def test_verify_exits_with_1_when_there_are_problems(flags, tmp_path, capsys):
    (tmp_path / "tagged" / "a.png").unlink()
    path = tmp_path / "found.json"
    assert main(["verify", *flags, "--json", str(path)]) == 1
    assert "tags.csv: line 2: a has no .jpg" in capsys.readouterr().out
    problem = json.loads(path.read_text())["problems"][0]
    assert problem["kind"] == "missing image"


def test_show_writes_a_sheet(flags, tmp_path, capsys):
    path = tmp_path / "sheet.png"
    assert main(["show", *flags, "--out", str(path)]) == 0
    assert path.read_bytes().startswith(b"\x89PNG")
    assert str(path) in capsys.readouterr().out


def test_prepare_says_what_it_wrote(tmp_path, capsys):
    root = write_voc(tmp_path / "voc", {"v": np.zeros((4, 4), np.uint8)})
    (root / "ImageSets" / "Segmentation" / "train.txt").write_text("v\n")
    (root / "Annotations").mkdir()
    (root / "Annotations" / "v.xml").write_text("<annotation/>")
    out = tmp_path / "out"
    (root / "ImageSets" / "Segmentation" / "train.txt").write_text("v\n")
    arguments = ["prepare", "--voc", str(root), "--out", str(out)]
    expected = ["--expect_train", "1", "--expect_val", "1"]
    assert main([*arguments, *expected]) == 0
    assert "train_tags.csv: tags of 1 pictures" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["verify"], "No data given"),
        (["verify", "--coco_annotations", __file__], "of no format"),
        (["verify", "--tags", __file__], "target_images is empty"),
        (["verify", "--voc_root", "x", "--split", "y"], "Unknown split 'y'"),
        (["verify", "--voc_root", "x", "--max_pixels", "0"], "max_pixels"),
        (["prepare", "--out", "x"], "Nothing to prepare"),
        (["prepare", "--out", "x", "--coco", "y", "--sbd", "z"], "--voc"),
    ],
)
def test_wrong_flags_are_explained(arguments, words):
    with pytest.raises(ConfigError, match=words):
        main(arguments)


def test_coco_spellings_work_in_own_splits(tmp_path, capsys):
    """And --tags, as --tags_file was called."""
    tags, tagged = write_tags(tmp_path, ["a,couch"], ["a.png"])
    arguments = ["verify", "--tags", str(tags), "--tag_images", str(tagged)]
    own = ["--split", "own", "--target", "sofa"]
    assert main([*arguments, *own]) == 0
    assert "target (csv): 1 pictures" in capsys.readouterr().out


def test_shapes_does_not_overwrite(tmp_path):
    with pytest.raises(ConfigError, match=str(tmp_path)):
        main(["shapes", "--out", str(tmp_path)])


@pytest.mark.parametrize("verb", ["verify", "show", "prepare", "shapes"])
def test_help_needs_no_tensorflow(verb):
    program = (
        "import sys, runpy; sys.modules['tensorflow'] = None; "
        f"sys.argv = ['data', '{verb}', '--help']; "
        "runpy.run_module('keras_wsss.data', run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "usage: python -m keras_wsss.data " + verb in done.stdout


def test_user_errors_have_no_traceback(tmp_path):
    done = subprocess.run(
        [
            sys.executable, "-m", "keras_wsss.data", "show",
            "--voc_root", str(tmp_path), "--out", str(tmp_path / "a.png"),
        ],
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "val.txt: no such file" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "a.png").exists()
