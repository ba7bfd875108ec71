"""Tags files: ways to write them, what is counted, what is refused."""

import dataclasses
import tracemalloc

import pytest
from small_data import (
    CAT,
    DOG,
    SPLIT,
    annotation,
    document,
    write_coco,
    write_picture,
    write_tags,
)

from keras_wsss.categories import SPLITS, get_split
from keras_wsss.commands.data import main
from keras_wsss.config import Config, DataConfig, split_of
from keras_wsss.data import formats
from keras_wsss.data.formats import class_folders
from keras_wsss.data.formats.tags import (
    IGNORED,
    MINUS,
    MISSING,
    NO_TARGET,
    NOT_TARGET,
    REPEATED,
    UNREAD,
    read_tags,
)
from keras_wsss.errors import ConfigError, DataError


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


def test_a_name_that_fits_from_elsewhere_takes_no_picture_away(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    path, images = write_tags(
        tmp_path, ["a.jpg,cat", "tagged/a.jpg,dog"], ["a.jpg"]
    )
    folder = images.relative_to(tmp_path)
    found = read_tags(path, folder, SPLIT, skip_missing=True)
    assert [record.labels for record in found.records] == [(CAT,)]
    assert found.skipped == {MISSING: ("tagged/a.jpg",)}


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["a,cat", "b,dgo"], "line 3: the tag 'dgo'.*closest known: dog"),
        (["a,cat;Dog"], "line 2: the tag 'Dog'.*closest known: dog"),
        (["a,cat unicorn"], "line 2: the tag 'unicorn' is no category"),
        (["a,cat,dog"], "line 2: 3 cells instead of 2"),
        (["a"], "line 2: 1 cells instead of 2"),
        (["a,cat", "a.jpg,"], "line 3: a.jpg has tags .* none in the other"),
        (["../a,cat"], "line 2: the file name '../a' leads out"),
        (["/a,cat"], "line 2: the file name '/a' leads out"),
        ([",cat"], "line 2: the file name '' is empty"),
        ([], "holds no picture"),
        (['a,"cat'], "line 2: not CSV"),
        (['"x\ny",cat', "b,dgo"], "line 4: the tag 'dgo'"),
        (["a,cat", "a.jpg,?kitty"], "line 3: 'cat' is a tag of a.jpg here or"),
        (["a,?cat", "a,dog", "a,cat"], r"line 4: 'cat' is .* \(from line 2"),
        (["a,?cat", "a,"], "line 3: a has tags here or in line 2, and none"),
    ],
)
def test_faulty_lines_are_named(tmp_path, lines, words):
    path, images = write_tags(tmp_path, lines, ["a.jpg", "b.jpg"])
    with pytest.raises(DataError, match=words) as caught:
        read_tags(path, images, SPLIT)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("colour;tags\na;cat\n", "line 1: the header is 'colour;tags'; write"),
        ("a.jpg,cat\n", "put a line above the first picture: 'image,labels'"),
        ("image,colour\na,cat\n", "without a column of labels and without"),
        ("image,cat,dgo\na,1,0\n", "'dgo' is no category.*known: dog"),
        ("image,cat\na,2\n", "line 2: the cell of 'cat' is '2'"),
        ("image,Cat\na,1\n", "one of a category, closest known: cat"),
        ("image,cat,kitty\na,1,0\n", "'cat' and 'kitty' are one category"),
        ("image,cat\na,1\na,0\n", "line 3: a has tags here or in line 2"),
        ("image,cat,dog\na,1,0\na,0,1\n", "line 3: a has other marks in line"),
        ("image,cat,unknown\na,1,kitty\n", "'cat' is a tag and unknown at"),
        ("image,label,class\na,cat,dog\n", r"of the tags \(label, class\); n"),
        ("file,File,tag\na,b,cat\n", "the pictures .*tags_image_column"),
        ("image,labels,\na,cat,dog\n", "line 2: 3 cells instead of 2"),
        ("", "line 1: the header is ''"),
    ],
)
def test_another_header_is_refused(tmp_path, text, words):
    path, images = write_tags(tmp_path, [], ["a.jpg"])
    path.write_text(text)
    with pytest.raises(DataError, match=words):
        read_tags(path, images, SPLIT)


