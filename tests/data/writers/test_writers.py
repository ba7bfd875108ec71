"""What is written is what other tools read: COCO, CVAT, Label Studio."""

import json
import weakref
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from keras_wsss.data import writers
from keras_wsss.data.brush_rle import decode_brush
from keras_wsss.data.writers.writer import (
    LabelledPicture,
    Writer,
    WriterOptions,
)
from keras_wsss.errors import ConfigError, DataError

NAMES = ("cat", "hot dog", "owl")


def mask_of(height, width, seed):
    """Blobs of two categories, a ring, and pixels left open."""
    rng = np.random.default_rng(seed)
    mask = (rng.random((height, width)) < 0.3).astype(np.uint8)
    mask[2:9, 3:12] = 3
    mask[4:7, 5:9] = 0
    mask[-3:] = 255
    return mask


@pytest.fixture
def pictures():
    return [
        LabelledPicture(
            name,
            f"{name}.jpg",
            Path("in") / f"{name}.jpg",
            mask_of(14 + i, 21, i),
            (1, 3),
            {1: 0.25, 3: 0.75},
        )
        for i, name in enumerate(("one", "sub/two"))
    ]


@pytest.fixture
def write(pictures, tmp_path):
    def write(name, **options):
        options = WriterOptions(**options)
        file_names = [picture.file_name for picture in pictures]
        writers.check_writers([name], file_names, NAMES, options)
        written = writers.write_formats(
            [name], lambda: iter(pictures), tmp_path, NAMES, options
        )
        hidden = [p for p in tmp_path.iterdir() if p.name.startswith(".")]
        assert not hidden
        return written

    return write


@pytest.fixture
def coco_ids(tmp_path):
    """A file of ids that count otherwise than ours."""
    values = {
        "images": [
            {"id": 70, "file_name": "train/one.jpg"},
            {"id": "b", "file_name": "sub/two.jpg"},
        ],
        "categories": [{"id": 900, "name": "owl"}, {"id": 17, "name": "cat"}],
    }
    path = tmp_path / "ids.json"
    path.write_text(json.dumps(values))
    return path


def test_coco_results_are_the_masks(write, pictures):
    results_path, instances_path = write("coco")
    truth = COCO(instances_path)
    results = truth.loadRes(str(results_path))
    assert [i["file_name"] for i in truth.loadImgs([1, 2])] == [
        "one.jpg",
        "sub/two.jpg",
    ]
    found = results.loadAnns(results.getAnnIds())
    assert len(found) == 4
    for entry in json.loads(results_path.read_text()):
        mask = pictures[entry["image_id"] - 1].mask == entry["category_id"]
        np.testing.assert_array_equal(
            coco_mask.decode(entry["segmentation"]), mask
        )
        assert entry["area"] == mask.sum()
        y, x = np.nonzero(mask)
        assert entry["bbox"] == [
            x.min(),
            y.min(),
            np.ptp(x) + 1,
            np.ptp(y) + 1,
        ]
        assert entry["score"] == {1: 0.25, 3: 0.75}[entry["category_id"]]


def test_coco_polygons_are_the_masks(write, pictures):
    _, instances_path = write("coco", coco_polygons=True)
    coco = COCO(instances_path)
    for entry in coco.loadAnns(coco.getAnnIds()):
        assert isinstance(entry["segmentation"], list)
        mask = pictures[entry["image_id"] - 1].mask == entry["category_id"]
        found = coco.annToMask(entry).astype(bool)
        assert (found & mask).sum() / (found | mask).sum() >= 0.98


def test_coco_takes_ids_of_a_file(write, coco_ids):
    results_path, instances_path = write("coco", coco_ids=coco_ids)
    found = json.loads(results_path.read_text())
    assert {e["image_id"] for e in found} == {70, "b"}
    assert {e["category_id"] for e in found} == {900, 17}
    written = json.loads(instances_path.read_text())
    assert [i["id"] for i in written["images"]] == [70, "b"]
    assert {c["name"]: c["id"] for c in written["categories"]} == {
        "owl": 900,
        "cat": 17,
    }


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        (
            lambda v: v["images"].pop(),
            ConfigError,
            "no picture of the name sub/two.jpg",
        ),
        (
            lambda v: v["images"].append({"id": 3, "file_name": "b/one.jpg"}),
            ConfigError,
            "2 pictures of the name one.jpg",
        ),
        (
            lambda v: v["images"][1].update(id=70),
            ConfigError,
            "one.jpg and sub/two.jpg are one picture",
        ),
        (
            lambda v: v["categories"][0].update(name="dog"),
            ConfigError,
            "no category 'owl', which was found",
        ),
        (
            lambda v: v.update(categories=[{"id": 1, "name": "cow"}]),
            ConfigError,
            "none of the model's categories",
        ),
        (lambda v: v.pop("images"), DataError, "no COCO file with ids"),
    ],
)
def test_coco_ids_that_do_not_fit_are_refused(
    write, coco_ids, tmp_path, change, error, text
):
    values = json.loads(coco_ids.read_text())
    change(values)
    coco_ids.write_text(json.dumps(values))
    with pytest.raises(error, match=text):
        write("coco", coco_ids=coco_ids)
    assert [path.name for path in tmp_path.iterdir()] == ["ids.json"]


