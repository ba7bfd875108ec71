"""COCO reading: labels, painted masks, and what must never reach a record."""

import json

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from readers import read_coco
from small_data import (
    BEAR,
    CAT,
    COCO_IDS,
    CUP,
    DOG,
    SPLIT,
    annotation,
    box,
    document,
    write_coco,
)

from keras_wsss.categories import IGNORE, SPLITS
from keras_wsss.config import Config, DataConfig
from keras_wsss.data import formats, segmentation
from keras_wsss.data.formats import source
from keras_wsss.data.formats.coco_json import read_coco_file
from keras_wsss.data.segmentation import (
    checked_runs,
    encode,
    expand_counts,
    paint,
)
from keras_wsss.errors import DataError


def read(folder, content, **options):
    return read_coco(*write_coco(folder, content), SPLIT, **options)


def runs_of(mask: np.ndarray) -> dict:
    """Uncompressed RLE of a bool [height, width] mask."""
    flat = mask.ravel(order="F")
    edges = np.flatnonzero(np.diff(flat)) + 1
    lengths = np.diff([0, *edges, flat.size])
    counts = [0, *lengths] if flat[0] else [*lengths]
    return {"size": list(mask.shape), "counts": [int(c) for c in counts]}


def test_small_instances_lie_over_large_ones(tmp_path):
    content = document(
        {1: (20, 10)},
        [
            # The small one comes first, and the JSON's areas are all 1.
            annotation(1, 1, "cup", [box(4, 4, 6, 6)]),
            annotation(2, 1, "teddy bear", [box(2, 2, 12, 9)]),
        ],
    )
    record = read(tmp_path, content).records[0]
    expected = np.zeros((10, 20), np.uint8)
    expected[2:9, 2:12] = BEAR
    expected[4:6, 4:6] = CUP
    np.testing.assert_array_equal(record.mask.read(), expected)
    assert record.labels == (CUP, BEAR)
    assert record.domain == "source"
    assert record.image_id == "1"
    assert record.image_path.name == "1.png"


@pytest.mark.parametrize("order", [1, -1])
def test_of_equal_areas_the_higher_id_lies_on_top(tmp_path, order):
    content = document(
        {1: (8, 8)},
        [
            annotation(5, 1, "cup", [box(0, 0, 4, 4)]),
            annotation(9, 1, "teddy bear", [box(2, 0, 6, 4)]),
        ][::order],
    )
    mask = read(tmp_path, content).records[0].mask.read()
    assert mask[0].tolist() == [CUP, CUP, BEAR, BEAR, BEAR, BEAR, 0, 0]


def fault(path: str, value):
    """Sets content[a][b]... = value; the last step may delete."""

    def apply(content):
        *steps, last = path.split("/")
        for step in steps:
            content = content[int(step) if step.isdigit() else step]
        if value is fault:
            del content[last]
        else:
            content[last] = value

    return apply


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize("number", [None, 2, "a7", "missing"])
@pytest.mark.parametrize("crowd", [None, "0", 0.0])
def test_nothing_refers_to_ids_of_annotations(
    tmp_path, number, crowd, streamed
):
    entry = annotation(1, 1, "cup", [box(2, 0, 8, 3)])
    entry |= {"id": number, "iscrowd": crowd}
    if number == "missing":
        del entry["id"]
    other = annotation(2, 1, "teddy bear", [box(9, 0, 12, 3)])
    content = document({1: (20, 6)}, [entry, other])
    if not streamed:  # another order of the lists
        content["categories"] = content.pop("categories")
        content["images"] = content.pop("images")
    (record,) = read(tmp_path, content).records
    assert record.labels == (CUP, BEAR)
    expected = np.zeros((6, 20), np.uint8)
    expected[:3, 2:8], expected[:3, 9:12] = CUP, BEAR
    np.testing.assert_array_equal(record.read_mask(), expected)