def test_another_encoding_is_refused(tmp_path):
    path, images = write_tags(tmp_path, [], ["a.jpg"])
    path.write_bytes(b"image,labels\na,\xe4\n")
    with pytest.raises(DataError, match="not UTF-8"):
        read_tags(path, images, SPLIT)


@pytest.mark.parametrize(
    "text",
    [
        'image,labels\na,"cat,dog"\nb,\n',
        "image;labels\na;cat,dog\nb;\n",
        "sep=;\r\nimage;labels\r\na;cat,dog\r\nb;\r\n",
        "image,labels,cat,dog\na,cat dog,1,1\nb,,0,\n",
        "\ufefffilename\ttags\r\na.jpg\tcat dog\r\nb.jpg\t\r\n",
        "image,label\na,cat\na,dog\nb,\n",
        "image,labels\na,cat\nb,\na.jpg,dog\na,cat\n",
        "Labels,Width,Image\ncat;dog,9,a\n,9,b\n",
        "image,cat,dog,teddy bear\na,1,1,0\nb,0,,0\n",
        "image;kitty;dog\na;TRUE;x\nb;False;no\n",
        "\ufeffimage;labels;;\r\na.jpg;cat|dog;;\r\nb.jpg;;;\r\n",
        '"image";"labels"\n"a";"cat;dog"\n"b";""\n',
        "\tpath\tclass\n0\ta\tcat;dog\n1\tb\t\n",
        ",IMAGE_ID,cat,dog\n0,a,1,1\n1,b,0,0\n",
        "picture,category\na,cat\na,cat;dog\na,dog\nb,\n",
    ],
)
def test_one_thing_in_many_tables(tmp_path, text):
    path, images = write_tags(tmp_path, [], ["a.jpg", "b.jpg"])
    path.write_text(text)
    found = read_tags(path, images, SPLIT).records
    assert [(r.image_id, r.labels) for r in found] == [
        ("a", (CAT, DOG)),
        ("b", ()),
    ]


def test_columns_may_be_named(tmp_path):
    path, images = write_tags(tmp_path, [], ["a.jpg"])
    path.write_text("foto,name,was\na.jpg,dog,cat\n")
    names = {"image_column": "foto", "label_column": "was"}
    (record,) = read_tags(path, images, SPLIT, **names).records
    assert record.labels == (CAT,)
    with pytest.raises(
        DataError, match=r"no column 'wo' .*among foto, name, was"
    ):
        read_tags(path, images, SPLIT, image_column="wo")
    # A column is not both, whatever it is called; and the config names them.
    path.write_text("class;name\na.jpg;cat\n")
    places = {"target_tags": path, "target_images": images}
    names = {"tags_image_column": "class", "tags_label_column": "name"}
    data = DataConfig().replace(places | names)
    (record,) = formats.read(data, SPLIT, "target").records
    assert record.labels == (CAT,)


@pytest.mark.parametrize(
    ("text", "unread"),
    [
        ("width,image,labels,h\n9,a,cat,dog\n", ("width, h", 2)),
        (",image,labels\n0,a,cat\n", ("one without a name", 1)),
        (",image,cat\n0,a,1\n", ("one without a name", 1)),
        ("image,labels,a,b,c,d,e,f\na,cat" + 6 * "," + "\n",
         ("a, b, c, d, e, ...", 6)),
    ],
)  # fmt: skip
def test_columns_that_nothing_reads_are_told(tmp_path, text, unread):
    path, images = write_tags(tmp_path, [], ["a.jpg"])
    path.write_text(text)
    found = read_tags(path, images, SPLIT)
    assert found.records[0].labels == (CAT,)
    assert found.dropped == {f"{UNREAD}: {unread[0]}": unread[1]}


