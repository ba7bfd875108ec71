"""Large COCO files: streamed, and kept in an index, as if read whole."""

import json
import os
import tracemalloc

import numpy as np
import pytest
from readers import read_coco
from small_data import SPLIT, annotation, box, document, write_coco

from keras_wsss.data import aside, file_notes, json_stream, reading_index
from keras_wsss.data.annotations import AnnotatedImage
from keras_wsss.data.formats import coco_json, filed_instances
from keras_wsss.data.formats.coco import COCO
from keras_wsss.data.formats.coco_json import read_coco_file
from keras_wsss.data.formats.filed_instances import (
    FiledImages,
    FiledInstances,
)
from keras_wsss.data.instance_masks import InstanceMask
from keras_wsss.errors import DataError

COUNT = 12


@pytest.fixture
def content():
    """Pictures of many random instances over each other, ids mixed."""
    rng = np.random.default_rng(5)
    annotations = []
    for number in rng.permutation(8 * COUNT).tolist():
        image = number % COUNT + 1
        left, top = rng.integers(0, 30, 2).tolist()
        wide, high = rng.integers(1, 14, 2).tolist()
        name = ("cat", "cup", "teddy bear", "lamp")[rng.integers(4)]
        shape = [box(left, top, left + wide, top + high)]
        if rng.random() < 0.3:
            shape.append(box(top, left, top + high, left + wide))
        crowd = int(rng.random() < 0.1)
        annotations.append(annotation(number, image, name, shape, crowd))
    return document({i + 1: (40, 40) for i in range(COUNT)}, annotations)


@pytest.fixture
def places(tmp_path, content):
    return write_coco(tmp_path, content)


@pytest.fixture
def small_windows(monkeypatch):
    monkeypatch.setattr(json_stream, "_WINDOW", 100)
    monkeypatch.setattr(aside, "_HELD", 50)
    monkeypatch.setattr(filed_instances, "_SORTED", 20)
    monkeypatch.setattr(filed_instances, "_TOGETHER", 5)


def whole(path):
    """What the file holds, read at once."""
    later = coco_json._Later(coco_json.raise_problem)
    return coco_json._whole(path, later, 10**8, True)


def same(one, other):
    assert list(one.images) == list(other.images)
    assert one.categories == other.categories
    assert one.dropped == other.dropped
    assert sorted(one.instances) == sorted(other.instances)
    for image, expected in other.instances.items():
        assert one.instances.marks(image) == other.instances.marks(image)
        for first, second in zip(one.instances[image], expected, strict=True):
            assert str(first) == str(second)


@pytest.mark.usefixtures("small_windows")
@pytest.mark.parametrize("sort_keys", [False, True])
@pytest.mark.parametrize("ascii_only", [False, True])
@pytest.mark.parametrize("start", ["", "\ufeff", " \n"])
def test_streamed_is_as_read_whole(
    places, content, sort_keys, ascii_only, start
):
    content["info"] = {"description": 'é "categories": [ \\', "n": 1.5e3}
    for entry in content["annotations"]:
        entry["note"] = "日本 ü 🎈"
    text = json.dumps(content, sort_keys=sort_keys, ensure_ascii=ascii_only)
    places[0].write_text(start + text + "\n", encoding="utf-8")
    file = read_coco_file(places[0])
    assert isinstance(file.instances, FiledInstances)
    assert len(file.instances) == COUNT
    same(file, whole(places[0]))


def test_another_form_is_read_whole(places, content):
    text = json.dumps({**content, "x": 1})
    # Of two keys, JSON takes the last.
    places[0].write_text(text.replace('"x": 1', '"images": []'))
    with pytest.raises(DataError, match="not a valid entry of images"):
        read_coco_file(places[0])
    other = {"annotations": [], "categories": {"deep": {"categories": []}}}
    places[0].write_text(json.dumps({**other, **content}))
    same(read_coco_file(places[0]), whole(places[0]))


@pytest.mark.parametrize("cut", [1, 2, 300, 3000])
def test_a_cut_file_is_told_as_a_whole(places, cut):
    text = places[0].read_text()
    places[0].write_text(text[:-cut])
    problems = []
    with pytest.raises(DataError, match="not JSON"):
        read_coco_file(places[0], problems.append)
    assert problems == []


def test_many_problems_are_told_once(places, content, monkeypatch):
    monkeypatch.setattr(coco_json, "_KEPT", 3)
    text = json.dumps({**content, "annotations": [0] * 20})
    problems = []
    read_coco_file(_written(places[0], text), problems.append)
    expected = [f"annotations[{i}]" for i in range(20)]
    assert [p.record for p in problems] == expected
    # Of a form that is read whole, once some have been told.
    text = text[:-1] + ', "images": []}'
    problems.clear()
    read_coco_file(_written(places[0], text), problems.append)
    assert [p.record for p in problems] == expected


def _written(path, text):
    path.write_text(text)
    return path


def test_a_file_that_changes_meanwhile_is_refused(places):
    file = read_coco_file(places[0])
    text = places[0].read_text()
    places[0].write_text(text + " ")
    with pytest.raises(DataError, match="changed since it was read; start"):
        file.instances[1]
    places[0].unlink()
    with pytest.raises(DataError, match="changed since"):
        file.instances[1]


