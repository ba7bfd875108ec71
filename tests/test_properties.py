"""Properties that hold for any input, checked on generated ones."""

import io

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from keras_wsss.data.masks import read_palette_mask, write_palette_mask
from keras_wsss.data.records import Record
from keras_wsss.data.sampling import PairSampler
from keras_wsss.data.segmentation import checked_runs, encode, paint
from keras_wsss.evaluation.metrics.confusion import ConfusionMatrix
from keras_wsss.layers.mean_field import MeanFieldCrf
from keras_wsss.layers.pooling import (
    MaxPoolingWithSwitches,
    UnpoolingWithSwitches,
)
from keras_wsss.training.cache_entry import (
    pack_switches,
    unpack_switches,
)

settings.register_profile(
    "tests", max_examples=40, deadline=None, derandomize=True
)
settings.load_profile("tests")

masks = arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=24))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("masks")


@given(mask=masks)
def test_palette_masks_survive_writing_and_reading(folder, mask):
    path = folder / "mask.png"
    write_palette_mask(path, mask)
    np.testing.assert_array_equal(read_palette_mask(path), mask)
    with Image.open(io.BytesIO(path.read_bytes())) as image:
        assert image.mode == "P"


@given(
    labels=st.lists(
        st.sets(st.integers(1, 20), max_size=6), min_size=1, max_size=12
    ).filter(any),
    per_image=st.integers(1, 4),
    seed=st.integers(0, 2**64 - 1),
    epoch=st.integers(0, 10**6),
)
def test_every_epoch_asks_each_pair_once(labels, per_image, seed, epoch):
    records = [
        Record(str(index), f"{index}.jpg", "source", tuple(sorted(found)))
        for index, found in enumerate(labels)
    ]
    sampler = PairSampler(records, pairs_per_image=per_image, seed=seed)
    count = sampler.slots_per_epoch
    asked = []
    for number in range(epoch * count, (epoch + 1) * count):
        slot = sampler.slot(number)
        asked += [
            (int(slot.record[0]), int(label))
            for label, weight in zip(
                slot.labels[0], slot.weights[0], strict=True
            )
            if weight
        ]
    wanted = [(i, label) for i, found in enumerate(labels) for label in found]
    assert sorted(asked) == sorted(wanted)


# Few values, so that windows have ties.
features = arrays(
    np.float32,
    st.tuples(*map(st.just, (1, 4, 6, 2))),
    elements=st.sampled_from([0.0, 0.5, 1.0, -1.0, 3.0]),
)


@given(features=features)
def test_pooling_inverts_unpooling_of_what_it_pooled(features):
    pool, unpool = MaxPoolingWithSwitches(), UnpoolingWithSwitches()
    values, switches = pool(features)
    whole = unpool([values, switches]).numpy()
    assert whole.shape == features.shape
    # Each maximum lies where it was, and nothing else does.
    kept = whole != 0
    np.testing.assert_array_equal(whole[kept], features[kept])
    np.testing.assert_array_equal(
        whole.reshape(1, 2, 2, 3, 2, 2).sum((2, 4)), values
    )
    positive = tf.nn.relu(whole)
    np.testing.assert_array_equal(
        pool(positive)[0], np.maximum(values, 0)
    )  # pool(unpool(x)) is x for x >= 0


@given(
    switches=arrays(
        np.uint8,
        st.tuples(st.integers(0, 9), st.integers(1, 9), st.integers(1, 9)),
        elements=st.integers(0, 3),
    )
)
def test_packed_switches_survive(switches):
    packed = pack_switches(switches)
    assert packed.nbytes == (switches.size + 3) // 4
    unpacked = np.empty_like(switches)
    unpack_switches(packed, unpacked)
    np.testing.assert_array_equal(unpacked, switches)


@given(
    classes=st.integers(2, 12),
    shape=array_shapes(min_dims=2, max_dims=2, max_side=20),
    seed=st.integers(0, 2**32 - 1),
)
def test_confusion_matrix_equals_counting(classes, shape, seed):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, classes, shape).astype(np.uint8)
    truth[rng.random(shape) < 0.2] = 255
    prediction = rng.integers(0, classes, shape).astype(np.uint8)
    matrix = ConfusionMatrix(classes)
    matrix.update(truth, prediction)
    expected = np.zeros((classes, classes), np.int64)
    for row, column in zip(truth.ravel(), prediction.ravel(), strict=True):
        if row != 255:
            expected[row, column] += 1
    np.testing.assert_array_equal(matrix.counts, expected)


@given(mask=arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=20)))
def test_runs_paint_what_they_were_made_of(mask):
    height, width = mask.shape
    flat = np.concatenate([[False], mask.ravel("F"), [not mask[-1, -1]]])
    edges = np.flatnonzero(np.diff(flat))
    counts = np.diff(np.concatenate([[0], edges])).tolist()
    if not mask[-1, -1]:
        counts = [*counts[:-1], mask.size - sum(counts[:-1])]
    runs, problem = checked_runs(
        {"size": [height, width], "counts": counts}, height, width
    )
    assert problem is None
    region = encode((), runs, height, width)
    assert region.area == mask.sum()
    found = np.zeros(mask.shape, np.uint8, order="F")
    paint(found, region, 9)
    np.testing.assert_array_equal(found, mask * 9)


@given(
    labels=st.integers(2, 4),
    weight=st.floats(0, 20),
    scale=st.floats(0, 50),
    seed=st.integers(0, 2**32 - 1),
)
def test_mean_field_gives_probabilities_whatever_the_order(
    labels, weight, scale, seed
):
    rng = np.random.default_rng(seed)
    scores = rng.normal(0, scale, (1, 4, 5, labels)).astype(np.float32)
    image = rng.uniform(0, 255, (1, 4, 5, 3)).astype(np.float32)
    layer = MeanFieldCrf(appearance_weight=weight, iterations=3)
    beliefs = np.exp(layer(scores, image).numpy())
    np.testing.assert_allclose(beliefs.sum(-1), 1, atol=1e-4)
    # Labels have no order, and mirrored pictures no other answer.
    turned = np.exp(layer(scores[..., ::-1], image).numpy())
    np.testing.assert_allclose(turned[..., ::-1], beliefs, atol=1e-3)
    mirrored = np.exp(layer(scores[:, :, ::-1], image[:, :, ::-1]).numpy())
    np.testing.assert_allclose(mirrored[:, :, ::-1], beliefs, atol=1e-3)
