"""The comparison of docs/new_categories.md, small enough for every day."""

import pytest
from tiny import tiny_config

from benchmarks.new_categories import (
    MOST_BEHIND,
    MOST_FORGOTTEN,
    compare,
    losses,
    only_pictures_of,
    with_new,
    without,
)
from keras_wsss.config import split_of
from keras_wsss.configs import shapes
from keras_wsss.shapes.make import ShapesSize, write_shapes
from keras_wsss.training.inputs import read_target_records

SIZE = 64
STEPS = 160


@pytest.fixture
def config(tmp_path, monkeypatch):
    """The config shapes with small pictures, few of them, and few updates."""
    data = tmp_path / "data"
    write_shapes(data, size=ShapesSize(SIZE, source=400, target=400, val=100))
    monkeypatch.setenv("KERAS_WSSS_SHAPES", str(data))
    config = shapes.get_config()
    config = config.replace(
        {
            "image.size": SIZE,
            "image.resize": SIZE,
            "model.output_stride": 4,
            "model.decoder_width": 0.25,
            "data.heldout": 0.0,
            "train.examples": 0,
        }
    )
    for phase, warmup in (("decoder", 80), ("transfer", 60)):
        config = config.replace(
            {
                f"phases.{phase}.steps": STEPS,
                f"phases.{phase}.warmup_steps": warmup,
            }
        )
    return config


def test_a_category_is_added_without_loss_of_the_others(config, tmp_path):
    """Here a fifth as much is learned as in docs/new_categories.md."""
    rows = compare(config, "heart", tmp_path, log=lambda line: None)
    forgotten, behind = losses(rows)
    assert forgotten <= MOST_FORGOTTEN
    assert behind <= MOST_BEHIND
    # Something was learned that could have been lost.
    assert rows["before"]["old_asked_alone"] > 0.25
    assert rows["added"]["new"] > 0.25
    assert rows["before"]["new"] is None


def test_nothing_is_known_of_the_new_category_before(shapes_dir, tmp_path):
    config = tiny_config(shapes_dir)
    every = read_target_records(config, split_of(config)).records
    before = without(config, "star", tmp_path / "before.csv")
    after = with_new(config, "star")
    alone = only_pictures_of(after, "star", tmp_path / "alone.csv")
    star = split_of(config).id_of("star")
    assert split_of(before).find("star") is None
    # Its ids are others, so that nothing can depend on them.
    assert split_of(after).id_of("star") == 1
    for settings, kept in (
        (before, [r for r in every if star not in r.labels]),
        (after, every),
        (alone, [r for r in every if star in r.labels]),
    ):
        split = split_of(settings)
        records = read_target_records(settings, split).records
        assert [r.image_id for r in records] == [r.image_id for r in kept]
        for record, expected in zip(records, kept, strict=True):
            assert {split.name_of(i) for i in record.labels} == {
                split_of(config).name_of(i) for i in expected.labels
            }
