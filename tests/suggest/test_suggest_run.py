"""The list that `suggest` writes, with a trained run."""

import csv
import re

import pytest
from tiny import read_json

from keras_wsss.data import formats, masks
from keras_wsss.data.formats import index_masks, instance_format
from keras_wsss.errors import ConfigError
from keras_wsss.inference.predictor import RAW
from keras_wsss.suggest.run import suggest


@pytest.fixture(scope="module")
def listed(transfer_run, tmp_path_factory):
    """What is written of the run's own tagged pictures."""
    out = tmp_path_factory.mktemp("suggest") / "out"
    lines = []
    with pytest.MonkeyPatch.context() as patch:
        # No mask that lies on disk may decide anything.
        for module, name in (
            (masks, "read_palette_mask"),
            (index_masks, "read_palette_mask"),
            (instance_format, "source_records"),
        ):
            patch.setattr(module, name, lambda *_, **__: pytest.fail("a mask"))
        entries = suggest(
            transfer_run[0], out, count=4, page=True, augment=False,
            log=lines.append,
        )  # fmt: skip
    return out, entries, lines


def test_every_tagged_picture_stands_in_the_list(listed, predictor):
    out, entries, _ = listed
    records = formats.read(
        predictor.config.data, predictor.split, "target"
    ).records
    name = predictor.split.name_of
    assert {e["image"]: e["tags"] for e in entries} == {
        r.image_path.name: [name(i) for i in r.labels] for r in records
    }
    content = read_json(out / "suggestions.json")
    assert content["pictures"] == entries
    values = [e["values"]["tags"] for e in entries]
    assert values == sorted(values, reverse=True)
    with open(out / "suggestions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == [e["image"] for e in entries]
    assert [float(row["by_tags"]) for row in rows] == values


def test_the_page_has_the_first_pictures_and_the_tags_of_all(listed):
    out, entries, lines = listed
    text = (out / "suggestions.html").read_text()
    assert text.count('"picture":') == 4
    for entry in entries:
        assert entry["image"] in text
    assert lines[-1].endswith("the first 4 of them")


def test_scores_are_those_of_the_predictor(listed, predictor, shapes_dir):
    _, entries, _ = listed
    entry = entries[0]
    path = shapes_dir / "target" / "JPEGImages" / entry["image"]
    names = predictor.split.categories
    assert set(entry["scores"]) == set(predictor.split.target)
    found = predictor(path, views=RAW, refine=False)
    for name, score in entry["scores"].items():
        assert score == pytest.approx(
            found.tag_scores[names.index(name)], abs=1e-3
        )


def test_pictures_without_tags_have_predicted_ones(
    transfer_run, shapes_dir, tmp_path
):
    folder = shapes_dir / "target" / "JPEGImages"
    pictures = sorted(folder.glob("val_*"))[:3]
    entries = suggest(
        transfer_run[0], tmp_path, pictures=pictures, page=True, augment=False,
        by="masks", log=lambda _: None,
    )  # fmt: skip
    assert {e["image"] for e in entries} == {p.name for p in pictures}
    assert all(e["tags"] == e["predicted"] for e in entries)
    assert not read_json(tmp_path / "suggestions.json")["given_tags"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"tags_file": "a.csv"}, "--tags_file and --images go together"),
        ({"pictures": ["a.jpg"], "images": "a"}, "not both"),
        ({"by": "luck"}, "by is 'luck'; it is one of tags, masks, teaching"),
    ],
)
def test_what_does_not_go_together(transfer_run, tmp_path, arguments, text):
    with pytest.raises(ConfigError, match=re.escape(text)):
        suggest(transfer_run[0], tmp_path / "out", **arguments)
    assert not (tmp_path / "out").exists()
