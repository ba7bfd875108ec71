"""What becomes of errors: one sentence for the user's own, else a traceback."""

import errno

import pytest

from keras_wsss.commands.cli import EXIT_USER_ERROR, exit_with
from keras_wsss.files import write_json


def ended(work, capsys):
    with pytest.raises(SystemExit) as caught:
        exit_with(work)
    return caught.value.code, capsys.readouterr().err


@pytest.mark.parametrize("kind", ["file below a file", "folder"])
def test_a_path_that_cannot_be_written_is_named(kind, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    path = tmp_path / ("folder" if kind == "folder" else "file/results.json")
    named = tmp_path / kind.split()[0]
    code, text = ended(lambda: write_json(path, {}), capsys)
    assert code == EXIT_USER_ERROR
    assert text.startswith(f"error: {named}")
    assert text.count("\n") == 1
    assert "Give another path" in text
    assert (tmp_path / "file").read_text() == ""
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder"]


def test_errors_of_our_own_keep_their_traceback():
    def work():
        raise OSError(errno.EBADF, "Bad file descriptor")

    with pytest.raises(OSError, match="Bad file descriptor"):
        exit_with(work)
