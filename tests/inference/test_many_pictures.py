"""Pictures side by side and in batches, against one at a time."""

import numpy as np
import pytest
from tiny_prior import tiny_prior_config

from keras_wsss.config import split_of
from keras_wsss.data.images import read_image
from keras_wsss.errors import ConfigError, DataError
from keras_wsss.inference.many_pictures import ManyPictures, Request
from keras_wsss.inference.predictor import Predictor
from keras_wsss.systems.network import build_network
from keras_wsss.systems.quality import Quality, View, choose_quality

# A batch sums float32 in another order, which may move a pixel that lies on a
# threshold; none was seen to. Probabilities differ in the last digits.
MOST_DIFFERENT = 1e-3


@pytest.fixture(scope="module")
def images(shapes_dir):
    paths = sorted((shapes_dir / "target/JPEGImages").glob("val_*"))
    return [read_image(p) for p in paths] + [read_image(paths[0])[:20, :50]]


@pytest.fixture
def counted(predictor, monkeypatch):
    """Numbers of views of every run of the encoder by batches."""
    sizes = []
    encode = type(predictor.steps).encode_batch

    def count(self, inputs, valid, scale):
        sizes.append(inputs.shape[0])
        return encode(self, inputs, valid, scale)

    monkeypatch.setattr(type(predictor.steps), "encode_batch", count)
    fresh = Predictor(predictor.net, predictor.split, predictor.config)
    # Not traced, so that every call counts.
    steps = fresh.compiled.of_scale(1.0)
    steps.encode_batch = lambda inputs, valid: fresh.steps.encode_batch(
        inputs, valid, 1.0
    )
    return fresh, sizes


@pytest.mark.parametrize("tags", [None, ["fish", "star"]])
def test_a_batch_gives_the_masks_of_one_at_a_time(counted, images, tags):
    predictor, sizes = counted
    quality = choose_quality(predictor.steps)
    found = list(predictor.predict_many(images, tags, batch=3))
    assert sizes == [6, 6, 2]  # 7 pictures, each of them mirrored too
    for image, one in zip(images, found, strict=True):
        expected = predictor.predict(image, tags, quality)
        assert one.tags == expected.tags
        np.testing.assert_allclose(
            one.probabilities, expected.probabilities, atol=1e-4
        )
        assert np.mean(one.mask != expected.mask) <= MOST_DIFFERENT


def test_views_of_several_scales_are_batches_of_their_own(predictor, images):
    quality = Quality((View(), View(0.5), View(0.5, True)))
    found = list(predictor.predict_many(images[:2], [1], quality, batch=2))
    for image, one in zip(images[:2], found, strict=True):
        expected = predictor.predict(image, [1], quality)
        np.testing.assert_allclose(
            one.probabilities, expected.probabilities, atol=1e-4
        )


def test_a_network_that_takes_no_batches_goes_on_without(prior_data, images):
    config = tiny_prior_config(prior_data)
    split = split_of(config)
    prior = Predictor(build_network(config, split), split, config)
    found = list(prior.predict_many(images[:2], None, Quality(), batch=4))
    for image, one in zip(images[:2], found, strict=True):
        expected = prior.predict(image, None, Quality())
        np.testing.assert_array_equal(one.mask, expected.mask)


@pytest.mark.parametrize("batch", [1, 3])
def test_a_picture_that_fails_leaves_the_others_alone(predictor, images, batch):
    strip = np.zeros((1, 20_000, 3), np.uint8)

    def read(item):
        if item is None:
            raise DataError("unreadable")
        return Request(item, [1]) if len(item) else Request(note="there")

    there = np.zeros((0, 1, 3), np.uint8)
    items = [images[0], None, strip, there, images[1], *[there] * 20]
    many = ManyPictures(
        predictor,
        Quality(),
        read,
        lambda item, request, found: "new" if found else request.note,
        lambda item, error: str(error),
        batch=batch,
    )
    results = list(many.run(items))
    assert results[:2] == ["new", "unreadable"]
    assert "cut it into parts" in results[2]
    assert results[3:] == ["there", "new", *["there"] * 20]


def test_a_batch_is_at_least_one(predictor):
    with pytest.raises(ConfigError, match="The batch is 0"):
        list(predictor.predict_many([], batch=0))
