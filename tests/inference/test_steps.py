"""All steps in one graph: what the exported model runs."""

import numpy as np
import pytest
import tensorflow as tf

from keras_wsss.data.images import read_image
from keras_wsss.inference.steps import SegmentationSteps
from keras_wsss.inference.views import RAW, View

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
        lambda image, ids: predictor.steps.segment(image, ids, views, refine),
        autograph=False,
    )
    mask, ids, scores = graph(image, tf.constant(asked, tf.int32))
    expected = predictor(image, asked or None, views, refine)
    assert tuple(ids.numpy()) == expected.tags
    assert np.mean(mask.numpy() != expected.mask) < 1e-3
    np.testing.assert_allclose(scores, expected.tag_scores, atol=1e-5)


def test_only_the_most_probable_of_many_tags(predictor, image):
    config = predictor.config.copy_and_resolve_references()
    with config.unlocked():
        config.inference.tag_threshold = 0.0
    steps = SegmentationSteps(predictor.net, predictor.split, config)
    _, everything, scores = steps.segment(image, NOBODY, RAW, False)
    assert tuple(everything.numpy()) == predictor.split.scored_ids
    _, some, _ = steps.segment(image, NOBODY, RAW, False, max_tags=2)
    own = scores.numpy()[everything.numpy() - 1]
    best = sorted(everything.numpy()[np.argsort(-own)[:2]])
    assert list(some.numpy()) == best
    # Tags that were asked for are not cut here.
    asked = tf.constant([1, 2, 3])
    assert len(steps.segment(image, asked, RAW, False, max_tags=2)[1]) == 3


def test_the_taggers_choices_compete_by_its_scores(predictor):
    config = predictor.config.copy_and_resolve_references()
    with config.unlocked():
        config.inference.rank_by_tag = True
    steps = SegmentationSteps(predictor.net, predictor.split, config)
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
