"""LabelMe, YOLO and Label Studio: read as drawn, faults named."""

import base64
import dataclasses
import io
import json

import numpy as np
import pytest
from PIL import Image
from small_data import BEAR, CAT, CUP, DOG, SPLIT, write_picture

from keras_wsss.categories import IGNORE
from keras_wsss.config import DataConfig
from keras_wsss.data import formats
from keras_wsss.data.brush_rle import encode_brush
from keras_wsss.data.verify import verify
from keras_wsss.errors import DataError

WIDTH, HEIGHT = 20, 10
# What all of them say: picture a has a cup with a bear in it, a cat, and
# b a dog and a lamp, which the split does not know; c has nothing.
CUP_BOX, BEAR_BOX, CAT_BOX = (0, 0, 10, 5), (2, 1, 5, 4), (12, 0, 16, 8)
DOG_BOX, LAMP_BOX = (0, 0, 20, 5), (0, 5, 4, 10)


def masks(unknown, target_is=None):
    """Masks of a and b; `unknown` stands where the lamp is."""
    a, b = np.zeros((2, HEIGHT, WIDTH), np.uint8)
    for mask, (left, top, right, bottom), value in (
        (a, CUP_BOX, CUP),
        (a, BEAR_BOX, BEAR),
        (a, CAT_BOX, target_is or CAT),
        (b, DOG_BOX, target_is or DOG),
        (b, LAMP_BOX, unknown),
    ):
        mask[top:bottom, left:right] = value
    return a, b


def outline(box):
    left, top, right, bottom = box
    return [[left, top], [right, top], [right, bottom], [left, bottom]]


def whole(box):
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[box[1] : box[3], box[0] : box[2]] = True
    return mask


def write_pictures(folder):
    for number, name in enumerate("abc"):
        write_picture(folder / f"{name}.png", WIDTH, HEIGHT, number)


def shape(label, points, kind, mask=None):
    return {
        "label": label,
        "points": points,
        "shape_type": kind,
        "mask": mask,
    }


def labelme(folder):
    write_pictures(folder)
    png = io.BytesIO()
    Image.fromarray(np.ones((3, 3), np.uint8)).save(png, "PNG")
    shapes = {
        "a": [
            {
                "label": "cup",
                "points": [[0, 0], [10, 5]],
                "shape_type": "rectangle",
            },
            {
                "label": "teddy bear",
                "points": [[2, 1], [4, 3]],
                "shape_type": "mask",
                "mask": base64.b64encode(png.getvalue()).decode(),
            },
            {
                "label": "cat",
                "points": outline(CAT_BOX),
                "shape_type": "polygon",
            },
            shape("cup", [[1, 1]], "point"),
        ],
        "b": [
            {"label": "dog", "points": outline(DOG_BOX)},
            {"label": "lamp", "points": outline(LAMP_BOX)},
            {"label": "_background_", "points": outline(LAMP_BOX)},
        ],
        "c": [],
    }
    for name, found in shapes.items():
        content = {
            "version": "5.5.0",
            "imagePath": f"..\\photos\\{name}.png",
            "imageData": None,
            "imageWidth": WIDTH,
            "imageHeight": HEIGHT,
            "shapes": found,
        }
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder, ""


def yolo(folder):
    write_pictures(folder / "images")
    names = ("cup", "teddy bear", "cat", "dog", "lamp")
    boxes = {
        "a": [(0, CUP_BOX), (1, BEAR_BOX), (2, CAT_BOX)],
        "b": [(3, DOG_BOX), (4, LAMP_BOX)],
    }
    (folder / "labels").mkdir()
    (folder / "data.yaml").write_text(f"names: {list(names)}\n")
    for name, found in boxes.items():
        lines = []
        for number, box in found:
            points = [
                v / s
                for p in outline(box)
                for v, s in zip(p, (WIDTH, HEIGHT), strict=True)
            ]
            lines.append(" ".join(map(str, [number, *points])))
        (folder / "labels" / f"{name}.txt").write_text("\n".join(lines) + "\n")
    return folder, ""


def region(kind, label, value):
    return {
        "type": kind,
        "original_width": WIDTH,
        "original_height": HEIGHT,
        "image_rotation": 0,
        "value": {**value, kind: [label]},
    }


