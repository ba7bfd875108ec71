"""Formats by name: what has a reader, and one of one's own."""

import dataclasses
import gzip
import json
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from tiny import tiny_config

from keras_wsss.config import DataConfig, split_of
from keras_wsss.data import formats
from keras_wsss.data.formats.format import Format
from keras_wsss.data.problems import raise_problem
from keras_wsss.data.records import Dataset, Record
from keras_wsss.data.show import write_contact_sheet
from keras_wsss.data.verify import verify
from keras_wsss.errors import ConfigError, DataError
from keras_wsss.training.inputs import read_training_data
from keras_wsss.training.run import train


@dataclasses.dataclass(frozen=True)
class ArrayMask:
    path: Path

    @property
    def place(self):
        return f"its mask {self.path}"

    def read(self):
        try:
            return np.load(self.path)
        except (EOFError, OSError) as error:
            raise DataError(f"{self.path}: cannot be read.") from error


class Listed(Format):
    """A list in JSON, picture -> names; masks are arrays beside it."""

    name = "listed"

    def read_source(self, data, split, on_problem=raise_problem):
        return self.read(data.source_annotations, data, split, "source")

    def read_target(self, data, split, on_problem=raise_problem):
        return self.read(data.target_tags, data, split, "target")

    def read(self, path, data, split, domain):
        folder, records = Path(path).parent, []
        ids = split.source_ids if domain == "source" else split.target_ids
        for picture, names in json.loads(Path(path).read_text()).items():
            name = Path(picture).stem
            mask = ArrayMask(folder / f"{name}.npy")
            labels = tuple(sorted(map(split.id_of, names)))
            records.append(
                Record(
                    name,
                    Path(picture),
                    domain,
                    labels,
                    mask if domain == "source" else None,
                    annotated=ids,
                )
            )
        return Dataset(tuple(records))


@pytest.fixture
def listed(monkeypatch):
    monkeypatch.setattr(formats._FORMATS, "_loaded", {})
    return formats.register_format(Listed())


@pytest.fixture
def config(listed, shapes_dir, tmp_path):
    """The tiny data once more, in the format of one's own."""
    config = tiny_config(shapes_dir)
    split, changes = split_of(config), {}
    for part, field in (
        ("source", "source_annotations"),
        ("target", "target_tags"),
    ):
        pictures = {}
        (tmp_path / part).mkdir()
        for record in formats.read(config.data, split, part).records:
            names = [split.name_of(i) for i in record.labels]
            pictures[str(record.image_path)] = names
            if record.mask is not None:
                path = tmp_path / part / f"{record.image_path.stem}.npy"
                np.save(path, record.mask.read())
        (tmp_path / part / "list.json").write_text(json.dumps(pictures))
        changes[f"data.{field}"] = tmp_path / part / "list.json"
    return config.replace(
        {
            **changes,
            "data.source_format": "listed",
            "data.tags_format": "listed",
            "phases.decoder.steps": 2,
            "phases.decoder.warmup_steps": 1,
        }
    )


def test_a_format_of_ones_own_is_trained_on(config, shapes_dir, tmp_path):
    own = read_training_data(config, with_target=True).counts
    usual = read_training_data(tiny_config(shapes_dir), with_target=True).counts
    for count in ("target_pictures", "target_pairs", "source_pairs"):
        assert own[count] == usual[count] > 0
    results = train(config, "decoder", tmp_path / "run", log=lambda line: 0)
    assert results["mask_updates"] == 1


def test_it_is_verified_and_shown(config, shapes_dir, tmp_path):
    usual = verify(tiny_config(shapes_dir).data, split_of(config)).counts
    findings = verify(config.data, split_of(config))
    # So few pictures hold no star.
    kinds = {problem.kind for problem in findings.problems}
    assert kinds <= {"category without a pixel"}
    for part in ("source", "target"):
        assert findings.counts[part].pictures == usual[part].pictures
    assert findings.counts["source"].pixels == usual["source"].pixels
    sheet = tmp_path / "sheet.png"
    write_contact_sheet(sheet, config.data, split_of(config), count=2)
    assert cv2.imread(str(sheet)) is not None


def test_what_is_wrong_with_its_files_is_listed(config, tmp_path):
    first, second, third = sorted((tmp_path / "source").glob("*.npy"))[:3]
    first.unlink()
    np.save(second, np.load(second)[1:])
    third.write_bytes(b"")
    findings = verify(config.data, split_of(config))
    told = {(p.kind, Path(p.path).stem) for p in findings.problems}
    told -= {("category without a pixel", "target")}
    assert told == {
        ("unreadable mask", first.stem),
        ("size mismatch", second.stem),
        ("unreadable mask", third.stem),
    }


@pytest.mark.parametrize("part", ["source", "target", "evaluation"])
def test_what_a_format_lacks_is_said(part, tmp_path):
    wrong = {"source": "csv", "target": "voc", "evaluation": "csv"}[part]
    data = DataConfig().replace(
        {name: "here" for name in formats.FIELDS[part]}
        | {formats.FIELDS[part][0]: wrong}
    )
    with pytest.raises(ConfigError, match=f"_format is '{wrong}', a format"):
        formats.read(data, split_of(tiny_config(tmp_path)), part)


def test_all_that_keeps_a_part_from_being_read_is_said():
    data = DataConfig().replace({"tags_format": "xml", "target_tags": "a.csv"})
    place, kind = formats.problems(data, "target")
    assert place.startswith("config.data.target_images is empty")
    assert kind == (
        "config.data.tags_format: Unknown format 'xml'; use one of "
        f"{', '.join(formats.format_names())}."
    )
    assert formats.problems(data.replace({"tags_format": "csv"}), "target") == [
        place
    ]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        (
            "tags.csv.gz",
            gzip.compress(b"image,labels\n", mtime=0),
            "gzip; unpack it",
        ),
        ("tags.xlsx", b"PK\3\4", "a spreadsheet; save it as CSV"),
    ],
)
def test_what_another_program_opens_is_said(tmp_path, name, content, words):
    path = tmp_path / name
    path.write_bytes(content)
    data = DataConfig().replace({"target_tags": path})
    with pytest.raises(DataError, match=words):
        formats.format_of(data, "target")


def test_an_archive_is_to_be_unpacked(tmp_path):
    path = tmp_path / "export.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("labelmap.txt", "cup:1,2,3::")
    data = DataConfig().replace({"eval_root": path})
    with pytest.raises(DataError, match=r"export\.zip: a zip archive; unpack"):
        formats.format_of(data, "evaluation")
