"""Pictures in folders to masks, overlays and predictions.json."""

import io
import json
import shutil
import unicodedata

import numpy as np
import pytest
from PIL import Image
from tiny import read_json, run_script

from keras_wsss.data.formats.voc import read_classes, write_classes
from keras_wsss.data.images import read_image
from keras_wsss.data.masks import read_palette_mask
from keras_wsss.data.writers.writer import WriterOptions
from keras_wsss.errors import ConfigError, DataError
from keras_wsss.inference import predict_files as predict_files_module
from keras_wsss.inference.find_pictures import own_path
from keras_wsss.inference.picture_tags import read_picture_tags
from keras_wsss.inference.predict_files import (
    PREDICTIONS_FILE,
    Picture,
    _write_jpeg,
    find_pictures,
    predict_files,
)
from keras_wsss.systems.quality import Quality

RAW = Quality()


def save(path, width=20, height=12, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(len(str(path)))
    pixels = rng.integers(0, 256, (height, width, 3), np.uint8)
    Image.fromarray(pixels).save(path, **options)
    return path


@pytest.fixture
def folder(tmp_path):
    """Three pictures of one name, a hidden one, and another file."""
    root = tmp_path / "in"
    save(root / "b.jpg")
    save(root / "a.png")
    save(root / "a.JPG", format="JPEG")
    save(root / "sub" / "a.png")
    save(root / ".hidden.png")
    save(root / ".cache" / "c.png")
    (root / "notes.txt").write_text("no picture")
    return root


def test_names_are_sorted_and_unique(folder):
    pictures, passed = find_pictures([folder], folder / "out")
    assert [p.name for p in pictures] == ["a", "a_2", "b", "sub/a"]
    assert [p.path.name for p in pictures][:2] == ["a.JPG", "a.png"]
    assert passed == 1


def test_files_of_several_folders_do_not_collide(folder):
    pictures, _ = find_pictures([folder / "sub", folder / "a.png"], "out")
    assert [p.name for p in pictures] == ["a", "a_2"]


def test_a_name_never_collides_with_a_numbered_one(tmp_path):
    for name in ("x.jpg", "x.png", "x_2.png", "X.jpeg"):
        save(tmp_path / name)
    pictures, _ = find_pictures([tmp_path], tmp_path / "out")
    names = [p.name.lower() for p in pictures]
    assert len(names) == len(set(names)) == 4


def test_a_file_that_is_met_twice_is_taken_once(folder):
    pictures, _ = find_pictures([folder, folder / "b.jpg"], "out")
    assert len(pictures) == 4


def test_links_to_folders_are_followed_but_not_in_circles(tmp_path):
    save(tmp_path / "far" / "b.png", 9, 7)
    save(tmp_path / "in" / "a.png", 9, 7)
    (tmp_path / "in" / "sub").symlink_to(tmp_path / "far")
    (tmp_path / "far" / "up").symlink_to(tmp_path / "in")
    found, _ = find_pictures([tmp_path / "in"], tmp_path / "out")
    assert [picture.file_name for picture in found] == ["a.png", "sub/b.png"]


def test_links_are_pictures_of_their_own(tmp_path):
    save(tmp_path / "in" / "a.png")
    for name in ("b.png", "sub/a.png", "sub/\u00e9.png", "sub/e\u0301.png"):
        path = tmp_path / "in" / name
        path.parent.mkdir(exist_ok=True)
        path.symlink_to(tmp_path / "in" / "a.png")
    pictures, _ = find_pictures([tmp_path / "in"], "out")
    assert len(pictures) == 5
    names = {unicodedata.normalize("NFC", p.name).lower() for p in pictures}
    assert len(names) == 5


def test_a_folder_called_as_an_output_is_in_nobodys_way(tmp_path):
    save(tmp_path / "a.jpg")
    save(tmp_path / "a.png" / "b.jpg")
    pictures, _ = find_pictures([tmp_path], "out")
    files = [f"{picture.name}.png" for picture in pictures]
    assert len(files) == 2
    assert not any(one.startswith(f"{two}/") for one in files for two in files)


def test_pictures_of_several_folders_are_listed_under_names_of_their_own(
    tmp_path,
):
    folders = [tmp_path / "x", tmp_path / "y"]
    for folder in folders:
        save(folder / "sub" / "1.jpg")
    pictures, _ = find_pictures(folders, "out")
    assert [p.file_name for p in pictures] == ["sub/1.jpg", "sub/1_2.jpg"]


def test_earlier_results_are_not_pictures(folder):
    save(folder / "results" / "overlays" / "b.jpg")
    pictures, _ = find_pictures([folder], folder / "results")
    assert len(pictures) == 4


@pytest.mark.parametrize("name", ["nothing", "empty"])
def test_no_picture_is_an_error(tmp_path, name):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=name):
        find_pictures([tmp_path / name], tmp_path / "out")


