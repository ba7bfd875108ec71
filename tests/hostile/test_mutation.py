"""A short fuzz of the readers; `make fuzz` runs the long one."""

import random

from mutation import fuzz, mutate, with_right_checksums
from pictures import colours, encode


def test_no_reader_raises_anything_but_user_errors(tmp_path):
    counts, failures = fuzz(5, seed=0, out=tmp_path / "failures")
    assert not failures, failures[0]
    assert counts.keys() >= {"coco", "tags", "picture", "mask", "voc"}


def test_failures_are_kept_and_told(tmp_path, monkeypatch):
    """A planted fault: the readers raise what they must not."""

    def broken(path, *args):
        raise IndexError("planted")

    monkeypatch.setattr("mutation.read_image", broken)
    _, failures = fuzz(1, seed=0, out=tmp_path / "failures")
    path, text = failures[0]
    assert path.parent == tmp_path / "failures"
    assert path.name.startswith("picture_0_")
    assert path.stat().st_size
    assert "IndexError: planted" in text


def test_a_seed_gives_the_same_inputs():
    data = encode(colours(), "PNG")
    one, other = (
        [mutate(data, rng) for _ in range(200)]
        for rng in (random.Random(3), random.Random(3))
    )
    assert one == other
    assert len(set(one)) > 150


def test_mended_checksums_leave_good_files_alone():
    data = encode(colours(), "PNG")
    assert with_right_checksums(data) == data
    broken = data[:20] + b"\xff" + data[21:]
    assert with_right_checksums(broken)[:29] == broken[:29]
    assert with_right_checksums(broken) != broken
