"""`verify` counts everything and lists every planted fault."""

import json

import cv2
import numpy as np
import pytest
from PIL import Image
from small_data import (
    SPLIT,
    Places,
    annotation,
    box,
    document,
    write_coco,
    write_tags,
    write_voc,
)

from keras_wsss.categories import SPLITS, get_split
from keras_wsss.data.aside import Spool
from keras_wsss.data.masks import write_palette_mask
from keras_wsss.data.twins import same_content
from keras_wsss.data.verify import FAULTY, verify


@pytest.fixture
def locations(tmp_path):
    """Three faultless parts."""
    content = document(
        {1: (8, 8), 2: (8, 8), 3: (6, 4)},
        [
            annotation(1, 1, "cup", [box(0, 0, 4, 4)]),
            annotation(2, 1, "cat", [box(3, 0, 8, 8)]),
            annotation(3, 2, "cup", [box(0, 0, 8, 2)]),
            annotation(4, 2, "teddy bear", [box(0, 4, 8, 8)]),
            annotation(5, 3, "cat", [box(0, 0, 4, 4)]),
        ],
    )
    annotations, images = write_coco(tmp_path / "source", content)
    root = tmp_path / "voc"
    mask = np.array([[0, 1, 1], [2, 255, 3]], np.uint8)
    write_voc(root, {"v1": mask, "v2": mask[:, :2], "v3": mask})
    (root / "classes.txt").write_text("cat\ndog\nlamp\n")
    lines = ["a,cat dog", "b,dog", "c,cup", "d,cat cup"]
    names = [f"{name}.png" for name in "abcd"]
    tags, tagged = write_tags(tmp_path, lines, names)
    return Places(annotations, images, root, tags, tagged)


def kinds(findings) -> dict[str, list[str]]:
    """Problem kind -> last part of the faulty files' names."""
    found: dict[str, list[str]] = {}
    for problem in findings.problems:
        name = problem.path.rsplit("/", 1)[-1]
        found.setdefault(problem.kind, []).append(name)
    return found


def edit_json(locations, edit) -> None:
    content = json.loads(locations.source_annotations.read_text())
    edit(content)
    locations.source_annotations.write_text(json.dumps(content))


def test_faultless_data_are_counted(locations):
    findings = verify(locations.data(), SPLIT)
    assert findings.problems == []
    source = findings.counts["source"]
    assert (source.images, source.pairs) == (2, 3)
    assert source.pictures == {"cup": 2, "teddy bear": 1}
    # 5 x 8 pixels of the cat are ignored, one column of the cup with them.
    assert source.pixels == {
        "background": 64 - 12 - 40 + 64 - 16 - 32,
        "cup": 12 + 16,
        "teddy bear": 32,
        "ignore": 40,
    }
    assert source.skipped == {"no source category in the picture": 1}
    target = findings.counts["target"]
    assert (target.images, target.pairs) == (4, 4)  # one of no target
    assert target.pictures == {"cat": 2, "dog": 2}
    assert target.pixels == {}
    assert not target.skipped
    assert "1 of them without any target category" in target.notes[0]
    assert sum(target.dropped.values()) == 2
    evaluation = findings.counts["evaluation"]
    assert (evaluation.images, evaluation.pairs) == (3, 6)
    assert evaluation.pixels == {
        "background": 3 + 2,
        "cat": 5,
        "dog": 3,
        "ignore": 3,
    }
    assert "lamp" in evaluation.notes[0]
    assert "No problem found." in findings.text()
    json.dumps(findings.as_dict())