@pytest.mark.parametrize("min_pixels", [1, 20, 60])
def test_visible_labels_are_those_of_the_painted_mask(places, min_pixels):
    dataset = read_coco(*places, SPLIT, min_pixels=min_pixels)
    trusting = read_coco(*places, SPLIT, min_pixels=0)
    found = {r.image_id: r.labels for r in dataset.records}
    hidden = 0
    for record in trusting.records:
        assert isinstance(record.mask, InstanceMask)
        counts = np.bincount(record.read_mask().ravel(), minlength=256)
        labels = tuple(i for i in record.labels if counts[i] >= min_pixels)
        assert found.get(record.image_id, ()) == labels
        hidden += labels != record.labels
    assert hidden or min_pixels < 60


def test_pictures_take_few_bytes():
    """As objects, some 300."""
    count = 20_000
    plain = [
        AnnotatedImage(3 * i, f"{i:012}ü.jpg", 640 + i, 480)
        for i in reversed(range(count))
    ]
    tracemalloc.start()
    try:
        images = FiledImages.of(plain)
        assert tracemalloc.get_traced_memory()[0] < 40 * count
        assert tracemalloc.get_traced_memory()[1] < 120 * count
    finally:
        tracemalloc.stop()
    assert list(images) == plain[::-1]
    assert [images[-1], images[0]] == [plain[0], plain[-1]]
    assert images[5:2:-1] == tuple(plain[-6:-3])
    assert [images.row(i) for i in (0, 3, 4, -1)] == [0, 1, -1, -1]


# --- The index.


@pytest.fixture
def index(tmp_path, monkeypatch):
    monkeypatch.setattr(reading_index, "SMALLEST", 0)
    monkeypatch.setattr(file_notes, "FRESH_SECONDS", -1.0)
    return tmp_path / "index"


@pytest.fixture
def read(places, index):
    """Reads source records by the index."""

    def source(**fields):
        from keras_wsss.config import DataConfig

        data = DataConfig(
            **{
                "source_annotations": str(places[0]),
                "source_images": str(places[1]),
                "exclude_images_with_target": False,
                "index": str(index),
                **fields,
            }
        )
        return COCO.read_source(data, SPLIT)

    return source


def _plain(dataset):
    """A data set by what is the same however it was read."""
    records = [
        (r.image_id, r.labels, r.uncertain, r.read_mask().tobytes())
        for r in (*dataset.records, *dataset.negatives, *dataset.left_out)
    ]
    return records, dataset.skipped, dataset.dropped, dataset.listed


@pytest.fixture
def counted(monkeypatch):
    """Calls of what is slow, in a list that grows."""
    calls = []
    for place, name in (
        (coco_json, "_streamed"),
        (InstanceMask, "visible"),
    ):
        plain = getattr(place, name)

        def noting(*args, name=name, plain=plain):
            calls.append(name)
            return plain(*args)

        monkeypatch.setattr(place, name, noting)
    return calls


@pytest.mark.parametrize("crowds", [False, True])
def test_a_later_start_reads_and_paints_nothing(read, counted, crowds):
    first = read(min_pixels=5, crowds_as_instances=crowds)
    assert counted.count("_streamed") == 1
    assert counted.count("visible") > 1
    counted.clear()
    again = read(min_pixels=5, crowds_as_instances=crowds)
    assert counted == []
    assert _plain(again) == _plain(first)
    # What depends on more than the file is found anew.
    for fields in ({"min_pixels": 9}, {"crowds_as_instances": not crowds}):
        given = {"min_pixels": 5, "crowds_as_instances": crowds, **fields}
        indexed = _plain(read(**given))
        assert "visible" in counted
        assert indexed == _plain(read(**{**given, "index": ""}))
        counted.clear()


def test_a_file_that_changed_is_read_again(read, places, content, counted):
    read()
    content["annotations"] = content["annotations"][: 4 * COUNT]
    places[0].write_text(json.dumps(content))
    counted.clear()
    again = _plain(read())
    assert "_streamed" in counted
    assert again == _plain(read(index=""))


def test_what_changed_just_now_or_is_small_is_not_kept(
    read, index, monkeypatch
):
    monkeypatch.setattr(file_notes, "FRESH_SECONDS", 1000.0)
    read()
    assert not index.exists()
    monkeypatch.setattr(file_notes, "FRESH_SECONDS", -1.0)
    monkeypatch.setattr(reading_index, "SMALLEST", 10**6)
    read()
    assert not index.exists()


@pytest.mark.parametrize("damage", ["empty", "cut", "bit"])
def test_a_damaged_index_is_made_again(read, index, counted, damage):
    first = _plain(read())
    for path in index.iterdir():
        data = bytearray(path.read_bytes())
        if damage == "bit":
            data[len(data) // 2] ^= 1
        path.write_bytes({"empty": b"", "cut": data[:-90]}.get(damage, data))
    counted.clear()
    assert _plain(read()) == first
    assert "_streamed" in counted
    counted.clear()
    assert _plain(read()) == first
    assert counted == []


def test_a_file_with_faults_is_told_of_each_time(places, content, index):
    content["annotations"][3]["category_id"] = 999
    places[0].write_text(json.dumps(content))
    for _ in range(2):
        problems = []
        read_coco_file(places[0], problems.append, index=index)
        assert [p.kind for p in problems] == ["unknown category"]


def test_an_index_that_cannot_be_written_is_none(read, index):
    index.write_text("a file")
    assert len(read().records) > 2
    os.unlink(index)
