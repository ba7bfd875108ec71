"""What is kept in temporary files is what was put in."""

import io
import os
import pickle
import tempfile

import numpy as np
import pytest

from keras_wsss.data import aside
from keras_wsss.data.aside import Aside, Column, Spool, SpooledSet


@pytest.fixture(autouse=True)
def little_in_memory(monkeypatch):
    monkeypatch.setattr(aside, "_HELD", 50)
    monkeypatch.setattr(aside, "_TOGETHER", 7)
    monkeypatch.setattr(aside, "_ROWS", 7)


def _filled():
    """Kept bytes and plain ones, of many pieces."""
    kept, plain = Aside(), b""
    for number in range(40):
        piece = bytes([number]) * (number % 9)
        kept.append(piece)
        plain += piece
    return kept, plain


def _same(kept, plain):
    assert len(kept) == len(plain)
    for start in range(0, len(plain), 3):
        for stop in range(start, len(plain) + 1, 11):
            assert kept.read(start, stop) == plain[start:stop]


def test_bytes_are_read_from_file_and_memory():
    kept, plain = _filled()
    assert 0 < kept._filed < len(plain)
    _same(kept, plain)
    copy = pickle.loads(pickle.dumps(kept))
    copy.append(b"x" * 90)
    _same(copy, plain + b"x" * 90)
    _same(kept, plain)


def test_nothing_is_left_in_the_temporary_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    kept, _ = _filled()
    assert kept._filed
    assert list(tmp_path.iterdir()) == []


def test_where_no_file_can_be_made_all_is_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    kept, plain = _filled()
    assert not kept._filed
    _same(kept, plain)


def test_where_the_disk_is_full_the_rest_is_in_memory(monkeypatch):
    write, calls = os.pwrite, []

    def full(file, data, offset):
        calls.append(offset)
        if len(calls) > 2:
            raise OSError(28, "No space left on device")
        return write(file, data[:30], offset)  # a part

    monkeypatch.setattr(os, "pwrite", full)
    kept, plain = _filled()
    assert kept._filed
    assert len(calls) == 3
    _same(kept, plain)


def test_a_forked_process_does_not_write_into_its_parents_file(monkeypatch):
    kept, plain = _filled()
    child = Aside()
    vars(child).update(vars(kept))
    child._held = bytearray(kept._held)
    monkeypatch.setattr(os, "getpid", lambda: 0)
    child.append(b"child" * 30)
    monkeypatch.undo()
    monkeypatch.setattr(aside, "_HELD", 50)
    kept.append(b"parent" * 30)
    _same(child, plain + b"child" * 30)
    _same(kept, plain + b"parent" * 30)


def test_a_spool_gives_what_was_put_in():
    plain = [(i, f"ü{i}", (i,) * (i % 4), None) for i in range(50)]
    spool = Spool(plain)
    assert list(spool) == plain
    assert [spool[i] for i in range(-50, 50)] == [*plain, *plain]
    with pytest.raises(IndexError):
        spool[50]
    assert list(Spool()) == []


def test_a_spooled_set_is_a_set():
    rng = np.random.default_rng(0)
    # -1 and -2 have one hash; 1024 * i would stand in one place.
    values = [-1, -2, 0, 2**62, "", "a", *(1024 * i for i in range(2000))]
    values += [f"{i}.jpg" for i in rng.integers(0, 1000, 3000).tolist()]
    spooled, plain = SpooledSet(), set()
    for value in values:
        assert (value in spooled) == (value in plain)
        spooled.add(value)
        spooled.add(value)
        plain.add(value)
    assert all(value in spooled for value in values)
    assert "1000.jpg" not in spooled
    assert len(spooled._values) == len(plain)


@pytest.mark.parametrize("shape", [(30,), (30, 3), (0, 2)])
def test_a_column_is_written_and_read_as_numpy_does(shape):
    rows = np.arange(np.prod(shape), dtype=np.int32).reshape(shape)
    column = Column(rows)
    np.testing.assert_array_equal(column[3:9], rows[3:9])
    file = io.BytesIO()
    column.write_npy(file)
    file.seek(0)
    np.testing.assert_array_equal(np.load(file), rows)
    file.seek(0)
    again = Column.of_npy(file)
    assert again[:].dtype == rows.dtype
    np.testing.assert_array_equal(again[:], rows)


def test_what_is_no_column_is_refused():
    for array in (np.array([None]), np.array(1), np.zeros((2, 3)).T):
        file = io.BytesIO()
        np.save(file, array)
        file.seek(0)
        with pytest.raises(ValueError, match="no rows of numbers"):
            Column.of_npy(file)
    with pytest.raises(ValueError, match="magic"):
        Column.of_npy(io.BytesIO(b"no array"))
