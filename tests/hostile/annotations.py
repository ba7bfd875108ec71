"""Broken and hostile annotation files, made from scratch.

`coco_cases()`, `tags_cases()` and `voc_cases()` are the corpus: each case
makes a small data set with one fault in it, and says what must be told.
"""

import json
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from small_data import (
    CAT,
    DOG,
    annotation,
    box,
    document,
    write_coco,
    write_picture,
    write_tags,
    write_voc,
)

HEIGHT, WIDTH = 8, 10
_DELETE = object()


class AnnotationCase(NamedTuple):
    """A data set with one fault.

    Attributes:
        name: unique, for test ids.
        write: makes the data set in a folder and returns the paths that the
            reader takes.
        problem: regular expression that what is told must match.
    """

    name: str
    write: Callable[[Path], tuple[Path, ...]]
    problem: str


def good_document() -> dict[str, Any]:
    """A COCO document without a fault: two pictures, three annotations."""
    runs = {"size": [HEIGHT, WIDTH], "counts": [8, 8, 64]}
    return document(
        {1: (WIDTH, HEIGHT), 2: (WIDTH, HEIGHT)},
        [
            annotation(1, 1, "cup", [box(1, 1, 4, 4)]),
            annotation(2, 1, "teddy bear", runs),
            annotation(3, 2, "cup", [box(2, 2, 6, 6)]),
        ],
    )


def _changed(path: str, value: Any) -> dict[str, Any]:
    """`good_document` with the entry at "key/index/key" replaced."""
    content = good_document()
    *way, last = (int(k) if k.isdigit() else k for k in path.split("/"))
    place = content
    for key in way:
        place = place[key]
    if value is _DELETE:
        del place[last]
    else:
        place[last] = value
    return content


def _coco(name: str, path: str, value: Any, problem: str) -> AnnotationCase:
    def write(folder: Path) -> tuple[Path, ...]:
        paths = write_coco(folder, good_document())
        paths[0].write_text(json.dumps(_changed(path, value)))
        return paths

    return AnnotationCase(name, write, problem)


def _coco_bytes(
    name: str, data: bytes | Callable[[], bytes], problem: str
) -> AnnotationCase:
    """`data` as a function where it is too large to keep."""

    def write(folder: Path) -> tuple[Path, ...]:
        paths = write_coco(folder, good_document())
        paths[0].write_bytes(data() if callable(data) else data)
        return paths

    return AnnotationCase(name, write, problem)


