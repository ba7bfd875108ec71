"""Masks made of activations and tags, step by step and as a whole."""

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from keras_wsss.config import Config
from keras_wsss.errors import ConfigError
from keras_wsss.layers.mean_field import MeanFieldCrf
from keras_wsss.systems.prior.masks import (
    block_mean,
    build_masks,
    foreground_map,
    ignore_ring,
    mask_scores,
)

K, GRID, SIDE = 3, 4, 11  # 11 cells of stream S, padded to 12 = 3 x 4
OFF = MeanFieldCrf(smoothness_weight=0, appearance_weight=0)


def outputs(seed=0, batch=2):
    rng = np.random.default_rng(seed)

    def maps(side, channels):
        shape = (batch, side, side, channels)
        return tf.constant(rng.uniform(0, 2, shape), tf.float32)

    def classifier():
        return {
            "class_maps": maps(GRID, K) - 1.0,
            "conv4": maps(2 * GRID, 6),
            "conv5": maps(GRID, 5),
            "fc7": maps(GRID, 7),
        }

    segment = {
        "logits": maps(SIDE, K + 1),
        "conv4": maps(SIDE, 6),
        "conv5": maps(SIDE, 5),
        "fc7": maps(SIDE, 7),
    }
    return {"segment": segment, "clean": classifier(), "hidden": classifier()}


def tags(*rows):
    return tf.constant(rows, tf.float32)


def mask_options(**changes):
    """The config's group `prior`."""
    return SimpleNamespace(
        **{**vars(Config.published("prior").prior), **changes}
    )


def build(out, present, layer=OFF, valid=None, colours=None, **options):
    batch = present.shape[0]
    if colours is None:
        rng = np.random.default_rng(1)
        colours = rng.uniform(0, 255, (batch, SIDE, SIDE, 3))
    if valid is None:
        valid = tf.ones((batch, SIDE, SIDE))
    return build_masks(
        out,
        present,
        tf.constant(colours, tf.float32),
        valid,
        mask_options(**options),
        layer,
    )


def test_block_mean_divides_by_the_cells_there_are():
    maps = np.random.default_rng(0).normal(size=(2, SIDE, SIDE))
    result = block_mean(tf.constant(maps, tf.float32), GRID).numpy()
    for row, column in np.ndindex(GRID, GRID):
        block = maps[:, 3 * row : 3 * row + 3, 3 * column : 3 * column + 3]
        np.testing.assert_allclose(
            result[:, row, column], block.mean((1, 2)), atol=1e-5
        )
    released = block_mean(tf.constant(maps, tf.float32), GRID, True).numpy()
    np.testing.assert_allclose(
        released[:, 3], result[:, 3] * [2 / 3, 2 / 3, 2 / 3, 4 / 9], atol=1e-5
    )


def test_grids_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match="class_size"):
        block_mean(tf.zeros((1, 29, 29)), 7)


def scaled(maps):
    low, high = maps.min((1, 2), keepdims=True), maps.max((1, 2), keepdims=True)
    return (maps - low) / (high - low)


def test_foreground_is_the_scaled_mean_of_the_streams():
    out = outputs()
    means = [
        out["clean"]["conv5"].numpy().mean(-1),
        block_mean(tf.reduce_mean(out["segment"]["conv5"], -1), GRID).numpy(),
        out["hidden"]["conv5"].numpy().mean(-1),
    ]
    result = foreground_map(out, GRID, mask_options()).numpy()
    np.testing.assert_allclose(result, scaled(sum(means) / 3), atol=1e-5)
    only = mask_options(fusion_streams=("segment",))
    result = foreground_map(out, GRID, only).numpy()
    np.testing.assert_allclose(result, scaled(means[1]), atol=1e-5)
    del out["hidden"]
    result = foreground_map(out, GRID, mask_options()).numpy()
    np.testing.assert_allclose(result, scaled(sum(means[:2]) / 2), atol=1e-5)


def test_other_activations_on_request():
    out = outputs()
    base = foreground_map(out, GRID, mask_options()).numpy()
    for options in (mask_options(fusion="fc7"), mask_options(add_conv4=True)):
        assert np.abs(foreground_map(out, GRID, options) - base).max() > 0.01


def test_scores_of_background_and_tagged_categories():
    out = outputs()
    present = tags([1, 0, 1], [0, 1, 0])
    foreground = foreground_map(out, GRID, mask_options())
    maps = out["clean"]["class_maps"]
    scores = mask_scores(maps, foreground, present, mask_options()).numpy()
    np.testing.assert_allclose(scores[..., 0] + foreground, 1, atol=1e-6)
    assert scores.max((1, 2))[0, [1, 3]].tolist() == [1, 1]  # exactly
    assert scores.max((1, 2))[1, 2] == 1
    assert not scores[0, ..., 2].any()
    assert not scores[1, ..., [1, 3]].any()
    np.testing.assert_allclose(
        scores[0, ..., [1, 3]],
        scaled(maps.numpy())[0][..., [0, 2]].transpose(2, 0, 1),
        atol=1e-5,
    )


def test_a_map_that_is_the_same_everywhere_is_no_nan():
    maps = tf.ones((1, GRID, GRID, K))
    foreground = tf.ones((1, GRID, GRID))
    for background in ("foreground", "threshold"):
        options = mask_options(background=background)
        scores = mask_scores(maps, foreground, tags([1, 0, 0]), options)
        assert np.isfinite(scores).all()


