"""Masks of target pictures: a person's go before what a model made."""

import json

import numpy as np
import pytest
from small_data import CAT, DOG, SPLIT, Places, write_tags, write_voc

from keras_wsss.data.formats.tags import read_tags
from keras_wsss.data.masks import write_palette_mask
from keras_wsss.data.pseudo_masks import MANIFEST
from keras_wsss.data.sampling import PairSampler
from keras_wsss.data.target_masks import mask_places, with_target_masks
from keras_wsss.errors import ConfigError, DataError

SIZE = (10, 12)  # rows and columns of the pictures of `write_tags`
LINES = ["a,cat", "b,cat;dog", "c,", "d,dog;?cat"]


def mask(*values):
    """A mask whose first rows hold the values, one row each."""
    array = np.zeros(SIZE, np.uint8)
    array[: len(values)] = np.array(values, np.uint8)[:, None]
    return array


def write_masks(folder, masks, names=("dog", "cat")):
    """A folder of masks; by default dog has index 1, cat 2."""
    for name, values in masks.items():
        path = folder / "SegmentationClass" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_palette_mask(path, values)
    (folder / "classes.txt").write_text("".join(f"{n}\n" for n in names))
    return folder


@pytest.fixture
def tagged(tmp_path):
    """Records of four pictures, and where they lie."""
    tags, images = write_tags(
        tmp_path, LINES, ["a.png", "b.png", "c.png", "d.png"]
    )
    return read_tags(tags, images, SPLIT), Places(
        target_tags=str(tags), target_images=str(images)
    )


def read(tagged, text, **fields):
    dataset, places = tagged
    data = places.data(target_masks=text, **fields)
    found = with_target_masks(dataset, data, SPLIT)
    return found, {r.image_id: r for r in found.dataset.records}


def pseudo(folder, names):
    write_masks(folder, {name: mask(1) for name in names})
    manifest = {"complete": True, "made_by": "a model"}
    (folder / MANIFEST).write_text(json.dumps(manifest))
    return folder


def test_a_persons_masks_need_not_be_complete(tagged, tmp_path):
    folder = write_masks(tmp_path / "own", {"a": mask(2, 2)})
    found, records = read(tagged, f"person:{folder}")
    np.testing.assert_array_equal(records["a"].read_mask(), mask(CAT, CAT))
    assert [name for name, r in records.items() if r.trusted] == ["a"]
    assert records["b"].mask is None
    assert (found.persons, found.retagged) == (1, ())


def test_a_persons_mask_goes_before_a_pseudo_label(tagged, tmp_path):
    own = write_masks(tmp_path / "own", {"a": mask(2, 2)})
    made = pseudo(tmp_path / "made", "bcd")
    _, records = read(tagged, f"{made},person:{own}")
    np.testing.assert_array_equal(records["a"].read_mask(), mask(CAT, CAT))
    np.testing.assert_array_equal(records["b"].read_mask(), mask(DOG))
    assert [r.trusted for r in records.values()] == [True, *[False] * 3]


def test_pseudo_labels_are_needed_of_all_others(tagged, tmp_path):
    own = write_masks(tmp_path / "own", {"a": mask(2)})
    made = pseudo(tmp_path / "made", "bc")
    with pytest.raises(DataError, match=r"d\.png: no such file"):
        read(tagged, f"pseudo:{made},person:{own}")


def test_tags_follow_a_persons_mask(tagged, tmp_path):
    """Both ways; and what was unknown is known now."""
    folder = write_masks(
        tmp_path / "own",
        {"a": mask(1), "b": mask(1, 2), "c": mask(2), "d": mask(1)},
    )
    found, records = read(tagged, f"person:{folder}")
    assert {name: r.labels for name, r in records.items()} == {
        "a": (DOG,), "b": (CAT, DOG), "c": (CAT,), "d": (DOG,)
    }  # fmt: skip
    assert records["a"].absent == (CAT,)
    assert records["d"].absent == (CAT,)  # its tag was "?cat"
    assert found.retagged == ("a", "c", "d")


