"""`prepare` on tiny trees in the layout of the official downloads."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from readers import read_coco, read_voc
from small_data import (
    COCO_IDS,
    SPLIT,
    annotation,
    box,
    document,
    write_picture,
    write_voc,
)

from keras_wsss.categories import SPLITS
from keras_wsss.data import prepare_voc as voc_module
from keras_wsss.data.formats.tags import read_tags
from keras_wsss.data.masks import read_palette_mask
from keras_wsss.data.prepare_coco import prepare_coco
from keras_wsss.data.prepare_voc import prepare_voc, sbd_mask, xml_tags
from keras_wsss.errors import DataError

VOC_SPLIT = SPLITS["coco60_voc20"]
OBJECTS = {
    "t1": ["cat", "person"],
    "t2": ["dog"],
    "s1": ["sofa", "sofa"],
    "s2": ["tvmonitor", "cat"],
    "v1": ["cow"],
    "v2": ["cow"],
}


def write_xml(path: Path, names: list[str]) -> None:
    objects = "".join(
        f"<object><name>{name}</name><difficult>1</difficult>"
        "<part><name>head</name></part></object>"
        for name in names
    )
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"<annotation>{objects}</annotation>")


@pytest.fixture
def downloads(tmp_path):
    """(VOC2012, SBD dataset); SBD's train holds a picture of VOC val."""
    voc, sbd = tmp_path / "VOC2012", tmp_path / "dataset"
    mask = np.array([[0, 10], [255, 10]], np.uint8)
    write_voc(voc, {"v1": mask, "v2": mask}, "val")
    write_voc(voc, {"t1": mask, "t2": mask}, "train")
    for name, objects in OBJECTS.items():
        write_xml(voc / "Annotations" / f"{name}.xml", objects)
        write_picture(voc / "JPEGImages" / f"{name}.jpg", 2, 2)
    (sbd / "cls").mkdir(parents=True)
    (sbd / "train.txt").write_text("s1\nv1\n")
    (sbd / "val.txt").write_text("s2\nt2\n")
    return voc, sbd


@pytest.fixture
def fake_masks(monkeypatch):
    """SBD masks without SciPy; counts how many are read."""
    read = []

    def sbd_mask(path):
        read.append(path.name)
        return np.full((2, 2), 18, np.uint8)

    monkeypatch.setattr(voc_module, "sbd_mask", sbd_mask)
    return read


def run(voc, out, sbd=None, **options):
    options = {"expect_train": 0, "expect_val": 0, **options}
    return list(prepare_voc(voc, out, sbd, **options))


def test_a_missing_picture_is_named(downloads, tmp_path):
    voc, _ = downloads
    (voc / "JPEGImages" / "v2.jpg").unlink()
    with pytest.raises(DataError, match=r"1 of 4 pictures.*v2\.jpg; unpack"):
        list(prepare_voc(voc, tmp_path / "o", expect_train=2, expect_val=2))
    assert not (tmp_path / "o").exists()


def test_lists_and_tags_are_what_the_readers_take(downloads, tmp_path):
    out = tmp_path / "out"
    lines = run(*downloads[:1], out, downloads[1])
    assert any("train_aug.txt: 4 pictures" in line for line in lines)
    # The union without val.
    found = read_tags(out / "train_aug_tags.csv", out / "JPEGImages", VOC_SPLIT)
    tags = {
        record.image_id: [VOC_SPLIT.name_of(label) for label in record.labels]
        for record in found.records
    }
    assert tags == {
        "s1": ["sofa"],
        "s2": ["cat", "tvmonitor"],
        "t1": ["cat", "person"],
        "t2": ["dog"],
    }
    assert len(read_voc(out, "val", VOC_SPLIT).records) == 2
    assert (out / "JPEGImages").is_symlink()


def test_without_sbd_the_list_is_vocs(downloads, tmp_path):
    run(downloads[0], tmp_path / "out")
    path = tmp_path / "out" / "train_tags.csv"
    assert path.read_text().split() == [
        "image,labels", "t1.jpg,cat", "person", "t2.jpg,dog"
    ]  # fmt: skip


def test_known_counts_are_checked_before_anything_is_written(
    downloads, tmp_path
):
    voc, sbd = downloads
    out = tmp_path / "out"
    for options, words in (
        ({"expect_train": None}, "train_aug comes to 4 pictures.*10582"),
        ({"expect_train": 4, "expect_val": 1449}, "val comes to 2.*1449"),
    ):
        with pytest.raises(DataError, match=words):
            run(voc, out, sbd, **options)
    with pytest.raises(DataError, match=r"train comes to 2 pictures.*1464"):
        run(voc, out, expect_train=None)
    assert not out.exists()
    run(voc, out, sbd, expect_train=4, expect_val=2)


def test_masks_are_converted_once(downloads, tmp_path, fake_masks):
    voc, sbd = downloads
    out = tmp_path / "out"
    lines = run(voc, out, sbd, convert_masks=True)
    assert "6 masks, 6 of them new" in lines[-1]
    assert fake_masks == ["s1.mat", "s2.mat"]
    folder = out / "SegmentationClassAug"
    assert np.all(read_palette_mask(folder / "s1.png") == 18)
    # VOC's own masks, with void, go before SBD's.
    assert read_palette_mask(folder / "t2.png")[1, 0] == 255
    (folder / "s2.png").unlink()
    lines = run(voc, out, sbd, convert_masks=True)
    assert "1 of them new" in lines[-1]
    assert fake_masks == ["s1.mat", "s2.mat", "s2.mat"]
    found = read_voc(out, "train_aug", VOC_SPLIT, masks="SegmentationClassAug")
    assert len(found.records) == 4