def test_background_teaches_background_and_void_is_not_judged(tmp_path):
    content = document(
        {1: (20, 6)},
        [
            annotation(1, 1, "cup", [box(2, 0, 8, 3)]),
            annotation(2, 1, 0, [box(0, 0, 20, 6)]),
            annotation(3, 1, 9, [box(10, 0, 12, 6)]),
        ],
    )
    content["categories"] += [
        {"id": 0, "name": "_background_"},
        {"id": 9, "name": "void"},
        {"id": 10, "name": "dog"},
    ]
    record = read(tmp_path, content).records[0]
    expected = np.zeros((6, 20), np.uint8)
    expected[:3, 2:8] = CUP
    expected[:, 10:12] = IGNORE
    np.testing.assert_array_equal(record.mask.read(), expected)
    data = DataConfig().replace(
        {
            "eval_root": tmp_path / "instances.json",
            "eval_images": tmp_path / "images",
        }
    )
    (scored,) = formats.read(data, SPLIT, "evaluation").records
    np.testing.assert_array_equal(scored.mask.read(), expected)


def test_crowds_targets_and_unknown_categories_are_ignored(tmp_path):
    crowd = np.zeros((6, 20), bool)
    crowd[:, 14:18] = True
    content = document(
        {1: (20, 6)},
        [
            annotation(1, 1, "cup", [box(2, 0, 16, 3)]),
            annotation(2, 1, "cat", [box(0, 0, 4, 6)]),
            annotation(3, 1, "lamp", [box(6, 0, 9, 6)]),
            annotation(4, 1, "plate", [box(10, 2, 11, 6)]),
            annotation(5, 1, "teddy bear", runs_of(crowd), crowd=1),
        ],
    )
    record = read(tmp_path, content).records[0]
    expected = np.zeros((6, 20), np.uint8)
    expected[:, 6:9] = IGNORE  # unknown to the split: not background
    expected[2:, 10:11] = IGNORE  # known, but neither source nor target
    expected[:3, 2:16] = CUP  # known for sure, whatever else lies there
    expected[:, :4] = IGNORE  # target wins over source
    expected[:, 14:18] = IGNORE  # crowd
    np.testing.assert_array_equal(record.mask.read(), expected)
    assert record.labels == (CUP,)
    # Somewhere in the crowd, and what is a target.
    assert record.uncertain == (CAT, BEAR)
    assert record.absent == ()  # the file does not list "dog"


def test_hidden_labels_and_pictures_are_left_out_and_counted(tmp_path):
    content = document(
        {1: (8, 8), 2: (8, 8), 3: (8, 8), 4: (8, 8)},
        [
            annotation(1, 1, "cup", [box(1, 1, 3, 3)]),
            annotation(2, 1, "teddy bear", [box(5, 5, 8, 8)]),
            annotation(3, 1, "cat", [box(0, 0, 4, 4)]),
            annotation(4, 2, "cup", [box(1, 1, 3, 3)]),
            annotation(5, 2, "cat", [box(0, 0, 4, 4)]),
            annotation(6, 3, "cat", [box(0, 0, 4, 4)]),
        ],
    )
    found = read(tmp_path, content)
    assert [record.image_id for record in found.records] == ["1"]
    assert found.records[0].labels == (BEAR,)
    assert found.records[0].uncertain == (CAT, CUP)
    assert found.skipped == {
        source.HIDDEN: ("2",),
        source.NO_SOURCE: ("3", "4"),
    }
    assert found.dropped == {source.HIDDEN_LABELS: 1}
    assert len(read(tmp_path, content, min_pixels=0).records) == 2
    assert not found.negatives  # nobody looked for dogs
    content["categories"].append({"id": 18, "name": "dog"})
    found = read(tmp_path, content)
    assert found.records[0].absent == (DOG,)
    assert [record.image_id for record in found.negatives] == ["4"]


@pytest.mark.parametrize(
    ("negatives", "absent", "without"),
    [("listed", (), 0), ("all", (CAT, DOG), 1), ("none", (), 0)],
)
def test_targets_that_the_file_does_not_list_are_not_known_to_be_absent(
    tmp_path, negatives, absent, without
):
    content = document(
        {1: (8, 8), 2: (8, 8)}, [annotation(1, 1, "cup", [box(1, 1, 3, 3)])]
    )
    content["categories"] = [{"id": COCO_IDS["cup"], "name": "cup"}]
    found = read(tmp_path, content, negatives=negatives)
    assert found.records[0].absent == absent
    assert len(found.negatives) == without
    assert not read(tmp_path, content, min_pixels=10).records