def test_class_activation_maps_alone_use_one_scale_and_a_threshold():
    maps = np.zeros((1, GRID, GRID, K), np.float32)
    maps[0, 0, 0] = [10.0, 99.0, 4.0]
    maps[0, 1, 1] = [1.9, -50.0, 0.0]
    options = mask_options(background="threshold")
    scores = mask_scores(
        tf.constant(maps), tf.zeros((1, GRID, GRID)), tags([1, 0, 1]), options
    ).numpy()
    np.testing.assert_allclose(scores[0, 0, 0], [0.2, 1.0, 0, 0.4], atol=1e-5)
    np.testing.assert_allclose(scores[0, 1, 1], [0.2, 0.19, 0, 0], atol=1e-5)


def test_untagged_categories_never_stand_in_a_mask():
    out = outputs()
    present = tags([1, 0, 1], [0, 0, 0])
    strong = MeanFieldCrf(2, 5, 3, 30, 5, 3)
    for options in ({"crf_scores": "raw"}, {"crf_scores": "log"}, {}):
        masks = build(out, present, strong, **options)
        for found in (masks.before_crf, masks.target):
            assert set(np.unique(found[0])) <= {0, 1, 3}
            assert not found[1].numpy().any()


@pytest.mark.parametrize("kind", ["log", "raw"])
def test_without_messages_the_crf_changes_nothing(kind):
    masks = build(outputs(), tags([1, 1, 0], [0, 1, 1]), crf_scores=kind)
    np.testing.assert_array_equal(masks.before_crf, masks.target)
    assert masks.target.numpy().any()
    off = build(outputs(), tags([1, 1, 0], [0, 1, 1]), crf=False)
    np.testing.assert_array_equal(off.target, masks.target)


def test_a_smoothing_crf_leaves_fewer_changes_between_neighbours():
    masks = build(
        outputs(), tags([1, 1, 1], [1, 1, 1]), MeanFieldCrf(2, 3, 5, 300, 2)
    )

    def changes(labels):
        return int((np.diff(labels.numpy(), axis=1) != 0).sum())

    assert changes(masks.target) < changes(masks.before_crf)


def test_padding_and_ring_become_void():
    valid = np.ones((2, SIDE, SIDE), np.float32)
    valid[:, 8:] = 0
    present = tags([1, 0, 0], [0, 1, 0])
    masks = build(outputs(), present, valid=tf.constant(valid))
    assert (masks.target.numpy()[:, 8:] == 255).all()
    assert (masks.target.numpy()[:, :8] != 255).all()
    kept = build(
        outputs(), present, valid=tf.constant(valid), void_padding=False
    )
    assert (kept.target.numpy() != 255).all()


def test_ring_is_background_next_to_foreground_but_not_at_the_border():
    mask = np.zeros((1, 6, 6), np.int32)
    mask[0, 2, 1] = 2
    result = ignore_ring(tf.constant(mask)).numpy()[0]
    expected = mask[0].copy()
    expected[1:4, 1:3] = 255
    expected[2, 1] = 2
    np.testing.assert_array_equal(result, expected)


def test_class_maps_of_the_stream_asked_for():
    out = outputs()
    one_map = out["hidden"]["class_maps"].numpy()[..., 0]
    masks = build(out, tags([1, 0, 0], [1, 0, 0]), cam_source="hidden")
    corner = masks.scores.numpy()[:, 0, 0, 1]
    np.testing.assert_allclose(corner, scaled(one_map)[:, 0, 0], atol=1e-5)
    means = build(out, tags([1, 0, 0], [1, 0, 0]), cam_source="mean")
    assert np.abs(means.scores - masks.scores).max() > 0.01
    del out["hidden"]
    with pytest.raises(ConfigError, match="hidden_stream"):
        build(out, tags([1, 0, 0], [1, 0, 0]), cam_source="hidden")


def test_no_gradient_passes():
    out = outputs()
    variables = [
        out["clean"]["class_maps"],
        out["segment"]["conv5"],
        out["hidden"]["conv5"],
    ]
    with tf.GradientTape() as tape:
        tape.watch(variables)
        masks = build(out, tags([1, 0, 1], [0, 1, 0]), MeanFieldCrf())
        total = tf.reduce_sum(masks.scores) + tf.reduce_sum(masks.foreground)
    assert tape.gradient(total, variables) == [None, None, None]


def test_colours_outside_the_picture_say_nothing_to_the_crf():
    """Padding sends no messages: only the CRF looks at colours."""
    crf = MeanFieldCrf(3, 0, 20, 60, 2, 5)
    out, present = outputs(), tags([1, 1, 1], [1, 1, 0])
    valid = np.ones((2, SIDE, SIDE), np.float32)
    valid[:, 6:] = 0
    rng = np.random.default_rng(3)
    one = rng.uniform(0, 255, (2, SIDE, SIDE, 3))
    other = np.where(valid[..., None] > 0, one, one[:, ::-1])

    def masks(colours, weights):
        found = build(out, present, crf, tf.constant(weights), colours)
        return found.target.numpy()[:, :6]

    # Were the padding part of the picture, it would be heard.
    everywhere = np.ones_like(valid)
    assert (masks(one, everywhere) != masks(other, everywhere)).any()
    np.testing.assert_array_equal(masks(one, valid), masks(other, valid))