def labelstudio(folder):
    write_pictures(folder / "photos")

    def percent(box):
        return [[100 * x / WIDTH, 100 * y / HEIGHT] for x, y in outline(box)]

    results = {
        "/data/upload/3/1a2b3c4d-a.png": [
            region("brushlabels", "cup", {"rle": encode_brush(whole(CUP_BOX))}),
            region(
                "polygonlabels", "teddy bear", {"points": percent(BEAR_BOX)}
            ),
            region(
                "rectanglelabels",
                "cat",
                {"x": 60, "y": 0, "width": 20, "height": 80, "rotation": 0},
            ),
            {"type": "choices", "value": {"choices": ["kitty"]}},
        ],
        "/data/local-files/?d=set%2Fphotos/b.png": [
            region("polygonlabels", "dog", {"points": percent(DOG_BOX)}),
            # A quarter of a turn about its left top corner.
            region(
                "rectanglelabels",
                "lamp",
                {"x": 20, "y": 50, "width": 25, "height": 40, "rotation": 90},
            ),
        ],
        "https://example.org/x/c.png?token=1": [],
    }
    tasks = [
        {
            "data": {"image": address, "text": "no picture"},
            "annotations": [
                {"result": [], "was_cancelled": True, "updated_at": "9"},
                {"result": [], "updated_at": "1"},
                {"result": found, "updated_at": "2"},
            ],
        }
        for address, found in results.items()
    ]
    tasks.append({"data": {"image": "z.png"}, "annotations": []})
    (folder / "export.json").write_text(json.dumps(tasks))
    return folder / "export.json", folder / "photos"


@pytest.fixture(params=[labelme, yolo, labelstudio])
def place(request, tmp_path):
    """(name of the format, its place, folder of the pictures)."""
    return request.param.__name__, *request.param(tmp_path)


def config(place, part, **fields):
    _, place_field, images_field = formats.FIELDS[part]
    given = {place_field: place[1], images_field: place[2]}
    fields.setdefault("exclude_images_with_target", False)
    return DataConfig().replace({**given, **fields})


def test_they_are_found_by_content(place):
    for part in formats.FIELDS:
        assert formats.format_of(config(place, part), part).name == place[0]


def test_they_train_as_drawn(place):
    found = formats.read(config(place, "source"), SPLIT, "source")
    (record,) = found.records
    assert (record.image_id, record.labels) == ("a", (CUP, BEAR))
    np.testing.assert_array_equal(
        record.read_mask(), masks(IGNORE, target_is=IGNORE)[0]
    )
    assert record.uncertain == (CAT,)
    assert found.unknown == ("lamp",)
    assert len(found.skipped["no source category in the picture"]) == 2


def test_they_score_as_drawn(place):
    found = formats.read(config(place, "evaluation"), SPLIT, "evaluation")
    first, second, third = found.records
    assert [r.labels for r in found.records] == [(CAT,), (DOG,), ()]
    expected = masks(0)
    np.testing.assert_array_equal(first.read_mask(), expected[0])
    np.testing.assert_array_equal(second.read_mask(), expected[1])
    assert not third.read_mask().any()


def test_they_tag_by_what_is_drawn_and_chosen(place):
    found = formats.read(config(place, "target"), SPLIT, "target").records
    assert [record.labels for record in found] == [(CAT,), (DOG,), ()]
    assert all(record.mask is None for record in found)


def test_verify_finds_no_fault(place):
    for part in ("source", "evaluation"):
        findings = verify(config(place, part), SPLIT)
        assert findings.problems == []
        assert findings.counts[part].format == place[0]


