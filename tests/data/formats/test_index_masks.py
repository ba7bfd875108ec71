"""Index masks in every layout: to train on, and to score by."""

import numpy as np
import pytest
from PIL import Image
from small_data import BEAR, CAT, CUP, DOG, SPLIT, write_picture, write_voc

from keras_wsss.categories import IGNORE, palette
from keras_wsss.config import DataConfig
from keras_wsss.data import formats
from keras_wsss.data.masks import write_palette_mask
from keras_wsss.data.verify import verify
from keras_wsss.errors import DataError

# Indices: 1 cup, 2 cat, 3 lamp (unknown to the split), 4 dog, 5 teddy bear.
NAMES = ("cup", "cat", "lamp", "dog", "teddy bear")
MASKS = {
    "a": np.array([[0, 1, 1], [2, 255, 3]], np.uint8),
    "b": np.array([[5, 5, 5], [5, 1, 0]], np.uint8),
    "c": np.array([[4, 4, 4], [0, 0, 0]], np.uint8),
}
COLOURS = [(0, 0, 0), (9, 0, 0), (0, 9, 0), (0, 0, 9), (9, 9, 0), (9, 0, 9)]


def voc(folder):
    write_voc(folder, MASKS)
    (folder / "classes.txt").write_text("\n".join(NAMES))
    list_ = folder / "ImageSets" / "Segmentation" / "val.txt"
    (list_.parent / "train.txt").write_text(list_.read_text())
    return folder, ""


def png(folder):
    for seed, (name, mask) in enumerate(MASKS.items()):
        write_picture(folder / "photos" / f"{name}.png", 3, 2, seed)
        (folder / "masks").mkdir(exist_ok=True)
        write_palette_mask(folder / "masks" / f"{name}.png", mask)
    (folder / "masks" / "classes.txt").write_text("\n".join(NAMES))
    return folder / "masks", folder / "photos"


def cvat(folder):
    write_voc(folder, MASKS)
    lists = folder / "ImageSets" / "Segmentation"
    (lists / "val.txt").rename(lists / "default.txt")
    rows = [
        f"{name}:{','.join(map(str, colour))}::"
        for name, colour in zip(("background", *NAMES), COLOURS, strict=True)
    ]
    text = "\n".join(
        ["# label:color_rgb:parts:actions", *rows, "ignore:7,7,7::"]
    )
    (folder / "labelmap.txt").write_text(text + "\n")
    table = np.full((256, 3), 7, np.uint8)
    table[: len(COLOURS)] = COLOURS
    for name, mask in MASKS.items():
        path = folder / "SegmentationClass" / f"{name}.png"
        Image.fromarray(table[mask]).save(path)
    return folder, ""


@pytest.fixture(params=[voc, png, cvat])
def place(request, tmp_path):
    """(name of the format, its place, folder of the pictures)."""
    return request.param.__name__, *request.param(tmp_path)


def as_source(found, **fields):
    _, path, images = found
    fields.setdefault("exclude_images_with_target", False)
    return DataConfig().replace(
        {"source_annotations": path, "source_images": images, **fields}
    )


def as_evaluation(found):
    _, path, images = found
    return DataConfig().replace({"eval_root": path, "eval_images": images})


def test_they_are_found_by_content(place):
    assert formats.format_of(as_source(place), "source").name == place[0]
    found = formats.format_of(as_evaluation(place), "evaluation")
    assert found.name == place[0]


def test_targets_and_unknown_categories_teach_nothing(place):
    found = formats.read(as_source(place), SPLIT, "source")
    first, second = found.records
    assert (first.image_id, first.labels) == ("a", (CUP,))
    assert first.uncertain == (CAT,)
    np.testing.assert_array_equal(
        first.read_mask(), [[0, CUP, CUP], [IGNORE, IGNORE, IGNORE]]
    )
    assert second.labels == (CUP, BEAR)
    assert second.absent == (CAT, DOG)
    assert found.skipped == {"no source category in the picture": ("c",)}
    assert found.unknown == ("lamp",)


def test_switches_of_source_pictures_hold(place):
    data = as_source(place, exclude_images_with_target=True)
    found = formats.read(data, SPLIT, "source").records
    assert [record.image_id for record in found] == ["b"]
    data = as_source(place, min_pixels=2)
    found = formats.read(data, SPLIT, "source")
    assert [record.labels for record in found.records] == [(CUP,), (BEAR,)]
    assert found.records[1].uncertain == (CUP,)
    assert sum(found.dropped.values()) == 1


def test_they_score_with_unknown_categories_as_background(place):
    found = formats.read(as_evaluation(place), SPLIT, "evaluation").records
    assert [record.labels for record in found] == [(CAT,), (), (DOG,)]
    np.testing.assert_array_equal(
        found[0].read_mask(), [[0, CUP, CUP], [CAT, IGNORE, 0]]
    )


