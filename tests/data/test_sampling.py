"""Pair sampling: uniform, stateless, shared among workers."""

import collections
import dataclasses

import numpy as np
import pytest
from small_data import slots_of

from keras_wsss.data.records import Record
from keras_wsss.data.sampling import PairSampler, random_words
from keras_wsss.errors import DataError


def _records(*labels):
    return [
        Record(str(number), f"{number}.jpg", "source", tuple(some))
        for number, some in enumerate(labels)
    ]


RECORDS = _records((1, 4), (2,), (1, 2, 3, 5, 6), (), (7,))
# What is no label of these is known to be absent.
ANNOTATED = [
    dataclasses.replace(record, annotated=tuple(range(1, 8)))
    for record in RECORDS
    if record.labels
]


def _same(first, second):
    for one, other in zip(
        dataclasses.astuple(first), dataclasses.astuple(second), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def _pairs(batches):
    return [
        (int(record), int(label))
        for batch in batches
        for record, labels, weights in zip(
            batch.record, batch.labels, batch.weights, strict=True
        )
        for label, weight in zip(labels, weights, strict=True)
        if weight
    ]


@pytest.mark.parametrize("pairs_per_image", [1, 2, 3, 8])
def test_an_epoch_holds_every_pair_once(pairs_per_image):
    sampler = PairSampler(RECORDS, pairs_per_image, seed=3)
    epoch = [sampler.slot(n) for n in range(sampler.slots_per_epoch)]
    expected = [
        (index, label)
        for index, record in enumerate(RECORDS)
        for label in record.labels
    ]
    assert sorted(_pairs(epoch)) == expected
    assert all(slot.labels.shape == (1, pairs_per_image) for slot in epoch)


def test_batches_run_on_across_epochs():
    sampler = PairSampler(RECORDS, seed=1)  # 9 pairs
    batches = [slots_of(sampler, step, 6) for step in range(3)]  # 18 = 2 epochs
    assert set(collections.Counter(_pairs(batches)).values()) == {2}
    first = _pairs(batches)[:9]
    assert len(set(first)) == 9
    assert first != _pairs(batches)[9:]


def test_a_step_depends_on_seed_and_step_only():
    unbroken = PairSampler(RECORDS, 2, seed=5)
    for step in range(20):
        slots_of(unbroken, step, 4)
    resumed = PairSampler(RECORDS, 2, seed=5)
    _same(slots_of(unbroken, 20, 4), slots_of(resumed, 20, 4))
    other = PairSampler(RECORDS, 2, seed=6)
    assert (slots_of(other, 20, 4).seed != slots_of(resumed, 20, 4).seed).all()


def test_slots_do_not_repeat_their_augmentation_seeds():
    batch = slots_of(PairSampler(RECORDS, seed=0), 0, 500)
    assert len(set(batch.seed)) == 500
    assert batch.seed.min() >= 0
    assert batch.seed.dtype == np.int64


def test_absent_labels_are_absent_and_of_the_given_ids():
    absent_ids = range(1, 8)
    sampler = PairSampler(
        ANNOTATED, 2, seed=2, absent_per_image=3, absent_ids=absent_ids
    )
    asked = collections.Counter()
    for number in range(300):
        slot = sampler.slot(number)
        known = ANNOTATED[slot.record[0]].labels
        absent = slot.labels[0, 2:]
        absent = absent[absent > 0]
        asked.update(absent.tolist())
        assert len(set(absent)) == len(absent) == min(3, 7 - len(known))
        assert not set(absent) & set(known)
        np.testing.assert_array_equal(slot.weights, slot.labels > 0)
        np.testing.assert_array_equal(
            slot.present[0], np.isin(slot.labels[0], known)
        )
    assert set(asked) == set(absent_ids)


def test_what_may_be_there_unseen_is_never_asked_as_absent():
    """A crowd's category, say: nobody knows that it is absent."""
    first, *others = ANNOTATED
    records = [dataclasses.replace(first, uncertain=(2, 6)), *others]
    sampler = PairSampler(
        records, 1, seed=2, absent_per_image=2, absent_ids=range(1, 8)
    )
    asked = collections.Counter()
    for number in range(300):
        slot = sampler.slot(number)
        if slot.record[0] == 0:
            asked.update(slot.labels[0, 1:].tolist())
    assert set(asked) == {3, 5, 7}


def test_where_tags_are_positives_only_nothing_is_asked_as_absent():
    sampler = PairSampler(
        RECORDS, 1, seed=2, absent_per_image=2, absent_ids=range(1, 8)
    )
    batch = slots_of(sampler, 0, 20)
    assert not batch.labels[:, 1:].any()


def test_present_is_all_ones_without_absent_queries():
    batch = slots_of(PairSampler(RECORDS, 2, seed=2), 0, 50)
    np.testing.assert_array_equal(batch.present, batch.weights)


def test_random_words_are_those_of_philox():
    # A change here would change every run and every cached view.
    words = random_words(3, seed=1, stream=2, position=3)
    expected = [2533144363980168765, 4154714089138655030, 4708083050069965526]
    np.testing.assert_array_equal(words, np.array(expected, np.uint64))
    assert words.dtype == np.uint64


def test_no_label_at_all_is_a_data_error():
    with pytest.raises(DataError, match="None of the 2 pictures has a label"):
        PairSampler(_records((), ()))


def _with_negatives(count):
    negatives = [
        Record(f"none{i}", f"none{i}.jpg", "target", (), annotated=(1, 2))
        for i in range(count)
    ]
    return [*_records((1, 2), (1,), (2,)), *negatives]


def test_pictures_without_a_label_have_slots_of_their_own():
    sampler = PairSampler(_with_negatives(2), seed=3)
    assert sampler.slots_per_epoch == 6
    epoch = slots_of(sampler, 0, 6)
    assert sorted(epoch.record) == [0, 0, 1, 2, 3, 4]
    np.testing.assert_array_equal(
        epoch.weights.any(axis=1), np.array(epoch.record) < 3
    )


def test_at_most_half_of_an_epoch_has_no_label_and_all_get_their_turn():
    sampler = PairSampler(_with_negatives(9), seed=3)
    assert sampler.slots_per_epoch == 8
    seen = set()
    for epoch in range(40):
        batch = slots_of(sampler, epoch, 8)
        pairs = sorted(r for r in batch.record if r < 3)
        assert pairs == [0, 0, 1, 2]
        negatives = [r for r in batch.record if r >= 3]
        assert len(set(negatives)) == 4
        seen.update(negatives)
    assert seen == set(range(3, 12))