def test_every_fault_of_the_source_is_listed(locations):
    def edit(content):
        content["annotations"] += [
            annotation(11, 1, "cup", [[1, 2, 3, 4]]),
            annotation(12, 1, "cup", {"size": [8, 8], "counts": [63]}),
            annotation(13, 1, 999, [box(0, 0, 2, 2)]),
            annotation(14, 77, "cup", [box(0, 0, 2, 2)]),
            annotation(15, 4, "cup", [box(0, 0, 2, 2)]),
        ]
        for number, (name, side) in {
            4: ("gone.png", 8),
            5: ("../../secret.png", 8),
            6: ("cut.jpg", 30),
            7: ("other_size.png", 8),
        }.items():
            content["images"].append(
                {"id": number, "file_name": name, "width": side, "height": 8}
            )

    edit_json(locations, edit)
    folder = locations.source_images
    colours = np.random.default_rng(0).integers(0, 255, (8, 30, 3), np.uint8)
    Image.fromarray(colours).save(folder / "cut.jpg")
    data = (folder / "cut.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(data[:-30])
    Image.new("RGB", (9, 8)).save(folder / "other_size.png")
    findings = verify(locations.data(), SPLIT)
    assert kinds(findings) == {
        "bad polygon": ["instances.json"],
        "bad RLE": ["instances.json"],
        "unknown category": ["instances.json"],
        "missing image": ["instances.json", "gone.png"],
        "path leaving the root": ["instances.json"],
        "unreadable image": ["cut.jpg"],
        "size mismatch": ["other_size.png"],
    }
    assert findings.counts["source"].images == 2
    assert "8 problems." in findings.text()


def test_every_fault_of_the_evaluation_is_listed(locations):
    root = locations.eval_root
    folder = root / "SegmentationClass"
    good = np.array([[0, 1, 1], [2, 255, 3]], np.uint8)
    extra = {
        "grey": good,
        "rgb": good,
        "range": good * 0 + 9,
        "gone": good,
        "no_mask": good,
        "small": good,
    }
    write_voc(root, {"v1": good, **extra})
    path = folder / "grey.png"
    cv2.imwrite(str(path), cv2.imread(str(path), cv2.IMREAD_GRAYSCALE))
    Image.new("RGB", (3, 2)).save(folder / "rgb.png")
    (root / "JPEGImages" / "gone.jpg").unlink()
    (folder / "no_mask.png").unlink()
    Image.new("L", (2, 2)).save(folder / "small.png")
    path = root / "ImageSets" / "Segmentation" / "val.txt"
    path.write_text(path.read_text() + "../up\nv1\n")
    findings = verify(locations.data(), SPLIT)
    assert kinds(findings) == {
        "path leaving the root": ["val.txt"],
        "duplicate name": ["val.txt"],
        "palette read as grey": ["grey.png"],
        "unreadable mask": ["rgb.png"],
        "missing mask": ["no_mask.png"],
        "label out of range": ["range.png"],
        "missing image": ["val.txt"],
        "size mismatch": ["small.jpg"],
    }
    assert findings.counts["evaluation"].images == 1


def test_every_fault_of_the_tags_is_listed(locations):
    with locations.target_tags.open("a") as stream:
        stream.write("e,unicorn\nf,cat\n../g,cat\na,\na.png,\nh,dog\n")
    (locations.target_images / "h.jpg").write_bytes(b"no picture")
    findings = verify(locations.data(), SPLIT)
    assert kinds(findings) == {
        "unknown category": ["tags.csv"],
        "missing image": ["tags.csv"],
        "path leaving the root": ["tags.csv"],
        "duplicate image": ["tags.csv", "tags.csv"],
        "unreadable image": ["h.jpg"],
    }


def test_pictures_in_train_and_val_are_found_by_content_and_name(locations):
    validation = locations.eval_root / "JPEGImages"
    copy = (validation / "v1.jpg").read_bytes()
    # Another name and even another ending: the content tells.
    (locations.target_images / "b.png").write_bytes(copy)
    Image.new("RGB", (5, 5)).save(locations.target_images / "v2.png")
    with locations.target_tags.open("a") as stream:
        stream.write("v2,cat\n")
    findings = verify(locations.data(), SPLIT)
    assert kinds(findings) == {
        "same image in train and val": ["b.png", "v2.png"]
    }
    assert "whatever its name" in findings.problems[0].text
    assert "has the name of" in findings.problems[1].text


def test_source_pictures_are_compared_by_content_only(locations):
    source = locations.source_images
    validation = locations.eval_root / "JPEGImages"
    (validation / "v3.jpg").rename(validation / "1.jpg")
    mask = locations.eval_root / "SegmentationClass" / "v3.png"
    mask.rename(mask.with_name("1.png"))
    path = locations.eval_root / "ImageSets" / "Segmentation" / "val.txt"
    path.write_text("v1\nv2\n1\n")
    assert verify(locations.data(), SPLIT).problems == []
    edit_json(
        locations,
        lambda content: content["images"][0].update(width=3, height=2),
    )
    edit_json(locations, lambda content: content["annotations"].clear())
    edit_json(
        locations,
        lambda content: content["annotations"].append(
            annotation(1, 1, "cup", [box(0, 0, 2, 2)])
        ),
    )
    (source / "1.png").write_bytes((validation / "v1.jpg").read_bytes())
    assert kinds(verify(locations.data(), SPLIT)) == {
        "same image in train and val": ["1.png"]
    }


def test_an_exif_orientation_is_suspected(locations):
    image = Image.new("RGB", (6, 4))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(locations.source_images / "3.png", exif=exif)
    problems = verify(locations.data(), SPLIT).problems
    assert [problem.kind for problem in problems] == ["size mismatch"]
    assert "EXIF orientation" in problems[0].text


def test_an_unusable_file_does_not_hide_the_other_parts(locations):
    locations.source_annotations.write_text("{")
    locations.target_tags.write_text("nothing\n")
    findings = verify(locations.data(), SPLIT)
    assert kinds(findings) == {
        "unreadable file": ["instances.json", "tags.csv"]
    }
    assert findings.problems[0].path == str(locations.source_annotations)
    assert findings.counts["evaluation"].images == 3


def test_real_pictures_have_no_problem(mini_dir):
    target = mini_dir / "target"
    findings = verify(
        Places(
            eval_root=target,
            target_tags=target / "train_tags.csv",
            target_images=target / "JPEGImages",
        ).data(),
        SPLITS["mini75"],
    )
    assert findings.problems == []
    assert findings.counts["target"].images == 1236
    assert findings.counts["evaluation"].images == 225
    assert findings.counts["target"].pictures["cat"] == 250


def test_counts_leave_out_what_cannot_be_used(locations):
    before = verify(locations.data(), SPLIT).counts
    (locations.source_images / "2.png").write_bytes(b"\x89PNG")
    (locations.target_images / "b.png").write_bytes(b"\x89PNG")
    after = verify(locations.data(), SPLIT).counts
    for name in ("source", "target"):
        assert after[name].images == before[name].images - 1
        assert after[name].skipped[FAULTY] == 1
    assert "teddy bear" not in after["source"].pictures


def test_counts_are_those_of_the_fields_of_a_config(locations):
    def pictures(**options):
        return (
            verify(locations.data(**options), SPLIT).counts["source"].pictures
        )

    assert pictures() == {"cup": 2, "teddy bear": 1}
    assert pictures(exclude_images_with_target=True) == {
        "cup": 1, "teddy bear": 1,
    }  # fmt: skip
    assert pictures(min_pixels=20) == {"teddy bear": 1}


def test_what_the_split_names_and_no_picture_has_is_noted(locations):
    split = get_split("own", ["cup", "tedy bear"], ["cat", "dogs"])
    findings = verify(locations.data(), split)
    source = "\n".join(findings.counts["source"].notes)
    assert "tedy bear, closest known: teddy bear" in source
    assert "1 pictures show a target category too; training leaves" in source
    assert "the file does not list dogs, so that" in source
    assert "no picture has a label dogs" in findings.counts["target"].notes


def turned(path, orientation, size=(6, 4)):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", size).save(path, exif=exif)


def test_swapped_sizes_are_told_from_turned_pictures(locations):
    Image.new("RGB", (4, 6)).save(locations.source_images / "3.png")
    (problem,) = verify(locations.data(), SPLIT).problems
    assert "has no EXIF orientation that turns it" in problem.text
    turned(locations.source_images / "3.png", 6)
    (problem,) = verify(locations.data(), SPLIT).problems
    assert "stored on its side (EXIF orientation 6)" in problem.text


def test_pictures_turned_unseen_are_noted(locations):
    """Upside down, or square."""
    turned(locations.source_images / "3.png", 3)
    turned(locations.source_images / "2.png", 6, (8, 8))
    findings = verify(locations.data(), SPLIT)
    assert findings.problems == []
    notes = "\n".join(findings.counts["source"].notes)
    assert "2 pictures with masks are turned or mirrored" in notes


def test_masks_of_target_pictures_are_looked_at(locations, tmp_path):
    own = tmp_path / "own"
    write_voc(own, {"a": np.ones((10, 12), np.uint8)})
    (own / "classes.txt").write_text("cat\n")
    data = locations.data(target_masks=f"person:{own}")
    assert verify(data, SPLIT).problems == []
    write_voc(own, {"a": np.ones((9, 12), np.uint8)})
    (problem,) = verify(data, SPLIT).problems
    assert problem.kind == "size mismatch"
    (own / "classes.txt").write_text("kat\n")
    (problem,) = verify(data, SPLIT).problems
    assert "'kat' is none of split" in problem.text


def test_crowds_of_scored_categories_are_counted(tmp_path):
    content = document(
        {1: (8, 8)},
        [
            annotation(1, 1, "cat", [box(0, 0, 4, 4)]),
            annotation(2, 1, 9, [box(0, 4, 4, 8)], crowd=1),
        ],
    )
    content["categories"].append({"id": 9, "name": "dog"})
    path, images = write_coco(tmp_path, content)
    data = Places(eval_root=path).data(eval_images=images)
    findings = verify(data, SPLIT)
    dropped = findings.counts["evaluation"].dropped
    assert dropped == {"crowds of dog, ignored in masks": 1}
    (problem,) = findings.problems
    assert "'dog' has no pixel, but 1 crowds" in problem.text
    assert "crowds_as_instances" in problem.text


def test_a_kind_is_shown_with_five_examples_and_listed_whole(locations):
    with locations.target_tags.open("a") as stream:
        stream.writelines(f"x{i},cat;Cat{i}\n" for i in range(1040))
    findings = verify(locations.data(), SPLIT)
    text = findings.text()
    assert text.count("is no category") == 5
    assert "  ... 1035 more" in text
    assert len(findings.as_dict()["problems"]) == 1040


def test_what_is_wrong_in_the_same_words_is_shown_once(locations):
    with locations.target_tags.open("a") as stream:
        stream.writelines(f"x{i},Cat\n" for i in range(40))
    text = verify(locations.data(), SPLIT).text()
    assert text.count("the tag 'Cat' is no category") == 1
    assert "(40 times)" in text
    assert "more\n" not in text


def test_a_picture_is_found_as_another_kind_of_file(locations):
    validation = locations.eval_root / "JPEGImages" / "v1.jpg"
    with Image.open(validation) as image:
        image.save(locations.target_images / "b.png")
    assert kinds(verify(locations.data(), SPLIT)) == {
        "same image in train and val": ["b.png"]
    }


def test_names_in_train_and_val_are_compared_without_case(locations):
    Image.new("RGB", (5, 5)).save(locations.target_images / "V2.png")
    with locations.target_tags.open("a") as stream:
        stream.write("V2,cat\n")
    assert kinds(verify(locations.data(), SPLIT)) == {
        "same image in train and val": ["V2.png"]
    }


def test_one_scored_picture_under_two_masks_is_a_problem(locations):
    folder = locations.eval_root / "JPEGImages"
    (folder / "v3.jpg").write_bytes((folder / "v1.jpg").read_bytes())
    assert verify(locations.data(), SPLIT).problems == []  # of equal masks
    mask = np.full((2, 3), 2, np.uint8)
    write_palette_mask(locations.eval_root / "SegmentationClass/v3.png", mask)
    (problem,) = verify(locations.data(), SPLIT).problems
    assert problem.kind == "same image with another mask"
    assert problem.path.endswith("v3.jpg")


def test_one_picture_under_two_tags_is_a_problem(locations):
    folder = locations.target_images
    (folder / "b.png").write_bytes((folder / "a.png").read_bytes())
    (problem,) = verify(locations.data(), SPLIT).problems
    assert problem.kind == "same image with other tags"
    assert "a.png" in problem.text
    assert problem.path.endswith("b.png")


def test_names_that_differ_by_case_are_a_problem(locations):
    Image.new("RGB", (5, 5)).save(locations.target_images / "A.png")
    with locations.target_tags.open("a") as stream:
        stream.write("A.png,dog\n")
    (problem,) = verify(locations.data(), SPLIT).problems
    assert problem.kind == "names that differ by case"


def test_one_list_serves_all_copies_of_a_picture():
    """Lists of their own would take the square of their number."""
    digests = {"target": Spool([b"a", b"b", b"a", b"a"])}
    same = same_content(digests, digests)
    assert same.keys() == {("target", row) for row in (0, 2, 3)}
    assert len(set(map(id, same.values()))) == 1