def test_pictures_with_a_target_can_be_left_out_as_in_the_paper(tmp_path):
    crowd = np.ones((8, 8), bool)
    content = document(
        {1: (8, 8), 2: (8, 8), 3: (8, 8)},
        [
            annotation(1, 1, "cup", [box(0, 0, 4, 4)]),
            annotation(2, 2, "cup", [box(0, 0, 4, 4)]),
            annotation(3, 2, "cat", [box(6, 6, 8, 8)]),
            annotation(4, 3, "cup", [box(0, 0, 4, 4)]),
            annotation(5, 3, "cat", runs_of(crowd), crowd=1),
        ],
    )
    found = read(tmp_path, content, exclude_images_with_target=True)
    assert [record.image_id for record in found.records] == ["1"]
    assert found.skipped == {source.WITH_TARGET: ("2", "3")}
    kept = read(tmp_path, content, min_pixels=0)
    assert [record.image_id for record in kept.records] == ["1", "2", "3"]


def test_nothing_of_a_target_reaches_a_source_record(tmp_path):
    """Every pixel of random targets is ignore, and no label is a target."""
    generator = np.random.default_rng(0)
    sizes, annotations, targets = {}, [], {}
    for image in range(1, 21):
        width, height = generator.integers(12, 40, 2).tolist()
        sizes[image] = (width, height)
        covered = np.zeros((height, width), bool)
        for name in ("cup", "cat", "teddy bear", "cat", "lamp"):
            mask = np.zeros((height, width), bool)
            top, left = generator.integers(0, 10, 2)
            mask[top : top + 9, left : left + 9] = True
            crowd = int(generator.random() < 0.3)
            entry = annotation(
                len(annotations) + 1, image, name, runs_of(mask), crowd
            )
            annotations.append(entry)
            if name == "cat":
                covered |= mask
        targets[str(image)] = covered
    found = read(tmp_path, document(sizes, annotations))
    assert len(found.records) > 10
    for record in found.records:
        assert set(record.labels) <= set(SPLIT.source_ids)
        mask = record.mask.read()
        assert np.all(mask[targets[record.image_id]] == IGNORE)
        values = set(np.unique(mask).tolist()) - {0, IGNORE}
        assert values == set(record.labels)


@pytest.mark.parametrize("name", ["mini60", "mini75"])
def test_nothing_of_a_target_reaches_a_record_of_real_pictures(mini_dir, name):
    split = SPLITS[name]
    path = mini_dir / "source" / "instances.json"
    found = read_coco(path, mini_dir / "source" / "images", split, min_pixels=0)
    assert len(found.records) == 482
    content = json.loads(path.read_text())
    names = {entry["id"]: entry["name"] for entry in content["categories"]}
    targets: dict[int, list] = {}
    for entry in content["annotations"]:
        if split.find(names[entry["category_id"]]) in split.target_ids:
            targets.setdefault(entry["image_id"], []).append(entry)
    images = {entry["id"]: entry for entry in content["images"]}
    checked = 0
    for record in found.records[::2]:
        assert set(record.labels) <= set(split.source_ids)
        mask = record.mask.read()
        assert set(record.labels) >= set(np.unique(mask)) - {0, IGNORE}
        image = images[int(record.image_id)]
        for entry in targets.get(image["id"], ()):
            pixels = reference_mask(entry["segmentation"], image)
            assert np.all(mask[pixels] == IGNORE)
            checked += 1
    assert checked > 10


def reference_mask(segmentation, image) -> np.ndarray:
    size = image["height"], image["width"]
    code = segmentation
    if isinstance(code, list):
        code = coco_mask.merge(coco_mask.frPyObjects(code, *size))
    elif isinstance(code["counts"], list):
        code = coco_mask.frPyObjects(code, *size)
    return coco_mask.decode(code).astype(bool)


