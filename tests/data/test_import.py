"""`data import`: what was understood, as files that say the same."""

import csv

import numpy as np
import pytest
from small_data import CAT, DOG, SPLIT, write_tags, write_voc

from keras_wsss.commands.data import main
from keras_wsss.config import DataConfig
from keras_wsss.data import formats
from keras_wsss.data.formats.coco_json import read_coco_file

SPLIT_FLAGS = ["--split", "small", "--source", "cup,teddy bear"]
SPLIT_FLAGS += ["--target", "cat,dog", "--config.split.ignored=('lamp',)"]


@pytest.fixture
def written(tmp_path, capsys):
    """A VOC folder and a table of tags, imported."""
    masks = {
        "a": np.array([[0, 1, 1], [2, 255, 3]], np.uint8),
        "b": np.array([[4, 4, 0], [0, 0, 0]], np.uint8),
    }
    root = tmp_path / "voc"
    write_voc(root, masks)
    (root / "classes.txt").write_text("cup\ncat\nlamp\ndog\n")
    tags, photos = write_tags(tmp_path, [], ["x/1.png", "x/2.png"])
    tags.write_text("file;cat;dog;lamp\n1;1;-1;1\n2;0;0;0\n")
    where = [
        f"--config.data.source_annotations={root}",
        "--voc_root",
        str(root),
    ]
    where += ["--config.data.source_set=val"]
    where += ["--tags", str(tags), "--tag_images", str(photos / "x")]
    out = tmp_path / "out"
    code = main(["import", *SPLIT_FLAGS, *where, "--out", str(out)])
    assert code == 0
    assert "read as voc" in capsys.readouterr().out
    return root, photos / "x", out


def test_masks_are_the_same_when_read_again(written):
    root, _, out = written
    before = DataConfig().replace(
        {
            "source_annotations": root,
            "source_set": "val",
            "exclude_images_with_target": False,
        }
    )
    after = before.replace(
        {
            "source_annotations": out / "source.json",
            "source_images": root / "JPEGImages",
        }
    )
    pairs = zip(
        formats.read(before, SPLIT, "source").records,
        formats.read(after, SPLIT, "source").records,
        strict=True,
    )
    for old, new in pairs:
        np.testing.assert_array_equal(old.read_mask(), new.read_mask())
        assert (old.labels, old.image_path) == (new.labels, new.image_path)
    before = DataConfig().replace({"eval_root": root})
    after = DataConfig().replace(
        {
            "eval_root": out / "evaluation.json",
            "eval_images": root / "JPEGImages",
        }
    )
    pairs = zip(
        formats.read(before, SPLIT, "evaluation").records,
        formats.read(after, SPLIT, "evaluation").records,
        strict=True,
    )
    for old, new in pairs:
        np.testing.assert_array_equal(old.read_mask(), new.read_mask())
        assert old.labels == new.labels


def test_tags_are_a_plain_table(written):
    _, photos, out = written
    with open(out / "tags.csv", newline="") as stream:
        assert list(csv.reader(stream)) == [
            ["image", "labels", "unknown"],
            ["1.png", "cat", "dog"],
            ["2.png", "", ""],
        ]
    data = DataConfig().replace(
        {"target_tags": out / "tags.csv", "target_images": photos}
    )
    first, second = formats.read(data, SPLIT, "target").records
    assert (first.labels, first.uncertain) == ((CAT,), (DOG,))
    assert second.absent == (CAT, DOG)


def test_the_files_have_no_fault(written):
    file = read_coco_file(written[2] / "evaluation.json")
    assert [image.file_name for image in file.images] == ["a.jpg", "b.jpg"]
    assert len({i.id for found in file.instances.values() for i in found}) == 4


def test_what_nobody_knows_stays_unknown(written):
    """A lamp is ignored, a cat lies in what is ignored, dogs were listed."""
    root, _, out = written
    data = DataConfig().replace(
        {
            "source_annotations": out / "source.json",
            "source_images": root / "JPEGImages",
            "exclude_images_with_target": False,
        }
    )
    (record,) = formats.read(data, SPLIT, "source").records
    assert (record.uncertain, record.absent) == ((CAT,), (DOG,))