def test_overlays_keep_their_colours(tmp_path):
    image = np.full((30, 40, 3), (200, 30, 90), np.uint8)
    predict_files_module._write_jpeg(tmp_path / "a.jpg", image.copy())
    found = read_image(tmp_path / "a.jpg").astype(int)
    assert np.abs(found - image).max() < 8


def test_masks_are_those_of_the_predictor(predictor, tmp_path):
    upright = save(tmp_path / "upright.png", 33, 21)
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = save(tmp_path / "turned.jpg", 33, 21, exif=exif)
    out = tmp_path / "out"
    pictures = [Picture(upright, "one"), Picture(turned, "deep/two")]
    outcome = predict_files(predictor, pictures, out, tags=["fish", "star"])
    assert (outcome.written, outcome.failures) == (2, ())
    for picture, shape in zip(pictures, [(21, 33), (33, 21)], strict=True):
        mask = read_palette_mask(out / "masks" / f"{picture.name}.png")
        expected = predictor(picture.path, tags=["fish", "star"])
        np.testing.assert_array_equal(mask, expected.mask)
        overlay = read_image(out / "overlays" / f"{picture.name}.jpg")
        assert mask.shape == overlay.shape[:2] == shape
    assert read_classes(out) == predictor.split.categories
    found = read_json(out / PREDICTIONS_FILE)
    entry = found["pictures"][1]
    assert (entry["height"], entry["width"]) == (33, 21)
    assert set(entry["tags"]) == {"fish", "star"}
    # Reported mask must be where the file is.
    assert (out / entry["mask"]).is_file()
    number = {name: int(i) for i, name in found["categories"].items()}
    for name, area in entry["area"].items():
        assert area == pytest.approx(np.mean(mask == number[name]), abs=1e-5)
    scores = expected.tag_scores
    for name, score in entry["scores"].items():
        assert score == pytest.approx(scores[number[name] - 1], abs=1e-4)
    assert set(entry["scores"]) == set(predictor.split.scored)


def test_masks_of_other_categories_are_not_mixed(predictor, tmp_path):
    out, picture = tmp_path / "out", Picture(save(tmp_path / "a.png"), "a")
    write_classes(out, predictor.split.categories[::-1])
    with pytest.raises(ConfigError, match="or in another order; give another"):
        predict_files(predictor, [picture], out)
    assert [path.name for path in out.iterdir()] == ["classes.txt"]
    write_classes(out, predictor.split.categories)
    assert predict_files(predictor, [picture], out).written == 1


def test_bad_files_are_named_and_the_others_written(predictor, tmp_path):
    good = [save(tmp_path / f"{name}.png") for name in "ac"]
    broken = tmp_path / "b.jpg"
    buffer = io.BytesIO()
    Image.new("RGB", (40, 40)).save(buffer, "JPEG")
    broken.write_bytes(buffer.getvalue()[:-30])
    strip = save(tmp_path / "strip.png", 20_000, 1)
    lines = []
    pictures = [Picture(p, p.stem) for p in [good[0], broken, strip, good[1]]]
    outcome = predict_files(
        predictor, pictures, tmp_path / "out", log=lines.append
    )
    assert outcome.written == 2
    assert lines == list(outcome.failures)
    assert "b.jpg" in lines[0]
    assert "truncated" in lines[0]
    assert "strip.png" in lines[1]
    assert "cut it into parts" in lines[1]
    found = read_json(tmp_path / "out" / PREDICTIONS_FILE)
    assert [entry["mask"] for entry in found["pictures"]] == [
        "masks/a.png",
        "masks/c.png",
    ]
    assert len(found["failures"]) == 2


def test_unknown_tag_writes_nothing(predictor, tmp_path):
    picture = Picture(save(tmp_path / "a.png"), "a")
    with pytest.raises(ConfigError, match="Unknown tag 'unicorn'"):
        predict_files(predictor, [picture], tmp_path / "out", tags=["unicorn"])
    assert not (tmp_path / "out").exists()


@pytest.fixture
def pair(tmp_path):
    """Two pictures, and what stays the same between calls of a test."""
    for name in ("one", "two"):
        save(tmp_path / "in" / f"{name}.png", 24, 20)
    return find_pictures([tmp_path / "in"], tmp_path / "out")[0]


def counted(predictor, monkeypatch):
    calls = []
    predict = predictor.predict
    monkeypatch.setattr(
        predictor,
        "predict",
        lambda *args: calls.append(1) or predict(*args),
    )
    return calls