def test_records_are_ordered_by_id_and_named_by_file(tmp_path):
    content = document(
        {9: (4, 4), 2: (4, 4)},
        [
            annotation(1, 9, "cup", [box(0, 0, 4, 4)]),
            annotation(2, 2, "cup", [box(0, 0, 4, 4)]),
        ],
    )
    names = [record.image_id for record in read(tmp_path, content).records]
    assert names == ["2", "9"]


def test_missing_pictures_are_named_or_counted(tmp_path):
    content = document(
        {1: (4, 4), 2: (4, 4)},
        [annotation(i, i, "cup", [box(0, 0, 4, 4)]) for i in (1, 2)],
    )
    path, images = write_coco(tmp_path, content)
    (images / "2.png").unlink()
    with pytest.raises(DataError, match=r"2\.png: no such file.*image 2"):
        read_coco(path, images, SPLIT)
    found = read_coco(path, images, SPLIT, skip_missing=True)
    assert found.skipped == {source.MISSING: ("2",)}


def test_a_file_without_source_categories_is_refused(tmp_path):
    content = document({1: (4, 4)}, [])
    content["categories"] = [{"id": 1, "name": "cups"}]
    with pytest.raises(DataError, match=r"'cup' is not, closest known: cups"):
        read(tmp_path, content)


def test_file_names_that_differ_in_their_ending_only(tmp_path):
    content = document({1: (4, 4), 2: (4, 4)}, [])
    content["images"][1]["file_name"] = "1.jpg"
    content["annotations"] = [
        annotation(i, i, "cup", [box(0, 0, 4, 4)]) for i in (1, 2)
    ]
    with pytest.raises(DataError, match="differ only in their ending"):
        read(tmp_path, content)


def test_two_entries_of_one_file_are_refused(tmp_path):
    content = document({1: (4, 4), 2: (4, 4)}, [])
    content["images"][1]["file_name"] = "%31.png"
    content["annotations"] = [annotation(1, 1, "cup", [box(0, 0, 4, 4)])]
    path, images = write_coco(tmp_path, content)
    (images / "%31.png").unlink()
    with pytest.raises(DataError, match="is the picture of image 1 too"):
        read_coco(path, images, SPLIT)


def test_compressed_and_plain_runs_give_the_same_mask():
    generator = np.random.default_rng(1)
    for _ in range(50):
        height, width = generator.integers(1, 40, 2)
        mask = generator.random((height, width)) < generator.random() ** 2
        code = coco_mask.encode(np.asfortranarray(mask.view(np.uint8)))
        text = code["counts"].decode()
        assert expand_counts(text) == runs_of(mask)["counts"]
        for counts in (text, runs_of(mask)["counts"]):
            runs, problem = checked_runs(
                {"size": [int(height), int(width)], "counts": counts},
                height,
                width,
            )
            assert problem is None
            found = np.zeros((height, width), np.uint8, order="F")
            paint(found, encode((), runs, height, width), 1)
            np.testing.assert_array_equal(found, mask)


