"""Pictures in folders to masks, overlays and predictions.json."""

import io
import shutil

import numpy as np
import pytest
from PIL import Image
from tiny import read_json, run_script

from keras_wsss.data.formats.voc import read_classes, write_classes
from keras_wsss.data.images import read_image
from keras_wsss.data.masks import read_palette_mask
from keras_wsss.errors import ConfigError
from keras_wsss.inference.predict_files import (
    PREDICTIONS_FILE,
    Picture,
    find_pictures,
    predict_files,
)


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


def test_earlier_results_are_not_pictures(folder):
    save(folder / "results" / "overlays" / "b.jpg")
    pictures, _ = find_pictures([folder], folder / "results")
    assert len(pictures) == 4


@pytest.mark.parametrize("name", ["nothing", "empty"])
def test_no_picture_is_an_error(tmp_path, name):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=name):
        find_pictures([tmp_path / name], tmp_path / "out")


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


def test_command_without_pictures(transfer_run, tmp_path):
    flags = [f"--workdir={transfer_run[0]}", f"--out={tmp_path / 'out'}"]
    done = run_script("predict.py", *flags)
    assert done.returncode == 2
    assert done.stderr.strip().endswith("see --help.")