def test_rows_that_say_nothing_new_are_counted(tmp_path):
    lines = ["a,cat", "a.jpg,dog", "a,kitty", "b,", "b,", "a,?cup"]
    path, images = write_tags(tmp_path, lines, ["a.jpg", "b.jpg"])
    found = read_tags(path, images, SPLIT)
    assert [r.labels for r in found.records] == [(CAT, DOG), ()]
    assert found.dropped == {REPEATED: 2}


def test_a_problem_leaves_out_its_row_alone(tmp_path):
    """What verify lists of a file, all at once."""
    lines = ["a,cat", "a,dgo", "b,dog", "b,", "gone,cat", "x,y,z"]
    path, images = write_tags(tmp_path, lines, ["a.jpg", "b.jpg"])
    problems = []
    found = read_tags(path, images, SPLIT, problems.append)
    assert [r.labels for r in found.records] == [(CAT,), (DOG,)]
    assert {(problem.kind, problem.record) for problem in problems} == {
        ("unknown category", "line 3"),
        ("duplicate image", "line 5"),
        ("missing image", "line 6"),
        ("wrong entry", "line 7"),
    }
    assert {problem.path for problem in problems} == {str(path)}


def test_marks_may_be_unsure(tmp_path):
    path, images = write_tags(tmp_path, [], ["a.jpg"])
    path.write_text("image,cat,dog,cup\na,-1,1,0\n")
    (record,) = read_tags(path, images, SPLIT).records
    assert (record.labels, record.uncertain) == ((DOG,), (CAT,))


def test_minus_one_is_absent_where_the_table_holds_nothing_else(tmp_path):
    path, images = write_tags(tmp_path, [], ["a.jpg", "b.jpg"])
    path.write_text("image,cat,dog\na,-1,1\nb,-1,-1\n")
    found = read_tags(path, images, SPLIT)
    assert [r.labels for r in found.records] == [(DOG,), ()]
    assert [r.uncertain for r in found.records] == [(), ()]
    assert found.dropped == {MINUS: 3}


@pytest.mark.parametrize(
    ("column", "yes", "no"),
    [
        ("value", "1", "0"),
        ("Present", "True", "False"),
        ("confidence", "1.0", "0.0"),
    ],
)
def test_a_column_says_whether_the_tag_of_a_row_is_there(
    tmp_path, column, yes, no
):
    path, images = write_tags(tmp_path, [], ["a.jpg", "b.jpg"])
    rows = [f"a,cat,{yes}", f"a,dog,{no}", f"b,cat,{no}", "b,dog,0.4"]
    path.write_text("\n".join([f"image,label,{column}", *rows]))
    found = read_tags(path, images, SPLIT)
    assert [r.labels for r in found.records] == [(CAT,), ()]
    assert [r.uncertain for r in found.records] == [(), (DOG,)]
    assert [r.absent for r in found.records] == [(DOG,), (CAT,)]
    # Of positives only, what is said to be absent is absent all the same.
    found = read_tags(path, images, SPLIT, complete=False)
    assert [r.absent for r in found.records] == [(DOG,)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("image,label,value\na,cat,1\na,cat,0\n", "line 3: 'cat' is a tag of"),
        ("image,label,score\na,cat,7\n", "line 2: the cell of 'score' is '7'"),
        ("image,label,value,score\na,cat,1,1\n", "'value' and 'score' may"),
        ("image,label,flag\na,cat,1\na,dog,0\n", "reads the column 'flag'"),
        ("image,labels,cat,dog\na,cat,0,1\n", "cell of 'cat' is '0', and its"),
        ("image,labels,dog\na,cat,1\n", "cell of 'dog' is '1', and its tags"),
    ],
)
def test_what_rows_and_columns_say_of_a_tag_must_agree(tmp_path, text, words):
    path, images = write_tags(tmp_path, [], ["a.jpg", "b.jpg"])
    path.write_text(text)
    with pytest.raises(DataError, match=words):
        read_tags(path, images, SPLIT)