POLYGON = "annotations/0/segmentation"
FAULTS = [
    ("images/0/id", "7a", r"images\[0\].*'7a'.*an integer"),
    ("images/0/id", 7.5, r"images\[0\].*7.5.*an integer"),
    ("images/0/id", True, r"images\[0\].*True"),
    ("images/0/width", 0, '"width" is 0'),
    ("images/0/height", 2.5, '"height" is 2.5'),
    ("images/0/file_name", fault, '"file_name" is missing'),
    ("images/0/file_name", "../1.png", r"leads out of its folder"),
    ("images/0/file_name", "/etc/passwd", "leads out of its folder"),
    ("images/0/file_name", "C:\\1.png", "leads out of its folder"),
    ("images/0/file_name", "a\\..\\..\\1.png", "leads out of its folder"),
    ("images/0/file_name", "2.png", "listed twice"),
    ("images/0/id", 2, "its id is taken twice"),
    ("images/0/width", 10**8, "limit of"),
    ("categories/0/id", 47, "id 47 is taken twice"),
    ("categories/0/name", "cup", "'cup' is taken twice"),
    ("categories/0/name", "", '"name" is'),
    ("annotations/0/image_id", 99, "image_id 99"),
    ("annotations/0/category_id", 3, "category_id 3"),
    ("annotations/0/category_id", 0, "0 is the background"),
    ("annotations/0/iscrowd", 2, "iscrowd is 2"),
    (POLYGON, fault, "it has no segmentation, and a box is no mask"),
    (POLYGON, None, "it has no segmentation, and a box is no mask"),
    (POLYGON, "1 2 3", "a list of polygons"),
    (POLYGON, [[1, 1], [3, 1], [3, 3]], "pairs in lists of their own"),
    (POLYGON, [[[1, 1], [3, 1], [3, 3]]], "pairs in lists of their own"),
    (POLYGON, [], "segmentation is empty"),
    (POLYGON, [[1, 1, 2, 2]], "2 points; it needs three"),
    (POLYGON, [[1, 1, 2, 2, 3, 3, 4]], "list of x, y"),
    (POLYGON, [[1, 1, 2, 2, 3, "3"]], "holds '3'"),
    (POLYGON, [[1, 1, 2, 2, 3, float("nan")]], "holds nan"),
    (POLYGON, [[1, 1, 2, 2, 1e300, 3]], "holds 1e"),
    (POLYGON, [[1, 1, 2, 2, 9e8, 3]], "x = 900000000.0"),
    (POLYGON, {"size": [8, 10], "counts": [80]}, r"\[8, 10\].*\[10, 8\]"),
    (POLYGON, {"size": [10, 8], "counts": [79]}, "covers 79 pixels"),
    (POLYGON, {"size": [10, 8], "counts": [90, -10]}, "negative run -10"),
    (POLYGON, {"size": [10, 8], "counts": [80.0]}, "list of integers"),
    (POLYGON, {"size": [10, 8], "counts": "é"}, "list of integers"),
    (POLYGON, {"size": [10, 8], "counts": "ooooooooooo"}, "list of integ"),
    (POLYGON, {"size": [10, 8], "counts": ""}, "covers 0 pixels"),
    (POLYGON, {"counts": [80]}, "has size None"),
]


@pytest.mark.parametrize(("path", "value", "words"), FAULTS)
def test_planted_faults_are_named(tmp_path, path, value, words):
    content = document(
        {1: (8, 10), 2: (8, 10)},
        [
            annotation(1, 1, "cup", [box(0, 0, 4, 4)]),
            annotation(2, 2, "cup", [box(0, 0, 4, 4)]),
        ],
    )
    file = tmp_path / "instances.json"
    file.write_text(json.dumps(content))
    assert len(read_coco_file(file).images) == 2
    fault(path, value)(content)
    file.write_text(json.dumps(content))
    with pytest.raises(DataError, match=words) as caught:
        read_coco_file(file)
    assert str(caught.value).startswith(f"{file}: ")
    # Collecting goes on, and paints nothing of the faulty entry.
    problems = []
    rest = read_coco_file(file, problems.append)
    assert problems
    placed = [o for found in rest.instances.values() for o in found if o.placed]
    assert len(rest.images) + len(placed) < 4 or len(rest.categories) < len(
        content["categories"]
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "line 1 column 2: not JSON"),
        ("[]", '"images" is missing'),
        ('{"images": [], "annotations": {}}', '"annotations" is missing'),
        ("[" * 100_000, "not a COCO instances file"),
        ('{"images": [' + "9" * 5000 + "]}", "not a COCO instances file"),
    ],
)
def test_what_is_no_coco_file_is_refused(tmp_path, text, words):
    path = tmp_path / "instances.json"
    path.write_text(text)
    with pytest.raises(DataError, match=words):
        read_coco_file(path)


def test_unreadable_files_are_named(tmp_path):
    with pytest.raises(DataError, match=r"gone\.json: no such file"):
        read_coco_file(tmp_path / "gone.json")
    path = tmp_path / "binary.json"
    path.write_bytes(b"\xff\xfe{}")
    with pytest.raises(DataError, match="not UTF-8"):
        read_coco_file(path)


