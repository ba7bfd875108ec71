"""Broken annotation files, through the readers, `verify` and its command."""

import re
import sys
import time
from pathlib import Path

import pytest
from annotations import (
    coco_cases,
    good_document,
    good_tags,
    tags_cases,
    voc_cases,
)
from limits import run_limited
from readers import read_coco, read_voc
from small_data import SPLIT, Places, write_coco, write_tags

from keras_wsss.commands.data import main
from keras_wsss.config import DataConfig
from keras_wsss.data.formats.tags import read_tags
from keras_wsss.data.verify import MAX_PROBLEMS, verify
from keras_wsss.errors import DataError

COCO, TAGS, VOC = coco_cases(), tags_cases(), voc_cases()
# These take long or much memory, and run once, as a command with limits.
HEAVY = {"100_mb_deep", "100_mb_of_lists", "40_mb_of_zeros"}
# Neither is seen before the picture itself is decoded.
NOT_BY_READERS = {"voc_picture_cut", "voc_picture_size", "voc_mask_size"}
SECONDS, MEGABYTES = 10, 1500


def by_name(case):
    return case.name


def quick(cases):
    return [case for case in cases if case.name not in HEAVY]


def locations(part: str, paths: tuple[Path, ...]) -> DataConfig:
    keys = {
        "coco": ("source_annotations", "source_images"),
        "tags": ("target_tags", "target_images"),
        "voc": ("eval_root",),
    }[part]
    return Places(**dict(zip(keys, paths, strict=True))).data()


def parts() -> list:
    return [
        pytest.param(part, case, id=case.name)
        for part, cases in (("coco", COCO), ("tags", TAGS), ("voc", VOC))
        for case in quick(cases)
    ]


def test_there_are_enough_and_no_name_stands_twice():
    names = [case.name for case in (*COCO, *TAGS, *VOC)]
    assert len(names) == len(set(names)) >= 60


@pytest.mark.parametrize(("part", "case"), parts())
def test_verify_names_file_and_reason(part, case, tmp_path):
    paths = case.write(tmp_path)
    start = time.process_time()
    findings = verify(locations(part, paths), SPLIT)
    assert time.process_time() - start < SECONDS
    sentences = [problem.sentence for problem in findings.problems]
    assert any(re.search(case.problem, text) for text in sentences), sentences
    assert all(text.startswith(str(tmp_path)) for text in sentences)
    assert len(sentences) <= MAX_PROBLEMS + 1
    findings.text().encode()  # can be printed


@pytest.mark.parametrize(("part", "case"), parts())
def test_readers_refuse_in_one_sentence(part, case, tmp_path):
    paths = case.write(tmp_path)
    if case.name in NOT_BY_READERS or case.name == "width_other":
        pytest.skip("only what decodes the pictures can know")
    read = {
        "coco": lambda: read_coco(*paths, SPLIT),
        "tags": lambda: read_tags(*paths, SPLIT),
        "voc": lambda: read_voc(*paths, "val", SPLIT),
    }[part]
    with pytest.raises(DataError) as caught:
        read()
    text = str(caught.value)
    assert re.search(case.problem, text), text
    assert text.startswith(str(tmp_path))
    assert text.isprintable()
    assert len(text) < 1000


@pytest.mark.parametrize("text", good_tags())
def test_good_tags_are_understood(text, tmp_path):
    path, images = write_tags(tmp_path, [], ["a.png"])
    path.write_bytes(text.encode())
    (record,) = read_tags(path, images, SPLIT).records
    assert SPLIT.id_of("cat") in record.labels


def test_the_unspoiled_document_has_no_problem(tmp_path):
    """Else the faults planted in it would prove nothing."""
    paths = write_coco(tmp_path, good_document())
    assert not verify(locations("coco", paths), SPLIT).problems


@pytest.mark.parametrize(
    "case",
    [case for case in COCO if case.name in HEAVY | {"zigzag", "many_layers"}],
    ids=by_name,
)
def test_verify_command_within_limits(case, tmp_path):
    annotations, images = case.write(tmp_path)
    command = [
        *(sys.executable, "-m", "keras_wsss.data", "verify"),
        *("--coco_annotations", annotations, "--coco_images", images),
        *("--split", "small", "--source", "cup,teddy bear"),
        *("--target", "cat,dog"),
    ]
    done, peak = run_limited(command, MEGABYTES, SECONDS)
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode == 1
    assert re.search(case.problem, done.stdout), done.stdout[:2000]
    assert peak < MEGABYTES


def test_command_prints_nothing_that_moves_the_cursor(tmp_path, capsys):
    case = next(case for case in COCO if case.name == "file_escape")
    annotations, images = case.write(tmp_path)
    code = main(
        [
            *("verify", "--coco_annotations", str(annotations)),
            *("--coco_images", str(images), "--split", "small"),
            *("--source", "cup", "--target", "cat"),
        ]
    )
    assert code == 1
    assert "\x1b" not in capsys.readouterr().out
