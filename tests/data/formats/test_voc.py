"""Evaluation records: ids of the split, oracle labels, faulty folders."""

import numpy as np
import pytest
from PIL import Image
from readers import read_voc
from small_data import CAT, CUP, DOG, SPLIT, write_voc

from keras_wsss.categories import (
    IGNORE,
    SPLITS,
    VOC_CATEGORIES,
    get_split,
    palette,
)
from keras_wsss.data.masks import write_palette_mask
from keras_wsss.data.records import MISSING
from keras_wsss.errors import DataError


@pytest.fixture
def root(tmp_path):
    """Indices: 1 dog, 2 lamp (unknown to the split), 3 cup, 4 cat."""
    first = np.array([[0, 1, 1], [2, 255, 3]], np.uint8)
    second = np.array([[4, 1], [0, 0]], np.uint8)
    third = np.zeros((2, 2), np.uint8)
    write_voc(tmp_path, {"b": first, "a": second, "c": third})
    (tmp_path / "classes.txt").write_text("dog\nlamp\ncup\nkitty\n")
    return tmp_path


def test_indices_become_ids_of_the_split(root):
    records = read_voc(root, "val", SPLIT).records
    # The order of the list, and pictures without a target stay.
    assert [record.image_id for record in records] == ["b", "a", "c"]
    assert [record.labels for record in records] == [(DOG,), (CAT, DOG), ()]
    assert {record.domain for record in records} == {"target"}
    np.testing.assert_array_equal(
        records[0].mask.read(), [[0, DOG, DOG], [0, IGNORE, CUP]]
    )
    np.testing.assert_array_equal(records[1].mask.read(), [[CAT, DOG], [0, 0]])
    assert records[0].image_path.name == "b.jpg"


@pytest.mark.parametrize(
    "first",
    [
        "background",
        "<background>",
        "Back ground",
        "bkg",
        "Unlabelled",
        "_none_",
        "__ignore__\n_background_",
        "# index 1 first",
    ],
)
def test_a_first_line_background_is_no_category(root, first):
    (root / "classes.txt").write_text(f"{first}\ndog\nlamp\ncup\ncat\n")
    assert read_voc(root, "val", SPLIT).records[1].labels == (CAT, DOG)


def test_vocs_own_order_without_classes_file(tmp_path):
    mask = np.arange(21, dtype=np.uint8).reshape(3, 7)
    write_voc(tmp_path, {"a": mask})
    record = read_voc(tmp_path, "val", SPLITS["coco60_voc20"]).records[0]
    np.testing.assert_array_equal(record.mask.read(), mask)
    assert record.labels == tuple(range(1, 21))
    # Unscored VOC categories of mini75 keep their id, but are no labels.
    record = read_voc(tmp_path, "val", SPLITS["mini75"]).records[0]
    assert record.labels == SPLITS["mini75"].target_ids
    # A split of other ids: only its categories remain.
    own = get_split("own", source=["lamp"], target=["sheep", "cat"])
    record = read_voc(tmp_path, "val", own).records[0]
    expected = np.zeros_like(mask)
    expected[mask == VOC_CATEGORIES.index("sheep") + 1] = 1
    expected[mask == VOC_CATEGORIES.index("cat") + 1] = 2
    np.testing.assert_array_equal(record.mask.read(), expected)


def test_other_mask_folder(root):
    (root / "SegmentationClass").rename(root / "SegmentationClassAug")
    found = read_voc(root, "val", SPLIT, masks="SegmentationClassAug")
    assert len(found.records) == 3
    with pytest.raises(DataError, match=r"b\.png: no such file"):
        read_voc(root, "val", SPLIT)


def test_missing_pictures_are_named_or_counted(root):
    (root / "JPEGImages" / "a.jpg").unlink()
    with pytest.raises(DataError, match=r"val\.txt: line 2: a has no \.jpg"):
        read_voc(root, "val", SPLIT)
    found = read_voc(root, "val", SPLIT, skip_missing=True)
    assert [record.image_id for record in found.records] == ["b", "c"]
    assert found.skipped == {MISSING: ("a",)}