def test_an_interrupted_conversion_leaves_no_half_file(
    downloads, tmp_path, monkeypatch
):
    voc, sbd = downloads
    monkeypatch.setattr(
        voc_module, "sbd_mask", lambda path: np.zeros((3, 2), np.uint8)
    )
    with pytest.raises(DataError, match=r"s1\.mat: 2 x 3 but the picture is"):
        run(voc, tmp_path / "out", sbd, convert_masks=True)
    folder = tmp_path / "out" / "SegmentationClassAug"
    assert list(folder.iterdir()) == []


def test_another_folder_is_not_replaced(downloads, tmp_path):
    out = tmp_path / "out"
    (out / "JPEGImages").mkdir(parents=True)
    with pytest.raises(DataError, match="exists and is not a link"):
        run(downloads[0], out)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<annotation>", "not XML"),
        ("<!DOCTYPE a><annotation/>", "DOCTYPE"),
        (
            "<annotation><object><name>cap</name></object></annotation>",
            "'cap' is no VOC category",
        ),
        (
            "<annotation><object/></annotation>",
            "'' is no VOC category",
        ),
    ],
)
def test_faulty_annotations_are_named(tmp_path, text, words):
    path = tmp_path / "a.xml"
    path.write_text(text)
    with pytest.raises(DataError, match=words) as caught:
        xml_tags(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_sbd_file_is_read(tmp_path):
    io = pytest.importorskip("scipy.io")
    mask = np.array([[0, 3, 20]], np.uint8)
    path = tmp_path / "a.mat"
    io.savemat(path, {"GTcls": {"Segmentation": mask, "Boundaries": []}})
    np.testing.assert_array_equal(sbd_mask(path), mask)
    io.savemat(path, {"GTcls": {"Segmentation": mask + 5}})
    with pytest.raises(DataError, match="it must be a uint8 image"):
        sbd_mask(path)
    path.write_bytes(b"MATLAB")
    with pytest.raises(DataError, match="not an SBD mask"):
        sbd_mask(path)
    with pytest.raises(DataError, match="no such file"):
        sbd_mask(tmp_path / "gone.mat")


def test_missing_scipy_is_explained(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(DataError, match=r"'\.\[prepare\]'"):
        sbd_mask(tmp_path / "a.mat")


@pytest.fixture
def coco(tmp_path):
    """Two sets; lamps are unknown to the split, cats are a target."""
    folder = tmp_path / "coco"
    (folder / "annotations").mkdir(parents=True)
    contents = {
        "first": document(
            {1: (8, 8), 2: (8, 8), 3: (8, 8), 4: (8, 8)},
            [
                annotation(1, 1, "cup", [box(0, 0, 4, 4)]),
                annotation(2, 2, "cup", [box(0, 0, 4, 4)]),
                annotation(3, 2, "cat", [box(4, 4, 8, 8)]),
                annotation(4, 3, "lamp", [box(0, 0, 4, 4)]),
                annotation(5, 4, "cup", [box(0, 0, 4, 4)]),
                annotation(6, 4, "cat", [[1, 1, 2, 2]]),  # faulty
            ],
        ),
        "second": document(
            {7: (8, 8)}, [annotation(9, 7, "teddy bear", [box(0, 0, 4, 4)])]
        ),
    }
    for name, content in contents.items():
        content["licenses"] = ["not needed"]
        path = folder / "annotations" / f"instances_{name}.json"
        path.write_text(json.dumps(content))
        for entry in content["images"]:
            write_picture(folder / name / entry["file_name"], 8, 8)
    return folder


def test_sets_are_joined_and_filtered(coco, tmp_path):
    out = tmp_path / "out"
    lines = prepare_coco(coco, out, SPLIT, ["first", "second"])
    text = "\n".join(lines)
    # One of them by an annotation whose outline is faulty.
    assert "2 pictures (a target category in the picture)" in text
    assert "1 pictures (no source category in the picture)" in text
    assert "annotation 6 (image 4): polygon 0 has 2 points" in text
    found = read_coco(out / "instances.json", out / "images", SPLIT)
    names = [record.image_id for record in found.records]
    assert names == ["first/1", "second/7"]
    content = json.loads((out / "instances.json").read_text())
    assert set(content) == {"images", "annotations", "categories"}


def test_pictures_with_targets_can_be_kept(coco, tmp_path):
    out = tmp_path / "out"
    lines = prepare_coco(
        coco, out, SPLIT, ["first"], keep_images_with_target=True
    )
    # A faulty outline: what it marks is unknown.
    assert "left out: 1 pictures (a faulty annotation in the picture)" in lines
    found = read_coco(out / "instances.json", out / "images", SPLIT)
    assert [record.image_id for record in found.records] == [
        "first/1",
        "first/2",
    ]
    assert found.records[1].mask.read()[6, 6] == 255


def test_a_set_twice_is_refused(coco, tmp_path):
    with pytest.raises(DataError, match="stands in two sets"):
        prepare_coco(coco, tmp_path / "out", SPLIT, ["first", "first"])
    with pytest.raises(DataError, match=r"instances_third\.json: no such"):
        prepare_coco(coco, tmp_path / "out", SPLIT, ["third"])
    assert not (tmp_path / "out").exists()


def test_nothing_left_is_no_success(coco, tmp_path):
    out = tmp_path / "out"
    path = coco / "annotations" / "instances_second.json"
    content = json.loads(path.read_text())
    content["annotations"][0]["category_id"] = COCO_IDS["lamp"]
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"of second is left \(1 no s"):
        prepare_coco(coco, out, SPLIT, ["second"])
    assert not out.exists()
