"""From files to batches: content, order, starting step, shards, bad files."""

import dataclasses
import threading

import cv2
import numpy as np
import pytest
import tensorflow as tf
from small_data import slots_of

from keras_wsss.data import pipeline, preprocess
from keras_wsss.data.encodings import Encoding, LevelSpec
from keras_wsss.data.failures import iterate, user_errors
from keras_wsss.data.hidden import HideAndSeek
from keras_wsss.data.pictures import PictureStore, drop_bad_images
from keras_wsss.data.pipeline import (
    Stream,
    evaluation_batches,
    make_batches,
)
from keras_wsss.data.records import Dataset, Record
from keras_wsss.data.sampling import PairSampler
from keras_wsss.data.views import PixelScale, ViewSpec
from keras_wsss.errors import ConfigError, DataError

SIZE = 32
VIEWS = ViewSpec(SIZE, resize_size=36)
SIZES = ((20, 40), (48, 30), (33, 33), (64, 50))
LABELS = ((1, 3), (2,), (1, 2, 3), (4,))


class ArrayMask:
    """Stands in for a reader's mask; counts how often it is read."""

    def __init__(self, mask):
        self.mask = mask
        self.reads = 0

    def read(self):
        self.reads += 1
        return self.mask


@pytest.fixture
def records(tmp_path):
    """Four PNG pictures with labels and masks."""
    rng = np.random.default_rng(0)
    made = []
    for number, (size, labels) in enumerate(zip(SIZES, LABELS, strict=True)):
        path = tmp_path / f"{number}.png"
        cv2.imwrite(str(path), rng.integers(0, 256, (*size, 3), np.uint8))
        mask = rng.choice(np.array([0, 255, *labels], np.uint8), size)
        made.append(
            Record(str(number), path, "source", labels, ArrayMask(mask))
        )
    return made


def _stream(records, **changes):
    values = {
        "sampler": PairSampler(records, 2, seed=4),
        "size": 4,
        "views": VIEWS,
        "num_categories": 4,
        "with_mask": True,
    }
    return Stream(**{**values, **changes})


def _take(dataset, count=None):
    dataset = dataset if count is None else dataset.take(count)
    return [
        tf.nest.map_structure(lambda x: x.numpy(), batch)
        for batch in iterate(dataset)
    ]


def _assert_same(first, second):
    tf.nest.assert_same_structure(first, second)
    tf.nest.map_structure(np.testing.assert_array_equal, first, second)


