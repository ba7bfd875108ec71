"""Hostile pictures, through the readers, `verify` and training."""

import json
import re
import shutil
import sys
import time

import numpy as np
import pytest
from limits import run_limited
from pictures import WIDTH, bomb, colours, many_scans, picture_cases
from small_data import SPLIT, Places
from tiny import tiny_config

from keras_wsss.data.images import read_image
from keras_wsss.data.masks import read_palette_mask
from keras_wsss.data.verify import verify
from keras_wsss.errors import DataError
from keras_wsss.training.run import train

CASES = picture_cases()
BAD = [case for case in CASES if case.problem]
GOOD = [case for case in CASES if not case.problem]
SECONDS, MEGABYTES = 10, 1500


def by_name(case):
    return case.name


def silent(line):
    pass


def write_all(cases, folder) -> dict[str, str]:
    """Writes cases into one folder: file name -> expected problem."""
    folder.mkdir(parents=True, exist_ok=True)
    problems = {}
    for case in cases:
        name = case.name + case.file_name[case.file_name.rindex(".") :]
        case.write(folder / name)
        problems[name] = case.problem
    return problems


def test_there_are_enough_and_no_name_stands_twice():
    assert len(CASES) == len({case.name for case in CASES}) >= 60


@pytest.mark.parametrize("case", BAD, ids=by_name)
def test_bad_file_is_refused_with_its_name_and_the_reason(case, tmp_path):
    path = tmp_path / case.file_name
    case.write(path)
    start = time.process_time()
    with pytest.raises(DataError, match=case.problem) as caught:
        read_image(path)
    assert time.process_time() - start < SECONDS
    assert str(caught.value).startswith(f"{path}: ")
    assert len(str(caught.value)) < 400


# Without its palette a picture has no colours, but a mask has its indices.
@pytest.mark.parametrize(
    "case", [case for case in BAD if case.name != "png_no_palette"], ids=by_name
)
def test_bad_file_is_no_mask_either(case, tmp_path):
    path = tmp_path / case.file_name
    case.write(path)
    with pytest.raises(DataError) as caught:
        read_palette_mask(path)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize("case", GOOD, ids=by_name)
def test_odd_but_good_file_is_read_right(case, tmp_path):
    path = tmp_path / case.file_name
    case.write(path)
    found = read_image(path)
    assert found.shape == case.pixels.shape
    assert found.dtype == np.uint8
    difference = np.abs(found.astype(int) - case.pixels)
    assert difference.mean() <= case.tolerance


def test_verify_lists_every_bad_picture_and_no_good_one(tmp_path):
    folder = tmp_path / "images"
    # Neither a loop nor a folder is a file that a tags file can name.
    cases = [c for c in CASES if c.name not in NO_FILES]
    problems = write_all(cases, folder)
    lines = "".join(f"{name},cat\n" for name in problems)
    tags = tmp_path / "tags.csv"
    tags.write_text(f"image,labels\n{lines}")
    start = time.process_time()
    found = verify(Places(target_tags=tags, target_images=folder).data(), SPLIT)
    assert time.process_time() - start < SECONDS
    told = {problem.path: problem.text for problem in found.problems}
    for name, words in problems.items():
        text = told.pop(str(folder / name), None)
        if words is None:
            assert text is None, (name, text)
        else:
            assert text is not None, name
            assert re.search(words, text), text
    assert not told


NO_FILES = {
    "symlink_loop", "symlink_dangling", "symlink_device", "folder", "pipe",
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("flat.jpg", lambda: bomb((10_000, 6_300), "JPEG", progressive=True)),
        ("flat.png", lambda: bomb((10_000, 6_300), "PNG")),
        ("scans.jpg", lambda: many_scans(8_000, 7_900, 99)),
    ],
)
def test_largest_pictures_within_limits(name, data, tmp_path):
    """Just below the limit of pixels, and more of them than threads."""
    images = tmp_path / "images"
    images.mkdir()
    content = data()
    for number in range(4):
        (images / f"{number}{name}").write_bytes(content)
    tags = tmp_path / "tags.csv"
    lines = [f"{path.name},cat" for path in sorted(images.iterdir())]
    tags.write_text("\n".join(["image,labels", *lines]))
    command = [
        *(sys.executable, "-m", "keras_wsss.data", "verify", "--tags", tags),
        *("--tag_images", images, "--split", "small"),
        *("--source", "cup", "--target", "cat"),
    ]
    # Half of the time is the system's, which hands out 200 MB a picture: 12 s
    # in all were seen on a slow machine, 3 s a picture.
    done, peak = run_limited(command, MEGABYTES, 2 * SECONDS)
    assert done.returncode == 0, (done.stdout[-500:], done.stderr[-500:])
    assert "4 pictures" in done.stdout
    assert peak < MEGABYTES


@pytest.fixture
def spoiled(shapes_dir, tmp_path):
    """A config whose first source pictures are hostile, and their names."""
    images = tmp_path / "images"
    shutil.copytree(shapes_dir / "source" / "images", images)
    document = json.loads(
        (shapes_dir / "source" / "instances.json").read_text()
    )
    names = sorted(entry["file_name"] for entry in document["images"])
    wanted = (
        "gif", "png_65500x65500", "png_data_too_short", "zeros",
        "jpg_9_tenths", "sparse_50_gb",
    )  # fmt: skip
    chosen = [case for case in CASES if case.name in wanted]
    assert len(chosen) == len(wanted)
    for name, case in zip(names, chosen, strict=False):
        (images / name).unlink()
        case.write(images / name)
    config = tiny_config(shapes_dir)
    config = config.replace(
        {
            "data.source_images": str(images),
            "data.heldout": 0.0,
            "phases.decoder.steps": 1,
            "phases.decoder.warmup_steps": 0,
        }
    )
    return config, names[: len(chosen)]


@pytest.mark.usefixtures("eager")
def test_training_counts_what_it_was_told_to_skip(spoiled, tmp_path):
    config, names = spoiled
    config = config.replace({"data.skip_bad_images": True})
    lines = []
    run = tmp_path / "run"
    counts = train(config, "decoder", run, log=lines.append)["data"]
    (told,) = [line for line in lines if line.startswith("Left out")]
    for name in names:
        assert name.rsplit(".", 1)[0] in told
    assert len(counts["bad_pictures"]) == len(names)
    assert counts["source_left_out"]["unreadable image"] == len(names)
    left_out = sum(counts["source_left_out"].values())
    assert counts["source_pictures"] + left_out == 30


@pytest.mark.usefixtures("eager")
def test_training_names_the_first_bad_picture(spoiled, tmp_path):
    config, names = spoiled
    config = config.replace({"phases.decoder.source_pictures": 30})
    with pytest.raises(DataError) as caught:
        train(config, "decoder", tmp_path / "run", log=silent)
    assert any(name in str(caught.value) for name in names)


def test_the_pictures_of_the_corpus_differ_from_their_mirror_images():
    """Else a turned or mirrored reading would pass."""
    good = colours()
    assert good.shape[1] == WIDTH
    assert not np.array_equal(good, good[:, ::-1])