def edit(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"imageWidth": 0}, '"imageWidth" is 0'),
        ({"imageHeight": None}, '"imageHeight" is None'),
        ({"imageWidth": 10**9}, "more than the limit"),
        ({"imagePath": ""}, '"imagePath" is'),
        ({"shapes": None}, 'no list "shapes"'),
        ({"shapes": [3]}, r"shapes\[0\]: is 3; it must be"),
        ({"shapes": [{"points": []}]}, '"label" is None'),
        (
            {"shapes": [{"label": "cup", "points": [[1, float("nan")]]}]},
            "pairs .* of finite numbers",
        ),
        (
            {
                "shapes": [
                    {"label": "cup", "points": [[1, 1]] * 3, "shape_type": 5}
                ]
            },
            "shape_type 5 is not known",
        ),
        (
            {
                "shapes": [
                    {
                        "label": "cup",
                        "points": [[1, 1], [2, 2]],
                        "shape_type": "mask",
                        "mask": "?",
                    }
                ]
            },
            "not base64",
        ),
        (
            {
                "shapes": [
                    {
                        "label": "cup",
                        "points": [[99, 1], [2, 2]],
                        "shape_type": "mask",
                        "mask": "",
                    }
                ]
            },
            "outside of the picture",
        ),
    ],
)
def test_faults_of_labelme_are_named(tmp_path, change, words):
    found = ("labelme", *labelme(tmp_path))
    edit(tmp_path / "a.json", lambda content: content.update(change))
    with pytest.raises(DataError, match=words):
        formats.read(config(found, "source"), SPLIT, "source")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("0 0.1 0.1 0.2 0.2", "line 1: it is a box, and a box is no mask"),
        ("9 0 0 1 0 1 1", "the class '9' is none of the 5 names"),
        ("x 0 0 1 0 1 1", "the class 'x' is none"),
        ("0 0 0 1 0 1", "5 numbers are no pairs"),
        ("0 0 0 1 0 1 x", "must be numbers"),
        ("0 0 0 1 0 1 nan", "must lie between 0 and 1"),
        ("0 0 0 100 0 1 1", "must lie between 0 and 1"),
    ],
)
def test_faults_of_yolo_are_named(tmp_path, line, words):
    found = ("yolo", *yolo(tmp_path))
    (tmp_path / "labels" / "a.txt").write_text(line)
    with pytest.raises(DataError, match=words):
        formats.read(config(found, "source"), SPLIT, "source")


def test_parts_of_a_yolo_set_are_told_apart(tmp_path):
    found = ("yolo", *yolo(tmp_path))
    for part, name in (("train", "a"), ("val", "b")):
        for kind, ending in (("images", "png"), ("labels", "txt")):
            (tmp_path / kind / part).mkdir()
            path = tmp_path / kind / f"{name}.{ending}"
            path.rename(tmp_path / kind / part / path.name)
    for place in (tmp_path, tmp_path / "data.yaml"):
        found = ("yolo", place, "")
        (record,) = formats.read(
            config(found, "source"), SPLIT, "source"
        ).records
        assert record.labels == (CUP, BEAR)
        data = config(found, "evaluation")
        (record,) = formats.read(data, SPLIT, "evaluation").records
        assert record.labels == (DOG,)
    with pytest.raises(DataError, match="no part 'test' among train, val"):
        formats.read(data.replace({"eval_set": "test"}), SPLIT, "evaluation")
    for images in (tmp_path / "images" / "val", tmp_path / "images"):
        found = ("yolo", tmp_path / "labels" / "val", images)
        data = config(found, "target")
        (record,) = formats.read(data, SPLIT, "target").records
        assert record.labels == (DOG,)
    with pytest.raises(DataError, match="gone: no such folder"):
        formats.read(data.replace({"target_images": "gone"}), SPLIT, "target")


def test_labels_without_a_picture_are_named(tmp_path):
    found = ("yolo", *yolo(tmp_path))
    (tmp_path / "images" / "b.png").unlink()
    with pytest.raises(DataError, match=r"b\.txt: there is no picture b in"):
        formats.read(config(found, "source"), SPLIT, "source")