def _zigzag(points: int, side: int) -> list[float]:
    edge = [[0, 0, side, 1], [side, side, 0, 1]]
    return [value for index in range(points // 2) for value in edge[index % 2]]


def _nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def coco_cases() -> list[AnnotationCase]:
    """COCO instances; `write` returns the JSON and the picture folder."""
    return [*_missing(), *_wrong_values(), *_wrong_masks(), *_wrong_texts()]


def _missing() -> Iterator[AnnotationCase]:
    for key in ("images", "annotations", "categories"):
        words = f'the list "{key}" is missing'
        yield _coco(f"no_{key}", key, _DELETE, words)
        yield _coco(f"{key}_is_object", key, {}, words)
    for group, keys in (
        ("images", ("id", "file_name", "width", "height")),
        ("annotations", ("image_id", "category_id", "segmentation")),
        ("categories", ("id", "name")),
    ):
        for key in keys:
            words = rf'{group}\[0\]: "{key}" is missing'
            if key == "segmentation":
                words = "it has no segmentation"
            yield _coco(f"no_{group}_{key}", f"{group}/0/{key}", _DELETE, words)


def _wrong_values() -> Iterator[AnnotationCase]:
    for name, path, value, words in (
        ("image_is_number", "images/0", 5, r"images\[0\]: is 5"),
        ("image_is_null", "images/0", None, r"images\[0\]: is None"),
        ("width_text", "images/0/width", "ten", '"width" is'),
        ("width_nan", "images/0/width", math.nan, '"width" is nan'),
        ("width_negative", "images/0/width", -4, '"width" is -4'),
        ("width_huge", "images/0/width", 10**30, '"width" is'),
        ("width_other", "images/0/width", 11, "picture|RLE has size"),
        ("size_bomb", "images/0/width", 2**30, "more than the limit"),
        ("image_id_float", "images/0/id", 1.5, '"id" is 1.5'),
        ("image_id_twice", "images/1/id", 1, "image 1: its id is taken twice"),
        ("file_twice", "images/1/file_name", "1.png", "is listed twice"),
        ("file_number", "images/0/file_name", 3, '"file_name" is 3'),
        ("file_gone", "images/0/file_name", "gone.png", "no such file"),
        ("file_parent", "images/0/file_name", "../1.png", "leads out"),
        ("file_inner", "images/0/file_name", "a/../../1.png", "leads out"),
        ("file_absolute", "images/0/file_name", "/etc/passwd", "leads out"),
        ("file_drive", "images/0/file_name", "C:\\1.png", "leads out"),
        ("file_share", "images/0/file_name", "\\\\host\\1.png", "leads out"),
        ("file_zero", "images/0/file_name", "1.png\0.jpg", "zero byte"),
        ("file_dot", "images/0/file_name", ".", "names no file"),
        ("file_long", "images/0/file_name", "a" * 5000, "no file can be"),
        (
            "file_half",
            "images/0/file_name",
            "\ud800.png",
            "it must be a file name",
        ),
        ("file_escape", "images/0/file_name", "\x1b[2J.png", r"\\x1b\[2J"),
        ("category_twice", "categories/1/id", 17, "id 17 is taken twice"),
        ("category_name", "categories/1/name", "cat", "'cat' is taken twice"),
        ("category_blank", "categories/0/name", " ", '"name" is'),
        ("category_half", "categories/0/name", "\udfff", '"name" is'),
        ("of_category_0", "annotations/0/category_id", 0, "is the background"),
        ("of_category_9", "annotations/0/category_id", 999, "not in categ"),
        ("of_category_t", "annotations/0/category_id", True, "category_id"),
        ("of_no_image", "annotations/0/image_id", 77, "image_id 77"),
        ("annotation_text", "annotations/0", "x", r"annotations\[0\]: is 'x'"),
        ("crowd_text", "annotations/0/iscrowd", "no", "iscrowd is 'no'"),
        ("crowd_two", "annotations/0/iscrowd", 2, "iscrowd is 2"),
    ):
        yield _coco(name, path, value, words)
    yield _coco("nested_value", "images/0/width", _nested(400), '"width" is')


def _wrong_masks() -> Iterator[AnnotationCase]:
    size = [HEIGHT, WIDTH]
    for name, value, words in (
        ("none", None, "it has no segmentation"),
        ("text", "all", '"segmentation" is'),
        ("empty", [], "segmentation is empty"),
        ("polygon_is_number", [5], "must be a list of x, y"),
        ("three_numbers", [[1, 2, 3]], "must be a list of x, y"),
        ("four_numbers", [[1, 2, 3, 4]], "has 2 points"),
        ("nan", [[1, 2, math.nan, 4, 5, 6]], "not a finite number"),
        ("infinite", [[1, 2, math.inf, 4, 5, 6]], "not a finite number"),
        ("words", [[1, 2, "3", 4, 5, 6]], "not a finite number"),
        ("huge", [[1, 2, 10**400, 4, 5, 6]], "not a COCO|not a finite"),
        ("far_away", [[1, 2, 1e9, 4, 5, 6]], "has x = 1000000000"),
        ("rle_other_size", {"size": [9, 9], "counts": [81]}, "RLE has size"),
        ("rle_no_size", {"counts": [80]}, "RLE has size None"),
        ("rle_no_counts", {"size": size}, '"counts" must be'),
        ("rle_negative", {"size": size, "counts": [-1, 81]}, "negative run"),
        ("rle_short", {"size": size, "counts": [8, 8]}, "covers 16 pixels"),
        ("rle_long", {"size": size, "counts": [8, 800]}, "covers 808 pixels"),
        ("rle_huge", {"size": size, "counts": [2**40, 8]}, "has the run"),
        ("rle_wraps", {"size": size, "counts": [2**32 + 80]}, "has the run"),
        ("rle_digits", {"size": size, "counts": [10**4000] * 99}, "the run"),
        ("rle_float", {"size": size, "counts": [8.5, 71.5]}, "list of integ"),
        ("rle_letters", {"size": size, "counts": "~~\u00e9"}, '"counts" must'),
        ("rle_no_end", {"size": size, "counts": "ooooooooo"}, '"counts" must'),
        ("rle_of_noise", {"size": size, "counts": "0O1N2"}, "RLE"),
    ):
        path = "annotations/0/segmentation"
        yield _coco(f"mask_{name}", path, value, words)


def _wrong_texts() -> Iterator[AnnotationCase]:
    good = json.dumps(good_document()).encode()
    for name, data, words in (
        ("empty_file", b"", "not JSON"),
        ("cut_file", good[: len(good) // 2], "not JSON"),
        ("not_utf_8", good.replace(b"cup", b"c\xffp"), "is not UTF-8"),
        ("utf_16", good.decode().encode("utf-16"), "is not UTF-8"),
        ("zip_file", b"PK\x03\x04" + bytes(50), "not JSON|UTF-8"),
        ("a_list", b"[1]", '"images" is missing|has no "data"'),
        ("a_number", b"1", '"images" is missing'),
        ("many_digits", b"[" + b"9" * 5000 + b"]", "not a (COCO|Label)"),
        ("deep", b"[" * 100_000, "nested too deeply"),
        ("deep_objects", b'{"a":' * 100_000, "nested too deeply"),
    ):
        yield _coco_bytes(name, data, words)
    for name, make, words in (
        ("100_mb_deep", lambda: b"[" * 100_000_000, "brackets|deeply"),
        (
            "100_mb_of_lists",
            lambda: b"[" + b"[]," * 33_000_000 + b"[]]",
            "brackets",
        ),
        (
            "40_mb_of_zeros",
            lambda: good.replace(
                b'"annotations": [', b'"annotations": [' + b"0," * 20_000_000
            ),
            "is 0; it must be",
        ),
    ):
        yield _coco_bytes(name, make, words)

    def zigzag(folder: Path) -> tuple[Path, ...]:
        paths = write_coco(folder, good_document())
        content = good_document()
        content["images"][0].update(width=8000, height=7900)
        content["annotations"] = [
            annotation(1, 1, "cup", [_zigzag(100_000, 7900)])
        ]
        paths[0].write_text(json.dumps(content))
        return paths

    def layers(folder: Path) -> tuple[Path, ...]:
        paths = write_coco(folder, good_document())
        content = good_document()
        content["images"][0].update(width=8000, height=7900)
        runs = {"size": [7900, 8000], "counts": [0, 7900 * 8000]}
        content["annotations"] = [
            annotation(number, 1, "cup", runs) for number in range(1000)
        ]
        paths[0].write_text(json.dumps(content))
        return paths

    yield AnnotationCase("zigzag", zigzag, "its outline is")
    yield AnnotationCase("many_layers", layers, "cover it 1000 times")


def _tags(
    name: str, data: bytes | str, problem: str, picture: str = "a.png"
) -> AnnotationCase:
    def write(folder: Path) -> tuple[Path, ...]:
        paths = write_tags(folder, [], [picture])
        text = data.encode() if isinstance(data, str) else data
        paths[0].write_bytes(text)
        return paths

    return AnnotationCase(f"tags_{name}", write, problem)


def tags_cases() -> list[AnnotationCase]:
    """Tags files; `write` returns the CSV and the picture folder."""
    head = "image,labels\n"
    cases = [
        _tags("empty", "", "the header is"),
        _tags("no_header", "a,cat\n", "the header is 'a,cat'"),
        _tags("header_only", head, "holds no picture"),
        _tags("other_header", "hue,tags\na,cat\n", "the header is"),
        _tags("binary", bytes(range(256)) * 9, "is not UTF-8"),
        _tags("latin_1", head.encode() + b"a,k\xe4tzchen\n", "is not UTF-8"),
        _tags("utf_16", (head + "a,cat").encode("utf-16"), "is not UTF-8"),
        _tags("zero_byte", head + "a\0b,cat\n", "zero byte|NUL"),
        _tags("open_quote", head + '"a,cat\nb,dog\n', "not CSV"),
        _tags("text_after_quote", head + '"a"x,cat\n', "not CSV"),
        _tags("three_cells", head + "a,cat,dog\n", "3 cells instead of 2"),
        _tags("one_cell", head + "a\n", "1 cells instead of 2"),
        _tags("no_image", head + ",cat\n", "is empty"),
        _tags("unknown", head + "a,catt\n", "closest known: cat"),
        _tags("unknown_of_two", head + "a,cat;dragon\n", "'dragon' is no cat"),
        _tags("background", head + "a,0\n", "'0' is no category"),
        _tags("twice", head + "a,cat\na,\n", "none in the other"),
        _tags("two_names", head + "a,cat\na.png,\n", "none in the other"),
        _tags("parent", head + "../a,cat\n", "leads out"),
        _tags("absolute", head + "/etc/passwd,cat\n", "leads out"),
        _tags("backslash", head + "..\\a,cat\n", "leads out"),
        _tags("gone", head + "b,cat\n", "has no .jpg or .png file"),
        _tags("long_name", head + "a" * 3000 + ",cat\n", "no file can be"),
        _tags("long_cell", head + "a," + "c" * 200_000 + "\n", "not CSV"),
        _tags("escape", head + "a,\x1b[2Jcat\n", r"x1b\[2Jcat"),
        _tags("many", head + "a,x\n" * 300_000, "'x' is no category"),
    ]

    def loop(folder: Path) -> tuple[Path, ...]:
        paths = write_tags(folder, ["loop,cat", "a,dog"], ["a.png"])
        (paths[1] / "loop.jpg").symlink_to("loop.jpg")
        return paths

    def pipe(folder: Path) -> tuple[Path, ...]:
        paths = write_tags(folder, [])
        paths[0].unlink()
        os.mkfifo(paths[0])
        return paths

    return [
        *cases,
        AnnotationCase("tags_symlink_loop", loop, "loop has no .jpg"),
        AnnotationCase("tags_pipe", pipe, "not a file"),
    ]


def good_tags() -> list[str]:
    """Ways to write tags that must be understood: name, file content."""
    bom = "\ufeff"
    return [
        bom + "image,labels\r\na,cat\r\n",
        'image,labels\n"a","cat;dog"\n',
        "image,labels\na.png, cat | dog \n\n\n",
        "Image , Labels\na,kitty\n",
    ]


def _voc(name: str, spoil: Callable[[Path], object], problem: str):
    def write(folder: Path) -> tuple[Path, ...]:
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        mask[2:5, 2:5], mask[5:, 5:] = CAT, DOG
        root = write_voc(folder / "voc", {"a": mask, "b": mask})
        names = "".join(f"{name}\n" for name in ("cat", "dog"))
        (root / "classes.txt").write_text(names)
        spoil(root)
        return (root,)

    return AnnotationCase(f"voc_{name}", write, problem)


def voc_cases() -> list[AnnotationCase]:
    """VOC folders; `write` returns the root."""

    def text(name: str, data: str | bytes) -> Callable[[Path], object]:
        data = data.encode() if isinstance(data, str) else data
        return lambda root: (root / name).write_bytes(data)

    def mask(image: Image.Image, kind: str = "PNG") -> Callable[[Path], object]:
        path = "SegmentationClass/a.png"
        return lambda root: image.save(root / path, kind)

    listed, names = "ImageSets/Segmentation/val.txt", "classes.txt"
    size = (WIDTH, HEIGHT)
    odd = Image.new("P", (WIDTH + 1, HEIGHT))
    grey = Image.new("L", size, 38)
    return [
        _voc("no_list", lambda r: (r / listed).unlink(), "no such file"),
        _voc("empty_list", text(listed, "\n \n"), "it lists no picture"),
        _voc("list_twice", text(listed, "a\na\n"), "stands in line 1 too"),
        _voc("list_parent", text(listed, "../a\n"), "leads out"),
        _voc("list_gone", text(listed, "a\nzz\n"), "zz has no .jpg"),
        _voc("list_binary", text(listed, b"\xff\xfe\0a"), "is not UTF-8"),
        _voc("list_columns", text(listed, "a 1\nb -1\n"), "has no .jpg"),
        _voc("classes_twice", text(names, "cat\ncat\n"), "stands twice"),
        _voc("classes_blank", text(names, "cat\n\ndog\n"), "is empty"),
        _voc("classes_other", text(names, "cat\nbird\n"), "'dog'"),
        _voc("classes_many", text(names, "x\n" * 3_000_000), "names; give 1"),
        _voc("mask_size", mask(odd), "is 11 x 8; use"),
        _voc("mask_rgb", mask(Image.new("RGB", size)), "an RGB picture"),
        _voc("mask_16_bit", mask(Image.new("I;16", size)), "grey of 16 bits"),
        _voc("mask_jpeg", mask(Image.new("L", size), "JPEG"), "a JPEG cannot"),
        _voc("mask_grey", mask(grey), "holds 38, the grey values"),
        _voc("mask_value", mask(Image.new("L", size, 77)), "holds 77"),
        _voc(
            "mask_gone",
            lambda root: (root / "SegmentationClass" / "a.png").unlink(),
            "no such file",
        ),
        _voc(
            "mask_empty", text("SegmentationClass/a.png", b""), "it is empty"
        ),
        _voc(
            "picture_cut", text("JPEGImages/a.jpg", b"\xff\xd8\xff\xe0"),
            "truncated",
        ),
        _voc(
            "picture_size",
            lambda root: write_picture(root / "JPEGImages" / "a.jpg", 8, 8),
            "it has 8 x 8",
        ),
    ]  # fmt: skip