def test_a_batch_holds_what_sampler_and_files_say(records):
    stream = _stream(records)
    (batch,) = _take(make_batches(source=stream, first_step=7, num_steps=1))
    assert list(batch) == ["source"]
    batch = batch["source"]
    expected = slots_of(stream.sampler, 7, 4)
    for name in ("record", "labels", "weights", "present"):
        np.testing.assert_array_equal(batch[name], getattr(expected, name))
        assert batch[name].dtype == getattr(expected, name).dtype
    for row, (index, seed) in enumerate(
        zip(expected.record, expected.seed, strict=True)
    ):
        record = records[index]
        image = cv2.imread(str(record.image_path))[..., ::-1]
        view = VIEWS.draw(int(seed), *image.shape[:2])
        square = preprocess.square_image(tf.constant(image), 36).numpy()
        mask = preprocess.square_mask(record.mask.mask, 36)
        rows = slice(view.top, view.top + SIZE)
        columns = np.arange(view.left, view.left + SIZE)
        columns = columns[::-1] if view.mirror else columns
        np.testing.assert_allclose(
            batch["image"][row],
            preprocess.to_encoder_input(square[rows][:, columns]),
            atol=1e-5,
        )
        np.testing.assert_array_equal(
            batch["mask"][row], mask[rows][:, columns]
        )
        np.testing.assert_array_equal(
            np.flatnonzero(batch["tags"][row]) + 1, record.labels
        )
    assert batch["valid"].shape == (4, 2, 2)


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize("min_scale", [1, 0.4])
def test_batches_equal_pictures_one_by_one_to_the_bit(
    records, min_scale, cached
):
    """By the operations that make the encoder's input everywhere else."""
    # A deviation whose reciprocal would round.
    pixels = PixelScale((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
    views = ViewSpec(SIZE, min_scale=min_scale, pixels=pixels)
    sampler = PairSampler(
        records, 2, seed=4, absent_per_image=1, absent_ids=(1, 2, 3, 4)
    )
    cache = ConstantEncodings() if cached else None
    stream = _stream(records, sampler=sampler, views=views, cache=cache)
    for step, batch in enumerate(_take(make_batches(stream, num_steps=8))):
        batch, slots = batch["source"], slots_of(sampler, step, 4)
        for row, index in enumerate(slots.record):
            record, seed = records[index], int(slots.seed[row])
            height, width = SIZES[index]
            view = views.draw(seed, height, width)
            if cached:
                view = cache.view(seed % 4, height, width)
            window = (view.top, view.left, view.size, view.mirror, SIZE)
            if not cached:
                image = cv2.imread(str(record.image_path))[..., ::-1]
                square = preprocess.square_image(tf.constant(image), view.base)
                expected = preprocess.view_image(square, *window, pixels)
                np.testing.assert_array_equal(batch["image"][row], expected)
            rows, columns = (
                start + np.arange(SIZE) * view.size // SIZE
                for start in (view.top, view.left)
            )
            columns = columns[::-1] if view.mirror else columns
            mask = preprocess.square_mask(record.mask.mask, view.base)
            mask = mask[rows[:, None], columns]
            np.testing.assert_array_equal(batch["mask"][row], mask)
            np.testing.assert_array_equal(
                batch["valid"][row],
                preprocess.view_valid(height, width, view.base, *window, 16),
            )
            weights = slots.weights[row]
            if min_scale < 1 and not cached:
                seen = np.isin(slots.labels[row], mask)
                weights = weights * (seen | (slots.present[row] == 0))
            np.testing.assert_array_equal(batch["weights"][row], weights)


def test_shapes_are_static(records):
    dataset = make_batches(
        source=_stream(records), target=_stream(records, with_mask=False)
    )
    spec = dataset.element_spec
    assert spec["source"]["image"] == tf.TensorSpec((4, 32, 32, 3))
    assert spec["source"]["mask"] == tf.TensorSpec((4, 32, 32), tf.uint8)
    assert "mask" not in spec["target"]
    for part in spec.values():
        assert all(item.shape.is_fully_defined() for item in part.values())


def test_order_depends_on_the_step_only(records, monkeypatch):
    monkeypatch.setattr(pipeline, "THREADS", 4)
    unbroken = _take(make_batches(source=_stream(records), num_steps=6))
    again = _take(
        make_batches(source=_stream(records), first_step=3, num_steps=3)
    )
    _assert_same(unbroken[3:], again)
    monkeypatch.setattr(pipeline, "THREADS", 1)
    endless = make_batches(source=_stream(records))
    _assert_same(unbroken, _take(endless, 6))


def test_workers_share_the_batch(records):
    (whole,) = _take(make_batches(source=_stream(records), num_steps=1))
    parts = [
        _take(
            make_batches(
                source=_stream(records), num_steps=1, shard=(worker, 2)
            )
        )[0]
        for worker in range(2)
    ]
    joined = tf.nest.map_structure(
        lambda *values: np.concatenate(values), *parts
    )
    _assert_same(whole, joined)


def test_no_tuner_holds_up_the_end(records):
    """Its thread may sleep a minute, and the last `next` waits for it."""
    for dataset in (
        make_batches(source=_stream(records), num_steps=1),
        evaluation_batches(records, ViewSpec(SIZE), 2),
    ):
        assert dataset.options().autotune.enabled is False


def test_a_source_record_without_mask_is_all_ignore(records):
    bare = [
        Record(r.image_id, r.image_path, "source", r.labels) for r in records
    ]
    (batch,) = _take(make_batches(source=_stream(bare), num_steps=1))
    assert (batch["source"]["mask"] == 255).all()


def test_no_stream_is_an_error():
    with pytest.raises(ConfigError, match="source or target"):
        make_batches()


def test_present_labels_out_of_a_small_window_weigh_nothing(tmp_path):
    path = tmp_path / "one.png"
    cv2.imwrite(str(path), np.zeros((64, 64, 3), np.uint8))
    mask = np.full((64, 64), 1, np.uint8)
    mask[:8, :8] = 2  # only windows at the top left show it
    records = [
        Record(
            "one",
            path,
            "source",
            (1, 2),
            ArrayMask(mask),
            annotated=(1, 2, 3),
        )
    ]
    sampler = PairSampler(
        records, 2, seed=0, absent_per_image=1, absent_ids=(1, 2, 3)
    )
    stream = _stream(
        records,
        sampler=sampler,
        views=ViewSpec(32, 32, min_scale=0.25),
    )
    batches = _take(make_batches(source=stream, num_steps=8))
    weights = np.concatenate([batch["source"]["weights"] for batch in batches])
    masks = np.concatenate([batch["source"]["mask"] for batch in batches])
    np.testing.assert_array_equal(
        weights[:, 1], (masks == 2).any(axis=(1, 2)).astype(np.float32)
    )
    assert 0 < weights[:, 1].sum() < len(weights)
    assert weights[:, [0, 2]].all()


@pytest.mark.parametrize("size", [20, 32, 33, 64, 100])
def test_squares_are_those_of_preprocess(records, size):
    store = PictureStore()
    for record in records:
        image = cv2.imread(str(record.image_path))[..., ::-1]
        square = store.image(record, size)
        np.testing.assert_array_equal(
            square.image, preprocess.square_image(tf.constant(image), size)
        )
        mask = store.mask(record, size, square.height, square.width)
        assert mask.dtype == np.uint8
        np.testing.assert_array_equal(
            mask, preprocess.square_mask(record.mask.read(), size)
        )


def test_pictures_are_decoded_once_when_they_fit(records, monkeypatch):
    monkeypatch.setattr(pipeline, "THREADS", 1)
    store = PictureStore(memory_mb=1)
    stream = _stream(records, pictures=store)
    first = _take(make_batches(source=stream, num_steps=4))
    assert [record.mask.reads for record in records] == [1] * 4
    for record in records:
        record.image_path.unlink()
    _assert_same(first, _take(make_batches(source=stream, num_steps=4)))


def test_memory_limit_is_kept(records):
    store = PictureStore(memory_mb=2 * 36 * 36 * 3 / 1e6)  # two pictures
    squares = [store.image(record, 36) for record in records]
    again = [store.image(record, 36) for record in records]
    fresh = PictureStore(memory_mb=1)
    first = fresh.image(records[0], 36, keep=False)
    assert fresh.image(records[0], 36) is not first
    assert [a is b for a, b in zip(squares, again, strict=True)] == [
        True,
        True,
        False,
        False,
    ]


def test_a_bad_picture_is_named_in_one_sentence(records):
    records[2].image_path.write_bytes(b"not a picture")
    dataset = make_batches(source=_stream(records), num_steps=9)
    with pytest.raises(DataError, match=r"2\.png") as caught:
        _take(dataset)
    assert "\n" not in str(caught.value)
    assert "user error" not in str(caught.value)
    # A training loop that reads the data set itself.
    with pytest.raises(DataError, match=r"2\.png"), user_errors():
        list(dataset)


def test_tensorflow_prints_no_traceback_of_a_user_error(records):
    # What TensorFlow logs is the status that it raises, word for word.
    records[2].image_path.unlink()
    with pytest.raises(tf.errors.OpError, match=r"2\.png") as caught:
        list(make_batches(source=_stream(records), num_steps=9))
    assert "Traceback" not in str(caught.value)


def test_a_mask_of_another_size_is_named(records):
    records[1].mask.mask = np.zeros((5, 6), np.uint8)
    with pytest.raises(DataError, match=r"'1' is 6 x 5 .* 30 x 48"):
        _take(make_batches(source=_stream(records), num_steps=9))


def test_other_errors_pass_unchanged():
    with pytest.raises(tf.errors.InvalidArgumentError), user_errors():
        tf.reshape(tf.zeros([3]), [2])


def test_bad_images_are_dropped_and_counted(records):
    dataset = Dataset(tuple(records), {"no label": ("x",)})
    assert drop_bad_images(dataset) is dataset
    data = records[1].image_path.read_bytes()
    records[1].image_path.write_bytes(data[: len(data) // 2])
    records[3].image_path.unlink()
    kept = drop_bad_images(dataset)
    assert [record.image_id for record in kept.records] == ["0", "2"]
    assert kept.skipped == {
        "no label": ("x",),
        "unreadable image": ("1", "3"),
    }
    with pytest.raises(DataError, match=r"None of the 1 pictures .*3\.png"):
        drop_bad_images(Dataset((records[3],)))


@pytest.mark.parametrize("mirror", [False, True])
def test_evaluation_gives_every_picture_once_in_order(records, mirror):
    batches = _take(
        evaluation_batches(
            records[:3], ViewSpec(SIZE), 2, mirror=mirror, with_mask=True
        )
    )
    joined = tf.nest.map_structure(
        lambda *values: np.concatenate(values), *batches
    )
    np.testing.assert_array_equal(joined["record"], [0, 1, 2, -1])
    np.testing.assert_array_equal(joined["used"], [1, 1, 1, 0])
    np.testing.assert_array_equal(joined["height"][:3], [20, 48, 33])
    np.testing.assert_array_equal(joined["width"][:3], [40, 30, 33])
    np.testing.assert_array_equal(
        joined["labels"], [[1, 3, 0], [2, 0, 0], [1, 2, 3], [0, 0, 0]]
    )
    np.testing.assert_array_equal(joined["weights"], joined["labels"] > 0)
    for row, record in enumerate(records[:3]):
        image = cv2.imread(str(record.image_path))[..., ::-1]
        expected = preprocess.to_encoder_input(
            preprocess.square_image(tf.constant(image), SIZE)
        ).numpy()
        mask = preprocess.square_mask(record.mask.mask, SIZE)
        columns = slice(None, None, -1) if mirror else slice(None)
        np.testing.assert_allclose(
            joined["image"][row], expected[:, columns], atol=1e-5
        )
        np.testing.assert_array_equal(joined["mask"][row], mask[:, columns])


class ConstantEncodings:
    """Stands in for the feature cache: values tell record and view."""

    views = VIEWS
    num_views = 4
    features_shape = (2, 2, 5)
    level_specs = (
        LevelSpec((4, 4, 3), "uint8"),
        LevelSpec((2, 2, 5), "uint8"),
    )

    def read(self, record, view, out):
        value = 10 * int(record.image_id) + view
        height, width = SIZES[int(record.image_id)]
        features, *levels = out
        features[:] = value
        for maps in levels:
            maps[:] = view
        return Encoding(
            features,
            tuple(levels),
            self.view(view, height, width),
            height,
            width,
        )

    def view(self, number, height, width):
        if number < 2:
            return VIEWS.whole(mirror=bool(number))
        return VIEWS.draw(number, height, width)


def test_cached_encodings_replace_pictures(records):
    stream = _stream(records, cache=ConstantEncodings())
    for record in records:
        record.image_path.unlink()  # only masks are read
    seen = set()
    for step, batch in enumerate(_take(make_batches(stream, num_steps=8))):
        batch = batch["source"]
        seeds = slots_of(stream.sampler, step, 4).seed
        assert "image" not in batch
        assert batch["features"].shape == (4, 2, 2, 5)
        assert [s.shape for s in batch["levels"]] == [
            (4, 4, 4, 3),
            (4, 2, 2, 5),
        ]
        for row, (index, seed) in enumerate(
            zip(batch["record"], seeds, strict=True)
        ):
            view = int(seed) % 4
            seen.add(view)
            assert (batch["features"][row] == 10 * index + view).all()
            assert (batch["levels"][0][row] == view).all()
            window = ConstantEncodings().view(view, *SIZES[index])
            mask = preprocess.square_mask(
                records[index].mask.mask, window.base
            )[window.top :, window.left :][:SIZE, :SIZE]
            columns = slice(None, None, -1) if window.mirror else slice(None)
            np.testing.assert_array_equal(batch["mask"][row], mask[:, columns])
    assert seen == {0, 1, 2, 3}


def test_cached_encodings_of_another_size_are_refused(records):
    with pytest.raises(ConfigError, match="32 pixels, 48 are wanted"):
        make_batches(
            _stream(records, cache=ConstantEncodings(), views=ViewSpec(48))
        )


def test_evaluation_from_cached_encodings(records):
    batches = _take(
        evaluation_batches(
            records, ViewSpec(SIZE), 3, mirror=True, cache=ConstantEncodings()
        )
    )
    features = np.concatenate([batch["features"] for batch in batches])
    np.testing.assert_array_equal(features[:, 0, 0, 0], [1, 11, 21, 31, 0, 0])


def test_hidden_cells_belong_to_the_slot(records):
    stream = _stream(records, size=4, hide=HideAndSeek(4, 0.5))
    batches = [b["source"] for b in make_batches(stream, num_steps=2)]
    for step, batch in enumerate(batches):
        seeds = slots_of(stream.sampler, step, 4).seed
        expected = [stream.hide.cells(int(seed)) for seed in seeds]
        np.testing.assert_array_equal(batch["hidden"], expected)
    resumed = next(iter(make_batches(stream, first_step=1, num_steps=1)))
    np.testing.assert_array_equal(
        resumed["source"]["hidden"], batches[1]["hidden"]
    )


def test_what_is_uncertain_is_neither_present_nor_absent(records):
    annotated = [
        dataclasses.replace(r, annotated=(1, 2, 3), uncertain=(3,))
        for r in records
    ]
    # A label stays one, whatever else is said of it.
    stream = _stream(annotated)
    for record in annotated:
        expected = np.array([1, 1, 0, 0], np.float32)
        expected[np.array(record.labels) - 1] = 1
        np.testing.assert_array_equal(stream.known(record), expected)
    # What no picture shows is not taught to be absent.
    stream = _stream(annotated, taught=frozenset({2}))
    assert stream.known(annotated[0])[0] == 0
    batch = _take(make_batches(stream), 1)[0]["source"]
    for row, index in enumerate(batch["record"]):
        np.testing.assert_array_equal(
            batch["known"][row], stream.known(annotated[index])
        )


def test_a_picture_without_a_label_reaches_the_tagger_alone(records):
    empty = dataclasses.replace(records[0], labels=(), annotated=(1, 2))
    batch = _take(make_batches(_stream([empty, *records[1:]], size=8)), 1)[0][
        "source"
    ]
    rows = batch["record"] == 0
    assert rows.any()
    assert not batch["weights"][rows].any()
    assert not batch["tags"][rows].any()
    np.testing.assert_array_equal(
        batch["known"][rows], np.tile([1, 1, 0, 0], (rows.sum(), 1))
    )


def test_data_sets_share_their_threads(records):
    for _ in range(3):
        next(iter(evaluation_batches(records, ViewSpec(SIZE), 2)))
    before = threading.active_count()
    for _ in range(5):
        next(iter(evaluation_batches(records, ViewSpec(SIZE), 2)))
    assert threading.active_count() <= before