def test_verify_counts_tags_that_are_not_sure(tmp_path, capsys):
    path, images = write_tags(
        tmp_path, ["a,cat;?dog", "b,dog"], ["a.png", "b.png"]
    )
    arguments = ["--split", "own", "--source", "cup", "--target", "cat,dog"]
    arguments += ["--tags", str(path), "--tag_images", str(images)]
    assert main(["verify", *arguments]) == 0
    assert "note: 1 tags are marked as unsure" in capsys.readouterr().out


def test_tags_that_are_not_wanted_are_left_out_and_counted(tmp_path):
    lines = ["a,cat;hot dog", "b,unicorn", "c,hot dog cat"]
    path, images = write_tags(tmp_path, lines, ["a.jpg", "b.jpg", "c.jpg"])
    split = dataclasses.replace(SPLIT, ignored=("hot dog", "unicorn"))
    found = read_tags(path, images, split)
    assert [r.labels for r in found.records] == [(CAT,), (), (CAT,)]
    assert found.dropped == {IGNORED: 3}
    split = dataclasses.replace(SPLIT, ignored=("*",))
    path.write_text("image,labels\na,cat;hot dog\nb,unicorn\n")
    assert read_tags(path, images, split).dropped == {IGNORED: 2}
    path.write_text("image,labels\na,dgo\n")
    with pytest.raises(DataError, match=r"closest known: dog.*split\.ignored"):
        read_tags(path, images, split)
    with pytest.raises(
        ConfigError, match="ignored names cat, kitty, which are"
    ):
        dataclasses.replace(SPLIT, ignored=("kitty", "cat"))


@pytest.mark.parametrize(
    ("cell", "result"),
    [
        ("sun glasses", ()),
        ("cat;sun glasses", (CAT,)),
        ("cat teddy bear", (CAT,)),
        ("big lamp cat", "'big lamp cat' may be one tag or several"),
        ("cat house", "'cat house' may be one tag or several"),
        ("?cat house", "may be one tag or several"),
        ("Cat", "closest known: cat.*leaves out only what is like no"),
        ("tedy bear", "'tedy bear' is no category.*known: teddy bear"),
        ("lamp;kity", "'kity' is no category.*known: kitty"),
    ],
)
def test_what_is_left_out_with_all_other_tags(tmp_path, cell, result):
    """Neither a misspelling nor a part of a name becomes another thing."""
    path, images = write_tags(tmp_path, [f"a,{cell}"], ["a.jpg"])
    split = dataclasses.replace(SPLIT, ignored=("*",))
    if isinstance(result, str):
        with pytest.raises(DataError, match=f"line 2: .*{result}"):
            read_tags(path, images, split)
    else:
        found = read_tags(path, images, split)
        assert found.records[0].labels == result


@pytest.mark.parametrize("name", ["mini60", "own"])
def test_a_config_names_what_is_not_wanted(name):
    own = {"split.target": ["cat"]} if name == "own" else {}
    fields = {"split.name": name, "split.ignored": ["big  lamp"], **own}
    split = split_of(Config().replace(fields))
    assert split.ignores("big lamp")
    assert not split.ignores("lamp")
    again = {"split.name": name, "split.ignored": ["cat"], **own}
    with pytest.raises(ConfigError, match="ignored names cat, which"):
        split_of(Config().replace(again))


def test_what_is_near_a_category_is_left_out_by_its_name(tmp_path):
    path, images = write_tags(tmp_path, ["a,cat car big house"], ["a.jpg"])
    split = dataclasses.replace(SPLIT, ignored=("*", "car", "big  house"))
    found = read_tags(path, images, split)
    assert [record.labels for record in found.records] == [(CAT,)]
    assert found.dropped == {IGNORED: 2}


def test_columns_that_are_not_wanted(tmp_path):
    path, images = write_tags(tmp_path, [], ["a.jpg", "b.jpg"])
    path.write_text("image,width,cat,lamp\na,640,1,1\nb,480,0,0\n")
    split = dataclasses.replace(SPLIT, ignored=("width", "lamp"))
    found = read_tags(path, images, split)
    assert [record.labels for record in found.records] == [(CAT,), ()]
    assert found.dropped == {IGNORED: 1}
    with pytest.raises(DataError, match=r"the column 'width' is no category"):
        read_tags(path, images, SPLIT)


