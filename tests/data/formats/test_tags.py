"""Tags files: ways to write them, what is counted, what is refused."""

import pytest
from small_data import CAT, DOG, SPLIT, write_tags

from keras_wsss.categories import SPLITS
from keras_wsss.data.formats.tags import (
    MISSING,
    NO_TARGET,
    NOT_TARGET,
    read_tags,
)
from keras_wsss.errors import DataError


def labels_of(tmp_path, cell: str):
    path, images = write_tags(tmp_path, [f"a.jpg,{cell}"], ["a.jpg"])
    records = read_tags(path, images, SPLIT).records
    return records[0].labels if records else None


@pytest.mark.parametrize(
    ("cell", "labels"),
    [
        ("cat", (CAT,)),
        ("dog cat", (CAT, DOG)),
        ("dog;cat", (CAT, DOG)),
        ("dog|cat", (CAT, DOG)),
        (" dog ; cat ;", (CAT, DOG)),
        ('"dog;cat"', (CAT, DOG)),
        ("kitty dog", (CAT, DOG)),
        ("cat cat", (CAT,)),
        ("teddy bear dog", (DOG,)),
        ("dog teddy bear cat", (CAT, DOG)),
        ("teddy bear;dog", (DOG,)),
        ("teddy bear", ()),
        ("", ()),
    ],
)
def test_ways_to_write_labels(tmp_path, cell, labels):
    assert labels_of(tmp_path, cell) == labels


def test_the_longest_name_fits_first(tmp_path):
    split = SPLITS["coco60_voc20"]
    # "hot dog" and "dining table" (an alias) before "dog".
    path, images = write_tags(
        tmp_path, ["a,hot dog dining table dog"], ["a.jpg"]
    )
    found = read_tags(path, images, split)
    names = [split.name_of(label) for label in found.records[0].labels]
    assert names == ["diningtable", "dog"]
    assert found.dropped == {NOT_TARGET: 1}


def test_records_hold_tags_and_never_a_mask(tmp_path):
    path, images = write_tags(
        tmp_path,
        ["b.jpg,dog cup", "a,cat", "c.png,cup plate"],
        ["a.png", "b.jpg", "c.png"],
    )
    found = read_tags(path, images, SPLIT)
    assert [record.image_id for record in found.records] == ["b", "a", "c"]
    assert [r.labels for r in found.records] == [(DOG,), (CAT,), ()]
    assert [r.absent for r in found.records] == [(CAT,), (DOG,), (CAT, DOG)]
    assert {record.domain for record in found.records} == {"target"}
    assert all(record.mask is None for record in found.records)
    assert found.records[1].image_path == images / "a.png"
    assert not found.skipped
    assert found.dropped == {NOT_TARGET: 3}


def test_tags_that_are_positives_only_say_nothing_of_the_others(tmp_path):
    path, images = write_tags(
        tmp_path, ["a,cat", "b,", "c,cup"], ["a.png", "b.png", "c.png"]
    )
    found = read_tags(path, images, SPLIT, complete=False)
    assert [record.labels for record in found.records] == [(CAT,)]
    assert found.records[0].absent == ()
    assert found.skipped == {NO_TARGET: ("b", "c")}


@pytest.mark.parametrize(
    ("cell", "labels", "unknown"),
    [
        ("cat;?dog", (CAT,), (DOG,)),
        ("cat ?dog", (CAT,), (DOG,)),
        ("?cat dog", (DOG,), (CAT,)),
        ("?kitty", (), (CAT,)),
        ("? cat", (), (CAT,)),
        ("?dog cat", (CAT,), (DOG,)),
        ("?teddy bear cat", (CAT,), ()),
    ],
)
def test_a_tag_may_be_unknown(tmp_path, cell, labels, unknown):
    path, images = write_tags(tmp_path, [f"a,{cell}"], ["a.png"])
    (record,) = read_tags(path, images, SPLIT).records
    assert (record.labels, record.uncertain) == (labels, unknown)
    absent = {CAT, DOG} - set(labels) - set(unknown)
    assert record.absent == tuple(sorted(absent))


def test_unknown_tags_may_stand_in_a_column_of_their_own(tmp_path):
    path, images = write_tags(tmp_path, [], ["a.png", "b.png"])
    path.write_text("image,labels,unknown\na,cat,dog;cup\nb,,cat dog\n")
    found = read_tags(path, images, SPLIT)
    assert [record.labels for record in found.records] == [(CAT,), ()]
    assert [r.uncertain for r in found.records] == [(DOG,), (CAT, DOG)]


def test_a_tag_cannot_be_sure_and_unknown(tmp_path):
    path, images = write_tags(tmp_path, ["a,cat;?kitty"], ["a.png"])
    with pytest.raises(DataError, match="line 2: 'cat' is a tag and unknown"):
        read_tags(path, images, SPLIT)