def test_a_repeated_call_goes_on_where_it_stopped(
    predictor, pair, tmp_path, monkeypatch
):
    out, calls = tmp_path / "out", counted(predictor, monkeypatch)
    options = {"made_by": {"weights": "w"}, "tags": "fish"}
    stopped = iter((pair[0],))

    def stop(items):
        yield next(stopped)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_files(predictor, pair, out, watch=stop, **options)
    outcome = predict_files(predictor, pair, out, **options)
    assert (outcome.written, outcome.there, len(calls)) == (1, 1, 2)
    whole = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    fresh = predict_files(predictor, pair, tmp_path / "fresh", **options)
    assert fresh.written == 2
    for path, content in whole.items():
        other = tmp_path / "fresh" / path.relative_to(out)
        assert other.read_bytes() == content
    # In another format too, and without computing again.
    outcome = predict_files(predictor, pair, out, formats=["coco"], **options)
    assert (outcome.written, outcome.there, len(calls)) == (0, 2, 4)
    assert [path.name for path in outcome.files] == [
        "coco_results.json",
        "coco_instances.json",
    ]


@pytest.mark.parametrize(
    "change",
    ["weights", "tags", "quality", "style", "picture", "mask", "overlay"],
)
def test_what_would_differ_is_made_again(
    predictor, pair, tmp_path, monkeypatch, change
):
    out = tmp_path / "out"
    options = {"made_by": {"weights": "w"}, "tags": ["fish"], "quality": RAW}
    predict_files(predictor, pair[:1], out, **options)
    calls = counted(predictor, monkeypatch)
    if change == "weights":
        options["made_by"] = {"weights": "x"}
    elif change == "tags":
        options["tags"] = None
    elif change == "quality":
        options["quality"] = Quality(refine=True)
    elif change == "style":
        options["overlay"] = "dark"
    elif change == "picture":
        save(pair[0].path, 30, 20)
    else:
        folder, suffix = {
            "mask": ("masks", "png"),
            "overlay": ("overlays", "jpg"),
        }[change]
        (out / folder / f"one.{suffix}").unlink()
    assert predict_files(predictor, pair[:1], out, **options).written == 1
    assert len(calls) == 1


def test_each_picture_is_asked_for_its_own_tags(predictor, pair, tmp_path):
    out = tmp_path / "out"
    tags = {own_path(pair[1].path): ["star", "fish"]}
    predict_files(predictor, pair, out, tags=tags)
    entries = read_json(out / PREDICTIONS_FILE)["pictures"]
    assert [entry["tags_by"] for entry in entries] == ["tagger", "user"]
    assert set(entries[1]["tags"]) == {"fish", "star"}
    for picture, asked in zip(pair, (None, ["fish", "star"]), strict=True):
        mask = read_palette_mask(out / "masks" / f"{picture.name}.png")
        expected = predictor(picture.path, tags=asked).mask
        np.testing.assert_array_equal(mask, expected)


def test_tags_of_pictures_come_from_a_file(predictor, pair, tmp_path):
    split = predictor.split
    source = split.source[0]
    path = tmp_path / "tags.csv"
    path.write_text(f"image,labels\none,fish;{source}\nthree.png,star\n")
    found = read_picture_tags(path, pair, [tmp_path / "in"], split)
    one = own_path(pair[0].path)
    assert found.ids == {one: tuple(sorted(split.ids(["fish", source])))}
    assert found.untagged == ("two.png",)
    assert found.unused == ("three.png",)
    # Files that are named themselves are found below their folder.
    files = [picture.path for picture in pair]
    assert read_picture_tags(path, pair, files, split) == found


def test_the_tagger_is_asked_where_no_tag_is_sure(predictor, pair, tmp_path):
    split, folder = predictor.split, tmp_path / "in"
    path = tmp_path / "tags.csv"
    path.write_text("image,labels\none,?fish\ntwo,\n")
    found = read_picture_tags(path, pair, [folder], split)
    assert found.ids == {own_path(pair[1].path): ()}
    assert found.unsure == ("one.png",)
    # So where a file knows other categories alone.
    names = [picture.file_name for picture in pair]
    images = [
        {"id": i, "file_name": name, "width": 33, "height": 21}
        for i, name in enumerate(names)
    ]
    content = {
        "images": images,
        "categories": [{"id": 1, "name": "fish"}, {"id": 2, "name": "lorry"}],
        "annotations": [{"id": 1, "image_id": 0, "category_id": 2}],
    }
    path = tmp_path / "tags.json"
    path.write_text(json.dumps(content))
    found = read_picture_tags(path, pair, [folder], split)
    assert found.ids == {own_path(pair[1].path): ()}
    assert found.unsure == ("one.png",)


@pytest.mark.parametrize(
    ("text", "error", "match"),
    [
        ("image,labels\none,fsh\n", DataError, "'fsh' is no category"),
        ("image,labels\nother,fish\n", ConfigError, "names none of the 2"),
    ],
)
def test_a_file_of_tags_that_cannot_be_meant_is_refused(
    predictor, pair, tmp_path, text, error, match
):
    path = tmp_path / "tags.csv"
    path.write_text(text)
    with pytest.raises(error, match=match):
        read_picture_tags(path, pair, [tmp_path / "in"], predictor.split)


