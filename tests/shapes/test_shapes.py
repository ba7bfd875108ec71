"""The embedded data set: its files, read by the ordinary readers."""

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask
from readers import read_coco, read_voc

from keras_wsss.categories import (
    SHAPES_SOURCE,
    SHAPES_TARGET,
    get_split,
    palette,
)
from keras_wsss.data.formats.tags import read_tags
from keras_wsss.errors import ConfigError
from keras_wsss.shapes.make import ShapesSize, shapes_split, write_shapes

SIZE = ShapesSize(source=60, target=24, val=16, negatives=3, without=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("shapes") / "set"
    write_shapes(path, seed=5, size=SIZE)
    return path


@pytest.fixture(scope="module")
def instances(folder):
    return json.loads((folder / "source" / "instances.json").read_text())


def content(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_split_is_known_by_name():
    split = get_split("shapes")
    assert split is shapes_split()
    assert split.source == SHAPES_SOURCE
    assert split.target == split.scored == SHAPES_TARGET


@pytest.mark.parametrize("apart", [False, True])
def test_same_seed_same_bytes(folder, tmp_path, apart):
    write_shapes(tmp_path / "again", seed=5, size=SIZE, apart=apart)
    assert content(tmp_path / "again") == content(folder)


def test_other_seed_other_pictures(folder, tmp_path):
    few = ShapesSize(128, 2, 2, 2, 0, 0)
    write_shapes(tmp_path / "other", seed=6, size=few)
    other, this = content(tmp_path / "other"), content(folder)
    pictures = [name for name in other if name.endswith(".jpg")]
    assert len(pictures) == 6
    assert all(other[name] != this[name] for name in pictures)


def test_smaller_set_is_the_beginning_of_a_larger_one(folder, tmp_path):
    few = ShapesSize(128, 2, 2, 2, 0, 0)
    write_shapes(tmp_path / "few", seed=5, size=few)
    this = content(folder)
    for name, data in content(tmp_path / "few").items():
        if name.endswith((".jpg", ".png")):
            assert data == this[name]


def test_source_is_read_as_coco(folder):
    dataset = read_coco(
        folder / "source" / "instances.json",
        folder / "source" / "images",
        shapes_split(),
    )
    assert len(dataset.records) + sum(map(len, dataset.skipped.values())) == (
        SIZE.source
    )
    seen = set()
    for record in dataset.records:
        mask = record.mask.read()
        assert mask.shape == (128, 128)
        assert set(record.labels) <= set(np.unique(mask))
        assert set(np.unique(mask)) <= {0, 255, *shapes_split().source_ids}
        assert 1 <= len(record.labels) <= 4
        seen.update(record.labels)
    assert seen == set(shapes_split().source_ids)


def test_source_has_every_form_of_annotation(instances):
    forms = {"polygon": 0, "string": 0, "counts": 0}
    for annotation in instances["annotations"]:
        segmentation = annotation["segmentation"]
        if isinstance(segmentation, list):
            forms["polygon"] += 1
        elif isinstance(segmentation["counts"], str):
            forms["string"] += 1
        else:
            forms["counts"] += 1
            assert annotation["iscrowd"] == 1
    assert min(forms.values()) > 0


def test_annotations_agree_with_their_area_and_box(instances):
    for annotation in instances["annotations"]:
        segmentation = annotation["segmentation"]
        if isinstance(segmentation, list):
            runs = coco_mask.merge(
                coco_mask.frPyObjects(segmentation, 128, 128)
            )
        elif isinstance(segmentation["counts"], list):
            runs = coco_mask.frPyObjects(segmentation, 128, 128)
        else:
            runs = segmentation
        # Polygons and painted pixels differ by rounding along the border.
        allowed = 0.05 * annotation["area"] + 8
        assert abs(coco_mask.area(runs) - annotation["area"]) <= allowed
        # A tip thinner than a pixel loses up to two of them that way.
        np.testing.assert_allclose(
            coco_mask.toBbox(runs), annotation["bbox"], atol=2.01
        )


def test_masks_lie_over_the_objects(folder):
    # An object contrasts with what is around it; a mask that were shifted,
    # mirrored or transposed would not separate the two.
    split = shapes_split()
    dataset = read_voc(folder / "target", "val", split)
    differences = {"right": [], "mirrored": []}
    for record in dataset.records:
        picture = cv2.imread(str(record.image_path)).astype(np.float32)
        inside = record.mask.read() > 0
        for name, mask in (("right", inside), ("mirrored", inside[:, ::-1])):
            inner = cv2.erode(mask.astype(np.uint8), np.ones((3, 3)))
            outer = cv2.dilate(mask.astype(np.uint8), np.ones((7, 7)))
            ring = (outer > 0) & (cv2.dilate(inner, np.ones((5, 5))) == 0)
            difference = picture[inner > 0].mean(0) - picture[ring].mean(0)
            differences[name].append(np.linalg.norm(difference))
    assert np.mean(differences["right"]) > 1.5 * np.mean(
        differences["mirrored"]
    )


def test_val_is_read_as_voc(folder):
    split = shapes_split()
    dataset = read_voc(folder / "target", "val", split)
    assert len(dataset.records) == SIZE.val
    for record in dataset.records:
        assert record.labels
        values = set(np.unique(record.mask.read()))
        assert values - {0} == set(record.labels)


def test_val_masks_are_palette_pictures(folder):
    for path in (folder / "target" / "SegmentationClass").iterdir():
        image = Image.open(path)
        assert image.mode == "P"
        np.testing.assert_array_equal(
            np.array(image.getpalette("RGB")).reshape(-1, 3), palette()
        )


def test_training_pictures_have_tags_and_no_masks(folder):
    root = folder / "target"
    dataset = read_tags(
        root / "train_tags.csv", root / "JPEGImages", shapes_split()
    )
    assert len(dataset.records) == SIZE.target + SIZE.negatives
    assert sum(not record.labels for record in dataset.records) == (
        SIZE.negatives
    )
    without = root / "without" / "source_shapes"
    assert len(list(without.iterdir())) == SIZE.without
    plain = sorted((root / "without" / "plain").iterdir())
    assert len(plain) == 11
    assert all(Image.open(path).size == (128, 128) for path in plain)
    assert all(record.mask is None for record in dataset.records)
    with open(root / "train_tags.csv", newline="") as file:
        names = {Path(row["image"]).stem for row in csv.DictReader(file)}
    sets = root / "ImageSets" / "Segmentation"
    assert names == set((sets / "train.txt").read_text().split())
    val = set((sets / "val.txt").read_text().split())
    masks = {path.stem for path in (root / "SegmentationClass").iterdir()}
    assert masks == val
    assert not masks & names
    pictures = {path.stem for path in (root / "JPEGImages").iterdir()}
    assert pictures == names | val


def test_folder_that_exists_is_left_alone(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("precious")
    with pytest.raises(ConfigError, match="exists already"):
        write_shapes(tmp_path / "mine", size=SIZE)
    assert content(tmp_path / "mine") == {"file": b"precious"}


@pytest.mark.parametrize("size", [ShapesSize(image_size=32), ShapesSize(val=0)])
def test_sizes_that_cannot_be_drawn_are_refused(tmp_path, size):
    with pytest.raises(ConfigError, match="use"):
        write_shapes(tmp_path / "set", size=size)
    assert not list(tmp_path.iterdir())


def test_negative_seed_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="seed -1"):
        write_shapes(tmp_path / "set", seed=-1, size=SIZE)


def test_nothing_is_left_of_a_failed_run(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("keras_wsss.shapes.make._write_target", fail)
    with pytest.raises(OSError, match="disk full"):
        write_shapes(tmp_path / "set", size=ShapesSize(64, 1, 1, 1, 0, 0))
    assert not list(tmp_path.iterdir())