def test_slightly_outside_is_clipped(tmp_path):
    content = document(
        {1: (8, 8)}, [annotation(1, 1, "cup", [box(-2, -2, 9.5, 4)])]
    )
    mask = read(tmp_path, content).records[0].mask.read()
    assert np.all(mask[:4] == CUP)
    assert not mask[4:].any()


def test_small_objects_in_large_pictures(monkeypatch):
    """They are painted in another way, which must give the same pixels."""
    polygons = [np.array(box(3, 2, 9, 5)), np.array([0.0, 0, 4, 9, 8, 1])]
    runs = np.array([5, 3, 150, 2, 240], np.uint32)
    for polygon, run in ((polygons, None), ((), runs)):
        region = encode(polygon, run, 20, 20)
        plain, sparse = (np.zeros((20, 20), np.uint8, "F") for _ in range(2))
        paint(plain, region, 7)
        monkeypatch.setattr(segmentation, "_LARGE_MASK", 1)
        monkeypatch.setattr(segmentation, "_SMALL_PART", 1)
        paint(sparse, region, 7)
        monkeypatch.undo()
        np.testing.assert_array_equal(sparse, plain)
        assert np.count_nonzero(plain) == region.area > 0


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize(
    ("fault", "void"),
    [
        ({"segmentation": [[1, 1]], "bbox": [8, 2, 4, 6]}, (8, 2, 12, 8)),
        ({"iscrowd": 7, "bbox": [8, 2, 4, 6]}, (8, 2, 12, 8)),
        ({"category_id": 77, "bbox": [8, 2, 4, 6]}, (8, 2, 12, 8)),
        ({"segmentation": [[1, 1]], "bbox": [90, 90, 4, 4]}, (0, 0, 20, 10)),
        ({"segmentation": None, "bbox": None}, (0, 0, 20, 10)),
    ],
    ids=str,
)
def test_what_is_left_out_is_not_background(tmp_path, fault, void, streamed):
    """Where it should have been drawn nothing but other outlines is known."""
    content = document(
        {1: (20, 10)},
        [
            annotation(1, 1, "cup", [box(6, 0, 10, 10)]),
            annotation(2, 1, "teddy bear", [box(1, 1, 3, 3)]) | fault,
        ],
    )
    if not streamed:  # another order of the lists
        content["annotations"] = content.pop("annotations")
        content["categories"] = content.pop("categories")
    annotations, images = write_coco(tmp_path, content)
    data = Config().data.replace(
        {
            "source_annotations": str(annotations),
            "source_images": str(images),
            "skip_bad_annotations": True,
        }
    )
    dataset = formats.read(data, SPLIT, "source")
    (record,) = dataset.records
    assert dataset.dropped["annotations with a fault"] == 1
    left, top, right, bottom = void
    expected = np.zeros((10, 20), np.uint8)
    expected[top:bottom, left:right] = IGNORE
    expected[:, 6:10] = CUP
    np.testing.assert_array_equal(record.read_mask(), expected)
    # A label that has no pixel may be there all the same.
    assert record.labels == (CUP,)
    known = "category_id" not in fault
    assert (BEAR in record.uncertain) == known


def test_a_dot_in_a_name_without_ending_is_part_of_it(tmp_path):
    boxes = [box(2, 0, 8, 3)]
    content = document(
        {1: (20, 6), 2: (20, 6)},
        [annotation(1, 1, "cup", boxes), annotation(2, 2, "cup", boxes)],
    )
    annotations, images = write_coco(tmp_path, content)
    for number, entry in enumerate(content["images"], start=1):
        name = f"v1.{number}"
        (images / entry["file_name"]).rename(images / f"{name}.png")
        entry["file_name"] = name
    annotations.write_text(json.dumps(content))
    found = read_coco(annotations, images, SPLIT)
    assert [r.image_id for r in found.records] == ["v1.1", "v1.2"]