def test_names_are_compared_in_one_unicode_form(tmp_path):
    composed, apart = "caf\u00e9", "cafe\u0301"
    split = get_split(
        "own", [], [apart, "hot  dog", f"{composed} table"], ignored=[apart * 2]
    )
    assert split.categories == (composed, "hot dog", f"{composed} table")
    lines = [
        f"a,{composed}",
        f"b,{apart}; hot   dog",
        f"c,{apart} table {apart} hot dog {composed * 2}",
        f"d,{apart}  table",
    ]
    path, images = write_tags(tmp_path, lines, [f"{n}.jpg" for n in "abcd"])
    found = read_tags(path, images, split).records
    assert [record.labels for record in found] == [
        (1,), (1, 2), (1, 2, 3), (3,),
    ]  # fmt: skip
    # Case goes on to matter.
    assert split.find("Hot dog") is None
    path.write_text(f"image,{apart},hot  dog\na,1,0\n")
    assert read_tags(path, images, split).records[0].labels == (1,)


@pytest.fixture
def folders(tmp_path):
    """Pictures in folders, and the data of a config that names them."""
    root = tmp_path / "folders"
    names = ("cat/1.jpg", "dog/1.jpg", "_none_/x.png", "cup/y.png")
    for seed, name in enumerate(names):
        write_picture(root / name, 3, 2, seed)
    (root / "dog" / "1.jpg").rename(root / "dog" / "1.JPG")
    return root, DataConfig().replace({"target_tags": root})


def test_a_folder_for_each_category(folders):
    _, data = folders
    found = formats.read(data, SPLIT, "target")
    assert formats.format_of(data, "target").name == "folders"
    assert [(r.image_id, r.labels) for r in found.records] == [
        ("_none_/x", ()),
        ("cat/1", (CAT,)),
        ("cup/y", ()),
        ("dog/1", (DOG,)),
    ]
    assert found.records[1].absent == (DOG,)
    assert found.dropped == {NOT_TARGET: 1}
    assert not found.skipped
    positives = formats.read(
        data.replace({"tags_complete": False}), SPLIT, "target"
    )
    assert [r.absent for r in positives.records] == [(), ()]
    assert positives.skipped == {NO_TARGET: ("_none_/x", "cup/y")}


def test_a_folder_may_have_another_spelling(folders):
    root, data = folders
    (root / "cat").rename(root / "kitty")
    found = formats.read(data, SPLIT, "target").records
    assert [(r.image_id, r.labels) for r in found][-1] == ("kitty/1", (CAT,))


def test_a_folder_that_is_no_category(folders):
    root, data = folders
    write_picture(root / "dgo" / "1.png", 3, 2)
    with pytest.raises(
        DataError, match=r"dgo: the folder is no .*: dog.*split\.ignored"
    ):
        formats.read(data, SPLIT, "target")
    split = dataclasses.replace(SPLIT, ignored=("*",))
    with pytest.raises(DataError, match="dgo: the folder is no category"):
        formats.read(data, split, "target")
    split = dataclasses.replace(SPLIT, ignored=("dgo",))
    found = formats.read(data, split, "target")
    assert len(found.records) == 4
    assert found.dropped[IGNORED] == 1
    assert found.skipped == {class_folders.NOT_WANTED: ("dgo/1.png",)}


def test_files_that_are_in_no_folder_of_a_category_are_counted(folders):
    root, data = folders
    write_picture(root / "loose.png", 3, 2)
    write_picture(root / "cat" / "more" / "3.png", 3, 2)
    (root / "dog" / "4.webp").write_bytes(b"RIFF")
    (root / "dog" / ".DS_Store").write_bytes(b"")
    found = formats.read(data, SPLIT, "target")
    assert len(found.records) == 4
    assert found.skipped == {
        class_folders.NO_FOLDER: ("loose.png",),
        class_folders.TOO_DEEP: ("cat/more/3.png",),
        class_folders.NO_PICTURE: ("dog/4.webp",),
    }