def test_what_a_mask_leaves_open_keeps_its_tag(tagged, tmp_path):
    folder = write_masks(
        tmp_path / "own", {"b": mask(1, 255), "d": mask(2, 255)}
    )
    _, records = read(tagged, f"person:{folder}")
    assert records["b"].labels == (CAT, DOG)
    assert records["d"].labels == (CAT, DOG)
    assert records["d"].uncertain == ()


def test_masks_without_a_category_say_nothing_of_it(tagged, tmp_path):
    folder = write_masks(
        tmp_path / "own", {"b": mask(1), "d": mask(1)}, names=["dog", "zebra"]
    )
    found, records = read(tagged, f"person:{folder}")
    assert records["b"].labels == (CAT, DOG)
    assert records["d"].uncertain == (CAT,)
    assert found.retagged == ()


def test_other_formats_are_read_by_their_name(tagged, tmp_path):
    root = write_voc(tmp_path / "voc", {"a": mask(2), "b": mask(2, 1)})
    (root / "classes.txt").write_text("dog\ncat\n")
    _, records = read(tagged, f"person:voc:{root}", eval_set="val")
    np.testing.assert_array_equal(records["b"].read_mask(), mask(CAT, DOG))
    assert records["a"].trusted
    # What LabelMe writes, of which nothing but cats were drawn.
    points = [[0, 0], [SIZE[1], 0], [SIZE[1], 1], [0, 1]]
    content = {
        "imagePath": "a.png",
        "imageWidth": SIZE[1],
        "imageHeight": SIZE[0],
        "shapes": [{"label": "cat", "points": points}],
    }
    (tmp_path / "drawn").mkdir()
    (tmp_path / "drawn" / "a.json").write_text(json.dumps(content))
    _, records = read(tagged, f"person:labelme:{tmp_path / 'drawn'}")
    np.testing.assert_array_equal(records["a"].read_mask(), mask(CAT))
    assert [name for name, r in records.items() if r.trusted] == ["a"]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("person:", "'person:' names no place; give a folder"),
        ("a,pseudo:b", "pseudo labels of several folders"),
    ],
)
def test_what_names_no_masks(text, error):
    with pytest.raises(ConfigError, match=error):
        mask_places(text)


def test_masks_that_cannot_be_meant(tagged, tmp_path):
    folder = write_masks(tmp_path / "own", {"z": mask(1)})
    with pytest.raises(DataError, match="of no tagged picture, such as 'z'"):
        read(tagged, f"person:{folder}")
    with pytest.raises(DataError, match="there is no mask"):
        read(tagged, f"person:{tmp_path / 'nothing'}")
    twice = write_masks(tmp_path / "twice", {"a": mask(1)})
    again = write_masks(tmp_path / "again", {"a": mask(1)})
    with pytest.raises(DataError, match="second mask of a person of 'a'"):
        read(tagged, f"person:{twice},person:{again}")
    (again / "classes.txt").unlink()
    with pytest.raises(DataError, match=r"classes\.txt: no such file"):
        read(tagged, f"person:{again}")


def test_other_masks_have_another_digest(tagged, tmp_path):
    digests = [
        read(tagged, f"person:{write_masks(tmp_path / name, {'a': values})}")[
            0
        ].digest
        for name, values in (("1", mask(1)), ("2", mask(1)), ("3", mask(2)))
    ]
    assert digests[0] == digests[1] != digests[2]


def test_a_person_s_masks_are_drawn_more_often(tagged, tmp_path):
    folder = write_masks(tmp_path / "own", {"a": mask(2)})
    _, records = read(tagged, f"person:{folder}")
    kept = [records["a"], records["b"]]
    sampler = PairSampler(kept, trusted_draws=5)
    drawn = [int(sampler.slot(n).record[0]) for n in range(7)]
    assert sorted(drawn) == [0] * 5 + [1, 1]
