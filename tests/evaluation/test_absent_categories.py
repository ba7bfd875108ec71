"""What no mask shows is said, and nothing but it is no score."""

from pathlib import Path

import pytest

from keras_wsss.categories import get_split
from keras_wsss.data.records import Record
from keras_wsss.errors import DataError
from keras_wsss.evaluation.run import absent_categories, check_scored

SPLIT = get_split("own", ("cup",), ("cat", "dog"), (), {})


def record(name, *labels):
    ids = tuple(SPLIT.find(label) for label in labels)
    return Record(name, Path(f"{name}.png"), "target", ids)


def test_categories_without_a_pixel_are_named():
    assert absent_categories([record("a", "cat"), record("b")], SPLIT) == [
        "dog"
    ]
    assert absent_categories([record("a", "cat", "dog")], SPLIT) == []


def test_nothing_but_background_is_refused():
    with pytest.raises(DataError, match=r"\(cat, dog\) has a pixel.*0/255"):
        check_scored([record("a"), record("b")], SPLIT)
    check_scored([record("a"), record("b", "dog")], SPLIT)
