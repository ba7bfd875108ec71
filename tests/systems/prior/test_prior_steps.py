"""From pictures to masks with the prior system."""

import numpy as np
import pytest
import tensorflow as tf
from readers import read_voc

from keras_wsss.evaluation.evaluate import evaluate
from keras_wsss.inference.one_picture import OnePicture
from keras_wsss.inference.predictor import Predictor
from keras_wsss.systems.prior.steps import PriorSteps
from keras_wsss.systems.quality import Quality, choose_quality

CELLS = 9


@pytest.fixture(scope="module")
def predictor(prior_run):
    return Predictor.from_workdir(prior_run[0])


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).integers(0, 256, (40, 64, 3), np.uint8)


def logits(seed=0, labels=7):
    rng = np.random.default_rng(seed)
    values = rng.normal(0, 2, (1, CELLS, CELLS, labels))
    return tf.constant(values, tf.float32)


def changed(predictor, **prior):
    config = predictor.config.replace({"prior": prior})
    return PriorSteps(predictor.net, predictor.split, config)


def test_predicts_with_and_without_tags(predictor, image):
    prediction = predictor(image)
    assert prediction.mask.shape == (40, 64)
    targets = predictor.split.target_ids
    assert set(np.unique(prediction.mask)) <= {0, *targets}
    sources = np.array(predictor.split.source_ids) - 1
    assert not prediction.tag_scores[sources].any()
    assert (prediction.tag_scores[np.array(targets) - 1] > 0).all()
    asked = predictor(image, tags=[targets[0], targets[2]])
    assert asked.tags == (targets[0], targets[2])
    assert asked.probabilities.shape == (2, 40, 64)
    assert set(np.unique(asked.mask)) <= {0, targets[0], targets[2]}


def upsampled(values):
    places = np.linspace(0, CELLS - 1, 8 * (CELLS - 1) + 1)
    lower = np.minimum(places.astype(int), CELLS - 2)
    share = (places - lower)[:, None, None]
    rows = values[lower] * (1 - share) + values[lower + 1] * share
    share = share[:, 0][None]
    return rows[:, lower] * (1 - share) + rows[:, lower + 1] * share


@pytest.mark.parametrize(("gate", "value"), [("zero", 0.0), ("neg_inf", -1e9)])
def test_a_label_wins_against_background_and_gated_ones(predictor, gate, value):
    steps = changed(predictor, gate_value=gate)
    targets = predictor.split.target_ids
    kept = [1, 4]  # columns of the logits
    ids = tf.constant([targets[column - 1] for column in kept])
    found = steps.foreground(None, [logits()], ids, 1.0).numpy()
    gated = logits().numpy()[0].copy()
    others = [c for c in range(1, 7) if c not in kept]
    gated[..., others] = value
    winner = upsampled(gated).argmax(-1)
    mask = steps.merge(tf.constant(found), ids).numpy()
    expected = np.where(
        np.isin(winner, kept), np.array((0, *targets))[winner], 0
    )
    np.testing.assert_array_equal(mask, expected)
    assert mask.any()


def test_source_categories_never_win(predictor):
    source, target = predictor.split.source_ids[0], predictor.split.target_ids
    ids = tf.constant([source, target[0]])
    found = predictor.steps.foreground(None, [logits()], ids, 1.0).numpy()
    assert not found[0].any()
    assert found[1].max() > 0.5


def test_crf_without_messages_changes_nothing(predictor):
    steps = changed(
        predictor,
        gate_value="neg_inf",
        test_smoothness_weight=0.0,
        test_appearance_weight=0.0,
    )
    ids = tf.constant(predictor.split.target_ids[:3])
    parts = [
        logits(),
        tf.zeros((1, CELLS, CELLS, 3)),
        tf.ones((1, CELLS, CELLS)),
    ]
    np.testing.assert_allclose(
        steps.crf_foreground(parts, ids),
        steps.foreground(None, parts, ids, 1.0),
        atol=1e-4,
    )