def test_values_without_category_are_named(root):
    path = root / "SegmentationClass" / "c.png"
    write_palette_mask(path, np.full((2, 2), 5, np.uint8))
    with pytest.raises(DataError, match=r"c\.png: the mask holds 5,"):
        read_voc(root, "val", SPLIT)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "lists no picture"),
        ("b\n../a\n", "line 2: the file name '../a' leads out"),
        ("b\na\nb\n", "line 3: b stands in line 1 too"),
        ("b\nx/a.jpg y/c.png\n", "line 2: .*a has the mask y/c.png there"),
    ],
)
def test_faulty_lists_are_refused(root, content, words):
    path = root / "ImageSets" / "Segmentation" / "val.txt"
    path.write_text(content)
    with pytest.raises(DataError, match=words) as caught:
        read_voc(root, "val", SPLIT)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize("name", ["test", "../val", ""])
def test_unknown_image_sets_are_refused(root, name):
    with pytest.raises(DataError, match=r"no such file|is no name"):
        read_voc(root, name, SPLIT)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("dog\nlamp\ncup\ncats\n", "'cat' that split.*closest known: cats"),
        ("dog\n\ncat\n", "'' is empty or stands twice"),
        ("void\ndog\nlamp\ncat\n", "'void' stands first and is no category"),
        ("unknown\ndog\ncat\n", "'unknown' stands first"),
        ("dog\ncat\nvoid\n", "'void' stands behind a category"),
        ("dog\ncat\ndgo\n", r"classes\.txt: its category 'dgo' is none of"),
        ("dog\ncat\ndog\n", "'dog' is empty or stands twice"),
        ("\n".join(f"c{i}" for i in range(300)), "300 names"),
    ],
)
def test_faulty_class_lists_are_refused(root, content, words):
    (root / "classes.txt").write_text(content)
    with pytest.raises(DataError, match=words):
        read_voc(root, "val", SPLIT)


def test_what_is_missing_in_a_folder_is_said(root):
    with pytest.raises(DataError, match=r"gone: no such folder"):
        read_voc(root / "gone", "val", SPLIT)
    (root / "classes.txt").unlink()
    own = get_split("own", target=["forklift"])
    with pytest.raises(DataError, match=r"without a file classes\.txt"):
        read_voc(root, "val", own)


@pytest.mark.parametrize(
    "line",
    [
        "b.jpg",
        "/JPEGImages/b.jpg /SegmentationClass/b.png",
        "JPEGImages/b.jpg SegmentationClass/b.png",
        "data/VOC/JPEGImages/b.jpg\tdata/VOC/SegmentationClass/b.png",
        "JPEGImages\\b.jpg",
    ],
)
def test_a_list_may_hold_paths(root, line):
    path = root / "ImageSets" / "Segmentation" / "val.txt"
    path.write_text(f"{line}\r\na\n")
    found = read_voc(root, "val", SPLIT).records
    assert [record.image_id for record in found] == ["b", "a"]


def test_masks_are_looked_up_as_pictures_are(root):
    masks = root / "SegmentationClass"
    (masks / "b.png").rename(masks / "b.PNG")
    assert read_voc(root, "val", SPLIT).records[0].labels == (DOG,)
    (masks / "b.PNG").rename(masks / "b_mask.png")
    with pytest.raises(DataError, match=r"b\.png: no such file.*b_mask\.png"):
        read_voc(root, "val", SPLIT)


def test_a_palette_that_contradicts_its_indices_is_refused(root):
    colours = palette()
    index = np.zeros((2, 2), np.uint8)
    index[0] = 1
    for own, words in (
        ([colours[1], colours[0]], "index 0 has the colour .* index 1"),
        ([colours[0], colours[2]], "index 1 has the colour .* index 2"),
    ):
        image = Image.fromarray(index)
        image.putpalette(np.concatenate(own).tolist())
        image.save(root / "SegmentationClass" / "b.png")
        with pytest.raises(DataError, match=words):
            read_voc(root, "val", SPLIT)
    # A palette of one's own says nothing against the indices.
    for own in ([0, 0, 0, 255, 0, 0], [0, 0, 0, 1, 1, 1], [9, 9, 9, 9, 9, 9]):
        image.putpalette(own)
        image.save(root / "SegmentationClass" / "b.png")
        assert read_voc(root, "val", SPLIT).records[0].labels == (DOG,)