def test_verify_counts_them(place):
    data = as_source(place, eval_root=place[1], eval_images=place[2])
    findings = verify(data, SPLIT)
    kinds = {problem.kind for problem in findings.problems}
    assert kinds == {"same image in train and val"}  # they are the same here
    assert findings.counts["source"].pixels["teddy bear"] == 4
    assert findings.counts["evaluation"].pixels["dog"] == 3
    assert f"source ({place[0]}): 2 pictures, 3 pairs" in findings.text()


def test_what_is_missing_is_named(place):
    name, path, images = place
    masks = path if name == "png" else path / "SegmentationClass"
    (masks / "b.png").unlink()
    if name != "png":  # where the masks are the list
        with pytest.raises(DataError, match=r"b\.png: no such file"):
            formats.read(as_source(place), SPLIT, "source")
        (masks / "b.png").write_bytes((masks / "a.png").read_bytes())
    folder = images or path / "JPEGImages"
    next(folder.glob("a.*")).unlink()
    with pytest.raises(DataError, match=r"a.*; add the picture or remove"):
        formats.read(as_evaluation(place), SPLIT, "evaluation")


def test_masks_without_any_background_are_shifted(tmp_path):
    path, images = png(tmp_path)
    for name, mask in MASKS.items():
        shifted = np.where(mask == IGNORE, IGNORE, mask + 1).astype(np.uint8)
        Image.fromarray(shifted).save(path / f"{name}.png")
    (path / "classes.txt").write_text("\n".join([*NAMES, "last"]))
    for config in (as_source, as_evaluation):
        part = config.__name__.removeprefix("as_")
        with pytest.raises(DataError, match="seem to be shifted by one"):
            formats.read(config(("png", path, images)), SPLIT, part)


@pytest.mark.parametrize("level", [(250, 10, 10), (99, 99, 99)])
def test_palettes_that_contradict_each_other_are_a_problem(tmp_path, level):
    path, images = png(tmp_path)
    for name, colour in (("a", level), ("b", (10, 250, 10))):
        image = Image.fromarray(MASKS[name])
        image.putpalette([0, 0, 0, *colour, *[200, 1, 1] * 254])
        image.save(path / f"{name}.png")
    found = ("png", path, images)
    Image.fromarray(MASKS["c"]).save(path / "c.png")
    with pytest.raises(DataError, match=r"b\.png: index 1 has the colour"):
        formats.read(as_evaluation(found), SPLIT, "evaluation")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("cup:1,2\n", "line 1: 'cup:1,2' is not of the form"),
        ("cup:1,2,256::\n", "not of the form"),
        ("cup:1,2,3::\ncup:3,2,1::\n", "line 2: .* stands there twice"),
        ("cup:1,2,3::\ncat:1,2,3::\n", "line 2: .* stands there twice"),
        ("background:0,0,0::\n", "0 names"),
        ("cup:9,0,0::\ncat:0,9,0::\ndog:9,9,0::\n", "colours of no category"),
    ],
)
def test_faulty_lists_of_colours_are_refused(tmp_path, text, words):
    found = ("cvat", *cvat(tmp_path))
    (tmp_path / "labelmap.txt").write_text(text)
    with pytest.raises(DataError, match=words):
        formats.read(as_evaluation(found), SPLIT, "evaluation")


def test_void_in_a_list_of_colours_is_not_scored(tmp_path):
    found = ("cvat", *cvat(tmp_path))
    path = tmp_path / "labelmap.txt"
    last = path.read_text().rstrip().splitlines()
    rows = [row.replace("lamp:", "void:") for row in last]
    path.write_text("\n".join(rows))
    for record in formats.read(
        as_evaluation(found), SPLIT, "evaluation"
    ).records:
        mask = MASKS[record.image_id]
        void = (mask == NAMES.index("lamp") + 1) | (mask == IGNORE)
        np.testing.assert_array_equal(record.read_mask() == IGNORE, void)


def test_colours_that_are_left_out_are_vocs(tmp_path):
    """So does Datumaro write a list of colours."""
    found = ("cvat", *cvat(tmp_path))
    rows = [f"{name}:::" for name in ("background", *NAMES)]
    (tmp_path / "labelmap.txt").write_text("\n".join(rows))
    for name, mask in MASKS.items():
        pixels = palette()[np.where(mask == IGNORE, 0, mask)]
        path = tmp_path / "SegmentationClass" / f"{name}.png"
        Image.fromarray(pixels).save(path)
    records = formats.read(as_evaluation(found), SPLIT, "evaluation").records
    assert [record.labels for record in records] == [(CAT,), (), (DOG,)]
