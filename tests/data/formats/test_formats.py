"""Formats by name: what has a reader, and one of one's own."""

import json

import pytest

from keras_wsss.categories import get_split
from keras_wsss.data import formats
from keras_wsss.data.formats.format import Format
from keras_wsss.data.records import Dataset, Record
from keras_wsss.errors import ConfigError

SPLIT = get_split("own", source=["disc"], target=["fish", "star"])


class Listed(Format):
    """Tags as JSON: picture -> names."""

    name = "listed"

    def read_target(self, data, split):
        with open(data.target_tags, encoding="utf-8") as file:
            tags = json.load(file)
        return Dataset(
            tuple(
                Record(
                    name,
                    data.target_images / name,
                    "target",
                    tuple(sorted(split.id_of(tag) for tag in found)),
                    annotated=split.target_ids,
                )
                for name, found in tags.items()
            )
        )


class Data:
    """What a reader sees of a config."""

    source_format = tags_format = eval_format = "listed"
    source_annotations = source_images = eval_root = "somewhere"

    def __init__(self, folder):
        self.target_tags = folder / "tags.json"
        self.target_images = folder


@pytest.fixture
def listed(monkeypatch):
    monkeypatch.setattr(formats._FORMATS, "_loaded", {})
    return formats.register_format(Listed())


def test_a_format_of_ones_own_is_read_by_its_name(listed, tmp_path):
    (tmp_path / "tags.json").write_text('{"a.png": ["star"], "b.png": []}')
    first, second = formats.read_target(Data(tmp_path), SPLIT).records
    assert [SPLIT.name_of(i) for i in first.labels] == ["star"]
    assert set(second.absent) == set(SPLIT.target_ids)
    assert "listed" in formats.format_names()


@pytest.mark.parametrize(
    ("read", "field"),
    [
        (formats.read_source, "source_format"),
        (formats.read_evaluation, "eval_format"),
    ],
)
def test_what_a_format_lacks_is_said(listed, tmp_path, read, field):
    with pytest.raises(ConfigError, match=f"{field} is 'listed'"):
        read(Data(tmp_path), SPLIT)


def test_unknown_formats_and_missing_places_are_said(tmp_path):
    data = Data(tmp_path)
    data.tags_format = "xml"
    with pytest.raises(ConfigError, match="'xml'; use one of coco, csv, voc"):
        formats.read_target(data, SPLIT)
    data.target_images = ""
    with pytest.raises(ConfigError, match=r"config\.data\.target_images is em"):
        formats.read_target(data, SPLIT)
