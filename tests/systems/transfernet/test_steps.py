"""All steps in one graph: what the exported model runs."""

import numpy as np
import pytest
import tensorflow as tf

from keras_wsss.data.images import read_image
from keras_wsss.systems.quality import RAW, Quality, View
from keras_wsss.systems.transfernet.steps import TransferSteps

NOBODY = tf.zeros([0], tf.int32)


@pytest.fixture(scope="module")
def image(shapes_dir):
    folder = shapes_dir / "target" / "JPEGImages"
    return read_image(sorted(folder.glob("val_*.jpg"))[1])


@pytest.mark.parametrize(
    ("asked", "views", "refine"),
    [
        ([], RAW, False),
        ([2, 5], RAW, True),
        ([1, 2, 3], (View(), View(mirror=True)), False),
    ],
)
def test_one_graph_is_as_the_predictor(predictor, image, asked, views, refine):
    graph = tf.function(
        lambda image, ids: predictor.steps.segment(
            image, ids, Quality(views, refine)
        ),
        autograph=False,
    )
    mask, ids, scores = graph(image, tf.constant(asked, tf.int32))
    expected = predictor(image, asked or None, views, refine)
    assert tuple(ids.numpy()) == expected.tags
    assert np.mean(mask.numpy() != expected.mask) < 1e-3
    np.testing.assert_allclose(scores, expected.tag_scores, atol=1e-5)


def test_only_the_most_probable_of_many_tags(predictor, image):
    config = predictor.config.replace({"inference.tag_threshold": 0.0})
    steps = TransferSteps(predictor.net, predictor.split, config)
    _, everything, scores = steps.segment(image, NOBODY, Quality())
    assert tuple(everything.numpy()) == predictor.split.scored_ids
    _, some, _ = steps.segment(image, NOBODY, Quality(), max_tags=2)
    own = scores.numpy()[everything.numpy() - 1]
    best = sorted(everything.numpy()[np.argsort(-own)[:2]])
    assert list(some.numpy()) == best
    # Tags that were asked for are not cut here.
    asked = tf.constant([1, 2, 3])
    assert len(steps.segment(image, asked, Quality(), max_tags=2)[1]) == 3


def test_the_taggers_choices_compete_by_its_scores(predictor):
    config = predictor.config.replace({"inference.rank_by_tag": True})
    steps = TransferSteps(predictor.net, predictor.split, config)
    probabilities = tf.constant([[[0.9, 0.9, 0.4]], [[0.8, 0.3, 0.3]]])
    ids = tf.constant([1, 2])
    scores = tf.constant([0.5, 0.9, 0.1, 0.1, 0.1, 0.1])
    confidence = steps.confidence(scores, ids)
    # 0.9 x 0.5 < 0.8 x 0.9; a claim against background needs no score.
    assert steps.merge(probabilities, ids, confidence).numpy().tolist() == [
        [2, 1, 0]
    ]
    # Tags that are known compete by probability, as all do by default.
    assert steps.merge(probabilities, ids).numpy().tolist() == [[1, 1, 0]]
    plain = predictor.steps.confidence(scores, ids)
    assert predictor.steps.merge(
        probabilities, ids, plain
    ).numpy().tolist() == [[1, 1, 0]]


@pytest.mark.parametrize("found", [False, True])
def test_refinement_says_where_a_label_is_and_not_which(predictor, found):
    """The published merge: ranked by what was before the sharpening."""
    steps = predictor.steps
    before = np.array([[[0.9, 0.6, 0.9, 0.9]], [[0.8, 0.7, 0.1, 0.8]]], "f4")
    after = np.array([[[0.98, 0.99, 0.1, 0.2]], [[0.99, 0.98, 0.9, 0.1]]], "f4")
    scores = np.full(predictor.split.num_categories, 0.5, "f4")
    compiled = predictor.compiled
    if found:
        mask = compiled.merge_chosen(before, after, (1, 2), scores)
    else:
        mask = compiled.merge_known(before, after, (1, 2))
    assert mask.numpy().tolist() == [[1, 2, 2, 0]]
    mask = steps.merge(tf.constant(before), tf.constant([1, 2]), None, after)
    assert mask.numpy().tolist() == [[1, 2, 2, 0]]


def test_refined_masks_of_several_labels(predictor, image):
    plain = predictor(image, [1, 2, 3], RAW, refine=False)
    refined = predictor(image, [1, 2, 3], RAW, refine=True)
    fires = refined.probabilities > predictor.config.inference.mask_threshold
    ranks = np.where(fires, plain.probabilities, -1.0)
    expected = np.where(fires.any(0), 1 + ranks.argmax(0), 0)
    assert np.mean(fires.sum(0) > 1) > 0.1  # there is something to rank
    np.testing.assert_array_equal(refined.mask, expected)