def test_scores_of_results(predictor, pair, tmp_path):
    """The mean foreground probability; by the tagger, times the tag's."""
    for tags in (["fish", "star"], None):
        out = tmp_path / f"out{tags is None}"
        predict_files(predictor, pair, out, tags=tags, formats=["coco"])
        results = json.loads((out / "coco_results.json").read_text())
        found = {(r["image_id"], r["category_id"]): r["score"] for r in results}
        expected = {}
        for number, picture in enumerate(pair, start=1):
            prediction = predictor(picture.path, tags=tags)
            for row, tag in enumerate(prediction.tags):
                region = prediction.mask == tag
                if not region.any():
                    continue
                score = prediction.probabilities[row][region].mean()
                if tags is None:
                    score *= prediction.tag_scores[tag - 1]
                expected[number, tag] = pytest.approx(score, abs=2e-5)
        assert found == expected


def test_what_a_format_refuses_is_refused_before_anything(
    predictor, pair, tmp_path
):
    ids = tmp_path / "ids.json"
    ids.write_text('{"images": [], "categories": [{"id": 1, "name": "fish"}]}')
    options = WriterOptions(coco_ids=ids)
    with pytest.raises(ConfigError, match="no picture of the name one"):
        predict_files(
            predictor, pair, tmp_path / "out", formats=["coco"], options=options
        )
    assert not (tmp_path / "out").exists()


def test_command(transfer_run, shapes_dir, predictor, tmp_path):
    """Without flags, masks are those of `Predictor` without arguments."""
    pictures = sorted((shapes_dir / "target" / "JPEGImages").glob("val_*"))[:2]
    folder = tmp_path / "in"
    folder.mkdir()
    for path in pictures:
        shutil.copy(path, folder)
    (folder / "broken.jpg").write_bytes(b"nothing")
    done = run_script(
        "predict.py",
        f"--workdir={transfer_run[0]}",
        folder,
        f"--out={tmp_path / 'out'}",
        "--format=coco,cvat",
        "--format=labelstudio",
    )
    assert done.returncode == 1, done.stderr
    assert "broken.jpg: neither JPEG nor PNG" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout.startswith("Computing on ")
    assert "Written: 2 masks" in done.stdout
    assert len(list((tmp_path / "out" / "masks").glob("*.png"))) == 2
    for path in pictures:
        found = read_palette_mask(tmp_path / "out/masks" / f"{path.stem}.png")
        np.testing.assert_array_equal(found, predictor(path).mask)
    options = read_json(tmp_path / "out" / PREDICTIONS_FILE)["options"]
    assert options["refine"] is True
    assert len(options["views"]) == 2
    for name in ("coco_results.json", "cvat.zip", "labelstudio.json"):
        assert (tmp_path / "out" / name).is_file()
    # Both, wherever they stand; and two files of tags at once are refused.
    flags = (f"--workdir={transfer_run[0]}", pictures[0])
    flags = (*flags, f"--out={tmp_path / 'tags'}", "--tags=fish")
    done = run_script("predict.py", *flags, "--tags=star", "--noaugment")
    assert done.returncode == 0, done.stderr
    (entry,) = read_json(tmp_path / "tags" / PREDICTIONS_FILE)["pictures"]
    assert set(entry["tags"]) == {"fish", "star"}
    done = run_script("predict.py", *flags, "--tags_file=tags.csv")
    assert done.returncode == 2
    assert "--tags or --tags_file, not both" in done.stderr


def test_command_without_pictures(transfer_run, tmp_path):
    flags = [f"--workdir={transfer_run[0]}", f"--out={tmp_path / 'out'}"]
    done = run_script("predict.py", *flags)
    assert done.returncode == 2
    assert done.stderr.strip().endswith("see --help.")


def test_a_named_picture_is_looked_up_as_all_others_are(tmp_path):
    save(tmp_path / "caf\u00e9.JPG")
    wanted = tmp_path / "cafe\u0301.jpg"
    (picture,), _ = find_pictures([wanted], tmp_path / "out")
    assert picture.path.name == "caf\u00e9.JPG"
    with pytest.raises(ConfigError, match=r"nearest: café\.JPG"):
        find_pictures([tmp_path / "CAF\u00c9.jpg"], tmp_path / "out")


def test_an_overlay_that_no_jpeg_can_hold_is_refused(tmp_path):
    path = tmp_path / "long.jpg"
    with pytest.raises(DataError, match=r"65501 x 1 pixels .* cut the"):
        _write_jpeg(path, np.zeros((1, 65_501, 3), np.uint8))
    assert not path.exists()
