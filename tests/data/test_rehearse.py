"""A rehearsal: played categories lose their masks in training only."""

import csv

import numpy as np
import pytest
from readers import read_voc
from small_data import annotation, box, document, write_coco, write_tags
from tiny import ENCODER_WEIGHTS, REPOSITORY, run_script, tiny_config

from keras_wsss.categories import SHAPES_SOURCE, SHAPES_TARGET, get_split
from keras_wsss.commands.data import main
from keras_wsss.config import split_of
from keras_wsss.config_files import load_config, load_run_config
from keras_wsss.data.formats.tags import read_tags
from keras_wsss.errors import ConfigError, DataError

PLAYED = SHAPES_SOURCE[:2]


@pytest.fixture
def flags(tmp_path):
    content = document(
        {1: (20, 20), 2: (20, 20), 3: (20, 20)},
        [
            annotation(1, 1, "cup", [box(0, 0, 10, 10)]),
            annotation(2, 1, "plate", [box(10, 10, 20, 20)]),
            annotation(3, 2, "plate", [box(0, 0, 10, 10)]),
            annotation(4, 3, "cup", [box(0, 0, 1, 1)]),  # 1 of 400 pixels
        ],
    )
    annotations, images = write_coco(tmp_path / "source", content)
    tags, tagged = write_tags(tmp_path, ["a,cat"], ["a.png"])
    return [
        "rehearse", "--split", "own", "--source", "cup,plate,teddy bear",
        "--target", "cat", "--coco_annotations", str(annotations),
        "--coco_images", str(images), "--tags_file", str(tags),
        "--tag_images", str(tagged), "--out", str(tmp_path / "out"),
    ]  # fmt: skip


def test_played_pictures_get_tags_and_masks_of_their_own(
    flags, tmp_path, capsys
):
    # What names pictures of the true evaluation must not name these.
    flags = [*flags, "--eval_images", str(tmp_path)]
    assert main([*flags, "--play", "cup"]) == 0
    data = load_config(tmp_path / "out" / "config.yaml").data
    assert (data.eval_images, data.eval_format) == ("", "voc")
    assert "cup: 1 pictures" in capsys.readouterr().out
    out = tmp_path / "out"
    with open(out / "train_tags.csv") as file:
        rows = [tuple(row) for row in csv.reader(file)]
    assert rows[0] == ("image", "labels", "unknown")
    # Nobody looked for cups in the tagged picture; the file lists cats.
    assert [row[1:] for row in rows[1:]] == [("cat", "cup"), ("cup", "")]
    for picture, *_ in rows[1:]:
        assert (out / "JPEGImages" / picture).is_file()
    split = get_split("r", ["plate", "teddy bear"], ["cat", "cup"], ["cup"])
    (record,) = read_voc(out, "val", split).records
    mask = record.mask.read()
    # The plate is background here, as any category that is not scored.
    assert set(np.unique(mask)) == {0, split.id_of("cup")}
    assert (mask > 0).sum() == 100


def test_pictures_of_similar_names_stay_apart(tmp_path, flags):
    """And nothing is written through a link into a picture of the user."""
    names = ["sub/x.png", "sub_x.png", "b, c.png"]
    _, tagged = write_tags(tmp_path, [f'"{n}",cat' for n in names], names)
    before = {tagged / name: (tagged / name).read_bytes() for name in names}
    assert len(set(before.values())) == len(names)
    assert main([*flags, "--play", "cup"]) == 0
    assert {path: path.read_bytes() for path in before} == before
    out = tmp_path / "out"
    split = get_split("r", ["plate", "teddy bear"], ["cat", "cup"], ["cup"])
    records = read_tags(
        out / "train_tags.csv", out / "JPEGImages", split
    ).records
    found = {record.image_path.read_bytes() for record in records}
    assert len(records) == len(names) + 1  # and one that plays
    assert set(before.values()) < found


@pytest.mark.parametrize(
    ("play", "error", "text"),
    [
        ("cat", ConfigError, "source categories"),
        ("tiger", ConfigError, "--play tiger"),
        ("cup,teddy bear", DataError, "teddy bear"),
    ],
)
def test_what_cannot_play_is_named(flags, tmp_path, play, error, text):
    with pytest.raises(error, match=text):
        main([*flags, "--play", play])
    assert not (tmp_path / "out").exists()


def test_training_takes_the_config(shapes_dir, tmp_path, monkeypatch):
    """That of the run, with another split and data; paths work anywhere."""
    monkeypatch.setenv("KERAS_WSSS_TINY", str(shapes_dir.relative_to("/")))
    monkeypatch.chdir("/")
    base = str(REPOSITORY / "tests" / "tiny.py")
    out = tmp_path / "rehearsal"
    assert not main(
        [
            "rehearse", "--config", base, "--play", ",".join(PLAYED),
            "--out", str(out.relative_to("/")),
            "--config.data.heldout=0.3",
        ]
    )  # fmt: skip
    done = run_script(
        "train.py", "--phase=attention", f"--config={out}/config.yaml",
        f"--workdir={tmp_path}/run", "--config.attention.steps=1",
        f"--encoder_weights={shapes_dir}/{ENCODER_WEIGHTS}",
        data="nowhere",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    config = load_run_config(tmp_path / "run")
    split = split_of(config)
    assert split.scored == tuple(sorted(PLAYED, key=split.id_of))
    assert not set(PLAYED) & set(split.source)
    assert config.data.heldout == 0.3
    assert config.data.source_images == str(shapes_dir / "source" / "images")
    assert config.data.eval_root == str(out)
    assert (
        config.model
        == tiny_config("")
        .replace({"model.encoder_weights": config.model.encoder_weights})
        .model
    )
    # verify and show take the same files.
    parts = ["--config.split.scored=('clover', 'fish', 'heart')"]
    parts += ["--config.split.source=" + repr(SHAPES_SOURCE)]
    parts += ["--config.split.target=" + repr(SHAPES_TARGET)]
    parts += ["--config.split.name=seen"]  # six pictures hold no star
    assert main(["verify", "--config", base, *parts]) == 0
    sheet = ["--out", str(tmp_path / "sheet.png")]
    assert main(["show", "--config", str(out / "config.yaml"), *sheet]) == 0
