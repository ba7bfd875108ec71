"""Halves of the evaluation set, one of which trains with true masks."""

import numpy as np
from readers import read_voc
from tiny import tiny_config

from benchmarks.upper_bound import write_halves
from keras_wsss.config import split_of
from keras_wsss.data.formats.tags import read_tags
from keras_wsss.data.pseudo_masks import with_pseudo_masks


def test_halves_share_no_picture_and_keep_their_masks(shapes_dir, tmp_path):
    config, out = tiny_config(shapes_dir), tmp_path / "halves"
    split, root = split_of(config), config.data.eval_root
    assert write_halves(config, out, seed=0) == (3, 3)

    tagged = read_tags(out / "train_tags.csv", f"{root}/JPEGImages", split)
    masked = with_pseudo_masks(tagged, out / "masks", split, 10**6).records
    rest = read_voc(out, "rest", split).records
    whole = {r.image_id: r for r in read_voc(root, "val", split).records}
    trained = {record.image_id for record in masked}
    scored = {record.image_id for record in rest}
    assert trained
    assert not trained & scored
    assert trained | scored <= set(whole)
    for record in (*masked, *rest):
        expected = whole[record.image_id]
        assert record.labels == expected.labels
        np.testing.assert_array_equal(record.mask.read(), expected.mask.read())