@pytest.mark.parametrize("mirror", [False, True])
def test_the_crf_of_the_test_knows_the_padding(predictor, image, mirror):
    """What is beyond the picture sends no message."""
    steps = predictor.steps
    ids = tf.constant(predictor.split.target_ids[:3])
    tall = np.ascontiguousarray(image.transpose(1, 0, 2))
    _, (_, colours, valid) = steps.encode(tall, 1.0, mirror)
    beyond = valid.numpy() == 0
    assert beyond[0].any(0).tolist() == beyond[0].all(0).tolist()
    np.testing.assert_allclose(colours.numpy()[beyond], 0, atol=1)
    cells = np.flatnonzero(~beyond[0].any(0))
    # Pixels between cells of the picture.
    inside = slice(8 * cells[0], 8 * cells[-1] + 1)

    def found(valid, offset):
        values = logits() + offset * beyond[..., None]
        parts = [tf.cast(values, tf.float32), colours, valid]
        return steps.crf_foreground(parts, ids).numpy()[:, :, inside]

    one = found(valid, 0.0)
    other = found(valid, np.array([9.0, 0, 0, 0, 0, 0, 0]))
    np.testing.assert_allclose(one, other, atol=1e-5)
    everywhere = found(tf.ones_like(valid), np.array([9.0, 0, 0, 0, 0, 0, 0]))
    assert np.abs(one - everywhere).max() > 1e-3


def test_maps_and_training_masks(predictor, image):
    targets = predictor.split.target_ids
    picture = OnePicture(predictor, image)
    maps = picture.maps(targets[:2])
    assert maps["class_maps"].shape == (2, 3, 3)
    assert maps["foreground"].min() == 0
    masks = picture.training_masks(targets[1:2])
    assert set(masks) == {"masks on line", "masks on line, no CRF"}
    for mask in masks.values():
        assert mask.shape == (40, 64)
        assert set(np.unique(mask)) <= {0, targets[1]}


def test_an_oracle_is_marked_in_every_table(predictor):
    assert changed(predictor).method == "Prior"
    assert "oracle" in changed(predictor, tags="crop_gt").method


def test_evaluation_has_rows_for_gate_crf_and_masks(predictor, prior_data):
    records = read_voc(prior_data / "target", "val", predictor.split).records[
        :2
    ]
    results = evaluate(
        predictor, records, augment=False, refine=False, log=lambda _: None
    )
    rows = {
        (row["method"], row.get("tags"), row.get("inference", ""))
        for row in results["rows"]
    }
    for tags in ("oracle", "predicted"):
        assert ("Prior", tags, "raw") in rows
        assert ("Prior", tags, "raw + own CRF") in rows
    assert ("Prior", "none", "raw") in rows
    assert ("masks on line", "oracle", "") in rows
    assert ("masks on line, no CRF", "oracle", "") in rows
    assert any(method == "class activation maps" for method, *_ in rows)
    assert not any("densified" in method for method, *_ in rows)


def test_the_crf_takes_every_scale(predictor, image):
    config = predictor.config.replace({"inference.scales": (1.0, 0.5)})
    scaled = Predictor(predictor.net, predictor.split, config)
    targets = predictor.split.target_ids[:2]
    found = scaled(image, tags=targets)
    views = choose_quality(scaled.steps).views
    assert len(views) == 4
    alone = [
        predictor.predict(image, targets, Quality((view,), own_crf=True))
        for view in views
    ]
    np.testing.assert_allclose(
        found.probabilities,
        np.mean([one.probabilities for one in alone], axis=0),
        atol=1e-6,
    )


def test_the_crf_comes_before_the_mask_where_it_is_asked_for(predictor, image):
    targets = predictor.split.target_ids[:2]
    quality = Quality(own_crf=True)
    smoothed = predictor.predict(image, targets, quality)
    np.testing.assert_array_equal(
        smoothed.probabilities,
        OnePicture(predictor, image).probabilities(targets, own_crf=True),
    )
    plain = predictor.predict(image, targets, Quality())
    assert np.abs(smoothed.probabilities - plain.probabilities).max() > 1e-3
    graph = tf.function(
        lambda image, ids: predictor.steps.segment(image, ids, quality),
        autograph=False,
    )
    mask, _, _ = graph(image, tf.constant(targets, tf.int32))
    assert np.mean(mask.numpy() != smoothed.mask) < 1e-3