RESULTS = (0, "annotations", 2, "result")


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ((0,), 5, r"\[0\]: has no \"data\""),
        ((0, "annotations"), None, 'has no list "annotations"'),
        ((0, "data"), {"text": "x"}, "name no picture"),
        (
            (0, "annotations", 2, "result", 0, "value", "rle"),
            "x",
            "no list of bytes",
        ),
        (
            (0, "annotations", 2, "result", 0, "value", "rle"),
            [0, 0, 0, 9],
            "its rle has 9 values",
        ),
        (
            (0, "annotations", 2, "result", 1, "value", "points"),
            [[1]],
            "in percent",
        ),
        (
            (0, "annotations", 2, "result", 1, "image_rotation"),
            90,
            "was turned",
        ),
        (
            (0, "annotations", 2, "result", 1, "original_width"),
            21,
            "drawn on 21 x 10",
        ),
    ],
)
def test_faults_of_label_studio_are_named(tmp_path, path, value, words):
    found = ("labelstudio", *labelstudio(tmp_path))

    def change(content):
        for step in path[:-1]:
            content = content[step]
        content[path[-1]] = value

    edit(found[1], change)
    with pytest.raises(DataError, match=words):
        formats.read(config(found, "source"), SPLIT, "source")


def test_regions_marked_ignore_are_not_judged(tmp_path):
    found = ("labelme", *labelme(tmp_path))
    ignored = shape("__ignore__", outline(CAT_BOX), "polygon")
    edit(tmp_path / "a.json", lambda found: found["shapes"].append(ignored))
    data = config(found, "evaluation")
    mask = formats.read(data, SPLIT, "evaluation").records[0].read_mask()
    expected = masks(0)[0]
    expected[expected == CAT] = IGNORE
    np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize("name", ["void", "Ignored", "dont_care"])
def test_void_is_not_judged_and_background_is_nothing(tmp_path, name):
    found = ("labelme", *labelme(tmp_path))
    more = [shape(n, outline(CAT_BOX), "polygon") for n in (name, "bkg")]
    edit(tmp_path / "a.json", lambda content: content["shapes"].extend(more))
    dataset = formats.read(config(found, "evaluation"), SPLIT, "evaluation")
    expected = masks(0)[0]
    expected[expected == CAT] = IGNORE
    np.testing.assert_array_equal(dataset.records[0].read_mask(), expected)
    assert dataset.dropped["shapes of the background"] == 2


@pytest.mark.parametrize("build", [labelme, labelstudio])
def test_what_is_named_and_not_drawn_is_neither_there_nor_absent(
    tmp_path, build
):
    """A point, or a choice: on c, where nothing else is."""
    found = (build.__name__, *build(tmp_path))
    if build is labelme:
        extra = shape("dog", [[1, 1]], "point")
        edit(tmp_path / "c.json", lambda task: task["shapes"].append(extra))
    else:
        extra = {"type": "choices", "value": {"choices": ["dog"]}}
        edit(
            found[1],
            lambda tasks: tasks[2]["annotations"][2]["result"].append(extra),
        )
    tags = formats.read(config(found, "target"), SPLIT, "target").records
    assert tags[2].labels == (DOG,)
    source = formats.read(config(found, "source"), SPLIT, "source")
    assert [r.image_id for r in source.negatives] == []
    scored = formats.read(config(found, "evaluation"), SPLIT, "evaluation")
    assert [record.image_id for record in scored.records] == ["a", "b"]
    (left_out,) = scored.skipped.values()
    assert left_out == ("c",)


@pytest.mark.parametrize("name", ["Cat", "kat"])
def test_near_misspellings_of_targets_are_refused(tmp_path, name):
    found = ("labelme", *labelme(tmp_path))
    more = [shape(n, outline(CAT_BOX), "polygon") for n in (name, "car")]
    edit(tmp_path / "c.json", lambda content: content["shapes"].extend(more))
    for part in ("target", "evaluation"):
        with pytest.raises(DataError, match=f"'{name}' is none of .*wn: cat"):
            formats.read(config(found, part), SPLIT, part)
    assert formats.read(config(found, "source"), SPLIT, "source").records
    # Words of their own, such as "car", are no misspellings.
    split = dataclasses.replace(SPLIT, ignored=(name,))
    assert formats.read(config(found, "target"), split, "target").records


