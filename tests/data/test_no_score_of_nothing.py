"""What would be scored by nothing, or by other categories, is a problem."""

import numpy as np
import pytest
from small_data import CAT, DOG, SPLIT, Places, write_voc

from keras_wsss.data.formats.voc import read_classes
from keras_wsss.data.verify import verify
from keras_wsss.errors import DataError


def _kinds(root):
    findings = verify(Places(eval_root=root).data(), SPLIT)
    return [problem.kind for problem in findings.problems]


@pytest.mark.parametrize(
    ("values", "kinds"),
    [
        ((CAT, DOG), []),
        ((CAT, CAT), ["category without a pixel"]),
        ((255, 0), ["nothing to score"]),
    ],
)
def test_scored_categories_need_pixels(tmp_path, values, kinds):
    mask = np.zeros((6, 8), np.uint8)
    mask[:2], mask[2:4] = values
    root = write_voc(tmp_path, {"a": mask})
    (root / "classes.txt").write_text("cat\ndog\n")
    assert _kinds(root) == kinds


@pytest.mark.parametrize(
    "first",
    [
        ["_background_"],
        ["__ignore__", "_background_"],
        ["Background"],
        ["BG"],
        ["__background__"],
    ],
)
def test_names_of_the_background_take_no_index(tmp_path, first):
    text = "\n".join([*first, "cat", "dog"])
    (tmp_path / "classes.txt").write_text(text)
    assert read_classes(tmp_path) == ("cat", "dog")


def test_background_behind_a_category_is_refused(tmp_path):
    (tmp_path / "classes.txt").write_text("cat\n_background_\ndog\n")
    with pytest.raises(DataError, match="stands behind a category"):
        read_classes(tmp_path)