def test_pictures_of_a_folder_that_differ_by_their_ending_only(folders):
    root, data = folders
    write_picture(root / "cat" / "1.png", 3, 2)
    with pytest.raises(DataError, match=r"1\.png: it and 1\.jpg differ in "):
        formats.read(data, SPLIT, "target")


def test_folders_need_no_folder_of_pictures(folders, capsys):
    root, _ = folders
    arguments = ["--split", "own", "--source", "cup", "--target", "cat,dog"]
    assert main(["verify", "--tags", str(root), *arguments]) == 0
    assert "target (folders): 4 pictures, 2 pairs" in capsys.readouterr().out
    (root / "hare").mkdir()
    with_hare = ["verify", "--tags", str(root), *arguments]
    assert main(with_hare) == 1
    assert main([*with_hare, "--ignored", "hare,fox"]) == 0


def test_a_coco_file_can_give_tags(tmp_path):
    """Boxes will do; outlines are not looked at."""
    entries = [
        annotation(1, 1, "cat", None),
        annotation(2, 1, "cup", [[1, 2]]),
        annotation(3, 2, "lamp", None),
    ]
    path, images = write_coco(
        tmp_path, document({1: (4, 4), 2: (4, 4)}, entries)
    )
    data = DataConfig().replace({"target_tags": path, "target_images": images})
    found = formats.read(data, SPLIT, "target")
    assert [record.labels for record in found.records] == [(CAT,), ()]
    # Nobody looked for dogs.
    assert found.records[1].absent == (CAT,)
    positives = formats.read(
        data.replace({"tags_complete": False}), SPLIT, "target"
    )
    assert [record.absent for record in positives.records] == [()]


def test_the_ending_may_be_in_other_case_than_the_files(tmp_path):
    path, images = write_tags(tmp_path, ["a.jpg,cat"], ["a.JPG"])
    (record,) = read_tags(path, images, SPLIT).records
    assert record.image_path == images / "a.JPG"


def test_a_folder_that_is_not_there_is_named_once(tmp_path):
    path, images = write_tags(tmp_path, ["a,cat", "b,dog"], ["a.jpg", "b.jpg"])
    with pytest.raises(DataError, match=r"gone: no such folder"):
        read_tags(path, images.parent / "gone", SPLIT)


def test_a_table_is_read_line_by_line(tmp_path):
    note = "x" * 1000
    rows = [f"{i}.jpg,cat,{note}" for i in range(3000)]
    path, images = write_tags(tmp_path, rows, [])
    path.write_text("image,labels,note\n" + "\n".join(rows))
    for number in range(3000):
        (images / f"{number}.jpg").touch()
    tracemalloc.start()
    try:
        dataset = read_tags(path, images, SPLIT)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(dataset.records) == 3000
    assert peak < path.stat().st_size / 2


def test_a_wrong_byte_is_told_before_anything_else(tmp_path):
    path, images = write_tags(tmp_path, ["a.jpg,zebra"] * 20_000, ["a.jpg"])
    path.write_bytes(path.read_bytes() + b"\xff")
    problems = []
    place = path.stat().st_size - 1
    with pytest.raises(DataError, match=f"byte {place} is not UTF-8"):
        read_tags(path, images, SPLIT, problems.append)
    assert problems == []


def test_lines_end_as_on_any_system(tmp_path):
    path, images = write_tags(tmp_path, [], ["a.jpg", "b.jpg"])
    for end in ("\r", "\n", "\r\n"):
        rows = ["", "image;labels", "a.jpg;cat,dog", "b.jpg;dog", ""]
        path.write_bytes(end.join(rows).encode())
        labels = [r.labels for r in read_tags(path, images, SPLIT).records]
        assert list(map(len, labels)) == [2, 1]