def test_a_faulty_outline_is_not_scored_as_background(tmp_path):
    found = ("labelme", *labelme(tmp_path))
    odd = shape("cat", [[1, 1], [999, 1], [1, 9]], "polygon")
    edit(tmp_path / "a.json", lambda content: content["shapes"].append(odd))
    data = config(found, "source", skip_bad_annotations=True)
    dataset = formats.read(data, SPLIT, "source")
    assert dataset.dropped["annotations with a fault"] == 1
    mask = next(r for r in dataset.records if r.image_id == "a").read_mask()
    assert set(np.unique(mask)) <= {*SPLIT.source_ids, IGNORE}
    data = config(found, "source")
    data = config(found, "evaluation", skip_bad_annotations=True)
    with pytest.raises(DataError, match="x = 999"):
        formats.read(data, SPLIT, "evaluation")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("names: [cup, no]", "in quotes where YAML"),
        ("names: !!bool x", "not YAML"),
        ("names: !!int ''", "not YAML"),
        ("names: !!timestamp x", "not YAML"),
        ("names: [cup, cat, dog]\nval: val.txt", "its 'val' is 'val.txt'"),
        ("names: [cup, cat, dog]\nval: [a, b]", "its 'val' is"),
        ("names: [cat, cat]", "a name stands twice"),
    ],
)
def test_odd_descriptions_of_yolo_are_refused(tmp_path, text, words):
    found = ("yolo", *yolo(tmp_path))
    (tmp_path / "data.yaml").write_text(text)
    with pytest.raises(DataError, match=words):
        formats.read(config(found, "evaluation"), SPLIT, "evaluation")


def test_a_yolo_description_says_where_its_parts_are(tmp_path):
    yolo(tmp_path)
    for kind, ending in (("images", "png"), ("labels", "txt")):
        (tmp_path / kind / "val2017").mkdir()
        path = tmp_path / kind / f"b.{ending}"
        path.rename(tmp_path / kind / "val2017" / path.name)
    named = tmp_path / "coco8.yaml"
    names = (tmp_path / "data.yaml").read_text()
    named.write_text(f"path: .\nval: ../images/val2017\n{names}")
    data = config(("yolo", named, ""), "evaluation")
    (record,) = formats.read(data, SPLIT, "evaluation").records
    assert (record.image_id, record.labels) == ("b", (DOG,))
    with pytest.raises(DataError, match="no part 'val' among val2017"):
        formats.read(data.replace({"eval_root": tmp_path}), SPLIT, "evaluation")


def test_a_task_with_several_pictures_says_which_was_annotated(tmp_path):
    found = ("labelstudio", *labelstudio(tmp_path))
    data = config(found, "evaluation")

    def thumb(tasks):
        tasks[0]["data"] = {"thumb": "b.png", "image": "a.png"}

    edit(found[1], thumb)
    with pytest.raises(DataError, match=r"several pictures \(thumb, image\)"):
        formats.read(data, SPLIT, "evaluation")

    def named(tasks):
        for result in tasks[0]["annotations"][2]["result"]:
            result["to_name"] = "image"

    edit(found[1], named)
    records = formats.read(data.replace({"eval_set": "x"}), SPLIT, "evaluation")
    assert records.records[0].image_id == "a"


def test_results_called_labels_are_read_by_what_they_hold(tmp_path):
    found = ("labelstudio", *labelstudio(tmp_path))

    def rename(tasks):
        for task in tasks[:2]:
            for result in task["annotations"][2]["result"]:
                value = result["value"]
                kind = result["type"]
                if kind != "choices":
                    value["labels"] = value.pop(kind)
                    result["type"] = "labels"
        tasks[1]["data"]["image"] = "http://[abc/b.png"

    edit(found[1], rename)
    edit(found[1], lambda tasks: tasks.pop(1))
    mask = (
        formats.read(config(found, "source"), SPLIT, "source")
        .records[0]
        .read_mask()
    )
    np.testing.assert_array_equal(mask, masks(IGNORE, target_is=IGNORE)[0])


def test_results_are_no_tasks(tmp_path):
    path = tmp_path / "results.json"
    path.write_text('[{"image_id": 1, "category_id": 1, "score": 0.5}]')
    found = ("labelstudio", path, tmp_path)
    with pytest.raises(DataError, match=r"a list of results.* instances JSON"):
        formats.read(config(found, "source"), SPLIT, "source")


def test_hidden_files_are_no_data(tmp_path):
    found = ("labelme", *labelme(tmp_path))
    for name in ("._a.json", ".ipynb_checkpoints/a.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}")
    assert (
        len(formats.read(config(found, "target"), SPLIT, "target").records) == 3
    )
