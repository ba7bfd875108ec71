"""Shares of the pictures: each once, and no file of two jobs."""

import shutil
from itertools import chain

import numpy as np
import pytest
from tiny import read_json, tiny_config

from keras_wsss.config import split_of
from keras_wsss.data.masks import read_palette_mask
from keras_wsss.data.pseudo_masks import MANIFEST, mask_path
from keras_wsss.errors import ConfigError
from keras_wsss.inference.predict_files import find_pictures, predict_files
from keras_wsss.inference.pseudo_labels import (
    PseudoLabelOptions,
    write_pseudo_labels,
)
from keras_wsss.inference.shards import Shard
from keras_wsss.systems.quality import Quality
from keras_wsss.training.inputs import read_target_records

JOBS = [Shard(number, 3) for number in (1, 2, 3)]


@pytest.fixture(scope="module")
def pictures(shapes_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("shards") / "in"
    folder.mkdir()
    for path in sorted((shapes_dir / "target/JPEGImages").iterdir())[:7]:
        shutil.copy(path, folder)
    (folder / "broken.png").write_bytes(b"nothing")
    return find_pictures([folder], folder / "out")[0]


def test_every_name_is_in_one_share():
    names = [f"sub/{number}.jpg" for number in range(600)] + ["\udce9.png"]
    shares = [[n for n in names if shard.has(n)] for shard in JOBS]
    assert sorted(chain(*shares)) == sorted(names)
    assert min(map(len, shares)) > 150
    # Whatever else is there, and in whatever order.
    assert JOBS[0].has("sub/7.jpg") == ("sub/7.jpg" in shares[0])


def test_a_share_is_named_by_its_number_and_the_jobs():
    assert Shard.parse("3/8") == Shard(3, 8)
    assert Shard.parse(None) is None
    for text in ("0/8", "9/8", "3", "3/0", "-1/8", "a/b", ""):
        with pytest.raises(ConfigError, match="third of 8 jobs"):
            Shard.parse(text)


def files(folder):
    return {p.relative_to(folder) for p in folder.rglob("*") if p.is_file()}


def test_jobs_do_every_picture_once(predictor, pictures, tmp_path):
    options = {"quality": Quality(), "made_by": "net", "formats": ["coco"]}
    options["log"] = lambda text: None
    out, whole = tmp_path / "out", tmp_path / "whole"
    expected = predict_files(predictor, pictures, whole, **options)
    assert (expected.written, len(expected.failures)) == (7, 1)
    outcomes, listed = [], []
    for shard in JOBS:
        outcomes.append(
            predict_files(predictor, pictures, out, shard=shard, **options)
        )
        found = read_json(out / shard.folder / "predictions.json")
        listed += [entry["mask"] for entry in found["pictures"]]
        assert (out / shard.folder / "coco_results.json").is_file()
    assert sum(outcome.written for outcome in outcomes) == 7
    assert sum(len(outcome.failures) for outcome in outcomes) == 1
    good = [p.name for p in pictures if p.path.stem != "broken"]
    assert sorted(listed) == sorted(f"masks/{name}.png" for name in good)
    assert not (out / "predictions.json").exists()
    # All together then lists them, and computes nothing.
    last = predict_files(predictor, pictures, out, **options)
    assert (last.written, last.there) == (0, 7)
    own = {p for p in files(out) if p.parts[0] != "shards"}
    assert own == files(whole)
    for path in own:
        content = (whole / path).read_bytes()
        assert (out / path).read_bytes() == content, path


def test_pseudo_labels_of_jobs_are_complete_when_counted(
    predictor, shapes_dir, tmp_path
):
    config = tiny_config(shapes_dir)
    records = read_target_records(config, split_of(config)).records
    arguments = predictor, records, tmp_path
    settings = PseudoLabelOptions(Quality(), margin=0.1)
    made = [
        write_pseudo_labels(*arguments, settings, {"w": 1}, shard=shard)
        for shard in JOBS
    ]
    assert sum(manifest["written"] for manifest in made) == len(records)
    assert read_json(tmp_path / MANIFEST)["complete"] is False
    whole = write_pseudo_labels(*arguments, settings, {"w": 1})
    assert (whole["written"], whole["pictures"]) == (0, len(records))
    assert read_json(tmp_path / MANIFEST)["complete"] is True
    # A job that is repeated takes nothing away.
    write_pseudo_labels(*arguments, settings, {"w": 1}, shard=JOBS[1])
    assert read_json(tmp_path / MANIFEST)["complete"] is True
    listed = [
        (tmp_path / shard.folder / "ImageSets/Segmentation/train.txt")
        .read_text()
        .split()
        for shard in JOBS
    ]
    assert sorted(chain(*listed)) == sorted(r.image_id for r in records)
    mask = read_palette_mask(mask_path(tmp_path, records[0].image_id))
    found = predictor.predict(
        records[0].image_path, records[0].labels, Quality()
    )
    assert np.all((mask == 255) | (mask == found.mask))