def test_cvat_zip_holds_colours_of_its_labelmap(write, pictures):
    (path,) = write("cvat")
    with zipfile.ZipFile(path) as archive:
        lines = archive.read("labelmap.txt").decode().splitlines()[1:]
        colours = {}
        for line in lines:
            name, colour, parts, actions = line.split(":")
            assert parts == actions == ""
            colours[name] = tuple(map(int, colour.split(",")))
        listed = archive.read("ImageSets/Segmentation/default.txt")
        assert listed.decode().split() == ["one", "sub/two"]
        for picture in pictures:
            file = archive.open(f"SegmentationClass/{picture.name}.png")
            pixels = np.array(Image.open(file))
            assert pixels.shape == (*picture.mask.shape, 3)
            for number, name in enumerate(("background", *NAMES)):
                same = (pixels == colours[name]).all(-1)
                expected = picture.mask == number
                if not number:  # what is left open is background there
                    expected |= picture.mask == 255
                np.testing.assert_array_equal(same, expected)
        assert len(archive.namelist()) == len(set(archive.namelist())) == 4


def test_cvat_zip_is_imported_by_datumaro(write, pictures, tmp_path):
    datumaro = pytest.importorskip(
        "datumaro", reason="datumaro, a partner of this test, is not installed"
    )
    (path,) = write("cvat")
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path / "unpacked")
    data = datumaro.Dataset.import_from(
        str(tmp_path / "unpacked"), "voc_segmentation"
    )
    names = [label.name for label in data.categories()[
        datumaro.AnnotationType.label
    ]]  # fmt: skip
    found = {item.id: item.annotations for item in data}
    for picture in pictures:
        masks = {names[a.label]: a.image for a in found[picture.name]}
        for number, name in enumerate(NAMES, start=1):
            expected = picture.mask == number
            if expected.any():
                np.testing.assert_array_equal(masks[name] > 0, expected)
            else:
                assert name not in masks


def test_names_that_cvat_cannot_hold_are_refused():
    with pytest.raises(ConfigError, match="'a:b' cannot stand in CVAT's"):
        writers.check_writers(["cvat"], [], ("a:b",), WriterOptions())
    with pytest.raises(ConfigError, match="rename the picture"):
        writers.check_writers(["cvat"], ["a\nb.jpg"], NAMES, WriterOptions())


def test_label_studio_predictions_are_the_masks(write, pictures):
    tasks_path, config_path = write("labelstudio", image_url="s3://b/")
    tasks = json.loads(tasks_path.read_text())
    assert [task["data"]["image"] for task in tasks] == [
        "s3://b/one.jpg",
        "s3://b/sub/two.jpg",
    ]
    config = ElementTree.parse(config_path)
    known = {label.get("value") for label in config.iter("Label")}
    controls = {
        tag.get("name"): tag.tag
        for tag in config.iter()
        if tag.get("toName") == "image"
    }
    assert controls == {"brush": "BrushLabels", "tags": "Choices"}
    for task, picture in zip(tasks, pictures, strict=True):
        (prediction,) = task["predictions"]
        *brushes, choices = prediction["result"]
        assert choices["value"]["choices"] == ["cat", "owl"]
        assert len(brushes) == 2
        for brush in brushes:
            (name,) = brush["value"]["brushlabels"]
            assert name in known
            size = brush["original_height"], brush["original_width"]
            assert size == picture.mask.shape
            np.testing.assert_array_equal(
                decode_brush(brush["value"]["rle"], *size),
                picture.mask == NAMES.index(name) + 1,
            )
        assert prediction["score"] == 0.25


@pytest.mark.parametrize("name", ["coco", "cvat", "labelstudio"])
def test_nothing_is_half_written(name, pictures, tmp_path):
    def stopped():
        yield pictures[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        writers.write_formats([name], stopped, tmp_path, NAMES, WriterOptions())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["coco", "cvat", "labelstudio"])
def test_pictures_are_taken_one_at_a_time(name, pictures, tmp_path):
    """However many there are, one is held."""
    alive = []

    def many():
        for number in range(6):
            mask = pictures[0].mask.copy()
            alive.append(weakref.ref(mask))
            assert sum(each() is not None for each in alive) <= 2
            yield LabelledPicture(
                f"{number}", f"{number}.jpg", Path(), mask, (1, 3)
            )
            del mask

    writers.write_formats([name], many, tmp_path, NAMES, WriterOptions())
    assert len(alive) == 6


def test_pictures_without_anything_are_written(tmp_path):
    empty = LabelledPicture(
        "e", "e.png", Path(), np.zeros((3, 4), np.uint8), ()
    )
    for name in ("coco", "cvat", "labelstudio"):
        writers.write_formats(
            [name], lambda: [empty], tmp_path, NAMES, WriterOptions()
        )
    assert json.loads((tmp_path / "coco_results.json").read_text()) == []
    instances = json.loads((tmp_path / "coco_instances.json").read_text())
    assert len(instances["images"]) == 1
    (task,) = json.loads((tmp_path / "labelstudio.json").read_text())
    assert task["predictions"][0]["result"] == []


def test_a_writer_of_ones_own_is_found(monkeypatch, pictures, tmp_path):
    class Counts(Writer):
        name = "counts"

        def write(self, pictures, out, names, options):
            numbers = [int(p.mask.max()) for p in pictures]
            (out / "counts.txt").write_text(str(numbers))
            return [out / "counts.txt"]

    monkeypatch.setattr(writers._WRITERS, "_loaded", {})
    writers.register_writer(Counts())
    (path,) = writers.write_formats(
        ["counts"], lambda: pictures, tmp_path, NAMES, WriterOptions()
    )
    assert path.read_text() == "[255, 255]"
    with pytest.raises(ConfigError, match="Unknown format 'xml'; use one of"):
        writers.get_writer("xml")
