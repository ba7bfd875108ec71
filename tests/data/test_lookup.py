"""One look-up finds what data files name, or says what is like it."""

import pytest

from keras_wsss.data.lookup import (
    Names,
    files_below,
    find_image,
    is_image_name,
    near_image,
    plain_files,
)


def _files(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


@pytest.mark.parametrize(
    ("written", "file"),
    [
        ("a.jpg", "a.jpg"),
        ("a", "a.jpg"),
        ("b.v2", "b.v2.png"),
        ("c", "c.JPEG"),
        ("d.JPG", "d.jpg"),
        ("d.jpg", "d.Jpg"),
        ("d.Jpg", "d.Jpg"),
        ("e.jpg", "e.jpeg"),
        ("e.jpeg", "e.JPG"),
        ("f.jpg", "f.jfif"),
        ("f.jfif", "f.jfif"),
        ("f", "f.jpe"),
        ("sub\\1.jpg", "sub/1.jpg"),
        ("sub\\deeper\\1", "sub/deeper/1.png"),
        ("my%20cup%201.jpg", "my cup 1.jpg"),
        ("sub%2Fa%2Bb.png", "sub/a+b.png"),
        ("caf%C3%A9.jpg", "café.jpg"),
        ("cafe\u0301.jpg", "caf\u00e9.jpg"),
        ("caf\u00e9.jpg", "cafe\u0301.jpg"),
        ("caf\u00e9\\1.JPG", "cafe\u0301/1.jpeg"),
        ("50%.jpg", "50%.jpg"),
    ],
)
def test_spellings_of_one_file(tmp_path, written, file):
    _files(tmp_path, file, "other.jpg")
    assert find_image(tmp_path, written) == tmp_path / file


@pytest.mark.parametrize(
    ("written", "others"),
    [
        ("a%20b.jpg", ["a b.jpg"]),
        ("sub\\a.jpg", ["sub/a.jpg"]),
        ("caf\u00e9.jpg", ["cafe\u0301.jpg"]),
        ("a.jpg", ["a.jpeg", "a.JPG", "a.png"]),
    ],
)
def test_the_exact_name_comes_first(tmp_path, written, others):
    _files(tmp_path, written, *others)
    assert find_image(tmp_path, written) == tmp_path / written


@pytest.mark.parametrize(
    "written", ["../a.jpg", "..\\a.jpg", "%2e%2e/a.jpg", "%2Fetc/a.jpg", "%00"]
)
def test_nothing_outside_of_the_folder_is_found(tmp_path, written):
    _files(tmp_path, "a.jpg", "inner/b.jpg")
    assert find_image(tmp_path / "inner", written) is None


@pytest.mark.parametrize(
    ("written", "files", "hint"),
    [
        ("a", ["a.jpg", "a.png"], ", which may be a.jpg or a.png"),
        ("IMG_1.jpg", ["img_1.jpg", "x.jpg"], ", nearest: img_1.jpg"),
        ("a.png", ["a.jpg"], ", nearest: a.jpg"),
        ("train/a.jpg", ["a.jpg"], ", nearest: a.jpg"),
        ("a.jpg", ["train/a.jpg"], ", nearest: train/a.jpg"),
        ("v1.png", ["v1_mask.png", "other.png"], ", nearest: v1_mask.png"),
        ("a.jpg", ["zzz.jpg"], ""),
    ],
)
def test_what_is_not_sure_is_named(tmp_path, written, files, hint):
    _files(tmp_path, *files)
    assert find_image(tmp_path, written) is None
    near = near_image(tmp_path, written)
    assert near.startswith(hint) if hint else near == ""


def test_a_file_that_comes_later_is_found(tmp_path):
    _files(tmp_path, "a.jpg")
    assert find_image(tmp_path, "b") is None
    _files(tmp_path, "b.JPG")
    assert find_image(tmp_path, "b") == tmp_path / "b.JPG"


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a/b.Jfif", True), ("b.PNG", True), ("b.gif", False), ("jpg", False)],
)
def test_endings_of_pictures(name, expected):
    assert is_image_name(name) == expected


def test_files_below_in_any_case_and_by_links(tmp_path):
    root, other = tmp_path / "root", tmp_path / "elsewhere"
    for place in (root / "b", root / ".hidden", other):
        place.mkdir(parents=True)
        (place / "x.TXT").touch()
        (place / ".y.txt").touch()
        (place / "z.json").touch()
    (root / "a").symlink_to(other)
    (root / "b" / "back").symlink_to(root)  # leads to where it lies
    names = [
        path.relative_to(root).as_posix() for path in files_below(root, ".txt")
    ]
    assert names == ["a/x.TXT", "b/x.TXT"]
    assert len(files_below(root)) == 4
    assert files_below(root / "nothing") == []


def test_names_that_are_given_twice_are_told():
    names = Names(["b", "a", "", "b", "c", "a", "b"])
    assert names.repeated() == {hash("a"), hash("b")}
    assert [name in names for name in ("a", "", "c", "d")] == [True] * 3 + [
        False
    ]
    assert not Names().repeated()


def test_plain_files_are_those_that_lie_in_the_folder_itself(tmp_path):
    (tmp_path / "a.jpg").touch()
    (tmp_path / "b").mkdir()
    (tmp_path / "c.jpg").symlink_to(tmp_path / "a.jpg")
    plain = plain_files(tmp_path)
    assert [name for name in ("a.jpg", "b", "c.jpg", "d") if name in plain] == [
        "a.jpg"
    ]
    assert "a.jpg" not in plain_files(tmp_path / "none")