@pytest.mark.parametrize(
    ("name", "records", "dropped"), [("mini60", 1236, 0), ("mini75", 1236, 528)]
)
def test_no_mask_of_real_target_pictures(mini_dir, name, records, dropped):
    target = mini_dir / "target"
    found = read_tags(
        target / "train_tags.csv", target / "JPEGImages", SPLITS[name]
    )
    assert len(found.records) == records
    assert found.dropped.get(NOT_TARGET, 0) == dropped
    for record in found.records:
        assert record.mask is None
        assert record.labels
        assert set(record.labels) <= set(SPLITS[name].target_ids)


def test_byte_order_mark_line_ends_and_empty_lines(tmp_path):
    path, images = write_tags(tmp_path, [], ["ä.jpg"])
    path.write_bytes("\ufeffImage, Labels\r\n\r\nä.jpg,cat\r\n".encode())
    found = read_tags(path, images, SPLIT)
    assert [record.image_id for record in found.records] == ["ä"]


def test_pictures_in_folders(tmp_path):
    path, images = write_tags(
        tmp_path, ["x/a.jpg,cat", "y/a,dog"], ["x/a.jpg", "y/a.jpg"]
    )
    names = [r.image_id for r in read_tags(path, images, SPLIT).records]
    assert names == ["x/a", "y/a"]


def test_pictures_that_differ_by_their_ending_only(tmp_path):
    """Pseudo labels are named without it: one would be used for both."""
    path, images = write_tags(
        tmp_path, ["a.jpg,cat", "a.png,dog"], ["a.jpg", "a.png"]
    )
    with pytest.raises(DataError, match=r"line 3: .*a\.png and .*a\.jpg diff"):
        read_tags(path, images, SPLIT)


def test_missing_pictures_are_named_or_counted(tmp_path):
    path, images = write_tags(tmp_path, ["a,cat", "gone,dog"], ["a.jpg"])
    with pytest.raises(DataError, match=r"line 3: gone has no \.jpg"):
        read_tags(path, images, SPLIT)
    found = read_tags(path, images, SPLIT, skip_missing=True)
    assert len(found.records) == 1
    assert found.skipped == {MISSING: ("gone",)}


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["a,cat", "b,dgo"], "line 3: the tag 'dgo'.*closest known: dog"),
        (["a,cat;Dog"], "line 2: the tag 'Dog'.*closest known: dog"),
        (["a,cat unicorn"], "line 2: the tag 'unicorn' is no category"),
        (["a,cat,dog"], "line 2: 3 cells instead of 2"),
        (["a"], "line 2: 1 cells instead of 2"),
        (["a,cat", "a,dog"], "line 3: a stands in line 2 too"),
        (["a,cat", "a.jpg,dog"], "line 3: .*a.jpg is tagged in line 2 too"),
        (["../a,cat"], "line 2: the file name '../a' leads out"),
        (["/a,cat"], "line 2: the file name '/a' leads out"),
        ([",cat"], "line 2: the file name '' is empty"),
        ([], "holds no picture"),
        (['a,"cat'], "line 2: not CSV"),
        (['"x\ny",cat', "b,dgo"], "line 4: the tag 'dgo'"),
    ],
)
def test_faulty_lines_are_named(tmp_path, lines, words):
    path, images = write_tags(tmp_path, lines, ["a.jpg", "b.jpg"])
    with pytest.raises(DataError, match=words) as caught:
        read_tags(path, images, SPLIT)
    assert str(caught.value).startswith(f"{path}: ")


def test_another_header_is_refused(tmp_path):
    path, images = write_tags(tmp_path, [], ["a.jpg"])
    path.write_text("file;tags\na;cat\n")
    with pytest.raises(DataError, match=r"line 1: the header is 'file;tags'"):
        read_tags(path, images, SPLIT)
    path.write_bytes(b"image,labels\na,\xe4\n")
    with pytest.raises(DataError, match="not UTF-8"):
        read_tags(path, images, SPLIT)


def test_the_ending_may_be_in_other_case_than_the_files(tmp_path):
    path, images = write_tags(tmp_path, ["a.jpg,cat"], ["a.JPG"])
    (record,) = read_tags(path, images, SPLIT).records
    assert record.image_path == images / "a.JPG"


def test_a_folder_that_is_not_there_is_named_once(tmp_path):
    path, images = write_tags(tmp_path, ["a,cat", "b,dog"], ["a.jpg", "b.jpg"])
    with pytest.raises(DataError, match=r"gone: no such folder"):
        read_tags(path, images.parent / "gone", SPLIT)


def test_a_comma_between_tags_is_explained(tmp_path):
    path, images = write_tags(tmp_path, ['a,"cat, dog"'], ["a.jpg"])
    with pytest.raises(DataError, match="between tags stands ';'"):
        read_tags(path, images, SPLIT)
