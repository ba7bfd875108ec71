"""Which pictures and labels each training step sees: a function of the step."""

import dataclasses
import functools
from array import array
from collections.abc import Sequence

import numpy as np

from keras_wsss.data.records import Record
from keras_wsss.errors import DataError

# Independent random streams of one seed; each use has its own number.
_EPOCH_ORDER, _AUGMENTATION, _ABSENT_LABELS, _NEGATIVES = range(4)
_NON_NEGATIVE = np.int64(2**63 - 1)


def random_words(
    count: int, *, seed: int, stream: int, position: int
) -> np.ndarray:
    """Random bits that depend on the arguments only, not on earlier calls.

    Philox is a counter-based generator (Salmon et al., SC 2011): any place of
    its sequence can be computed directly. NumPy guarantees raw words to stay
    the same across its versions, unlike what its distributions make of them.

    Args:
        count: how many words.
        seed: 0 to 2^64 - 1.
        stream: separates different uses of one seed, 0 to 2^64 - 1.
        position: place in the stream, 0 to 2^64 - 1.

    Returns:
        uint64 [count].
    """
    generator = np.random.Philox(
        key=np.array([seed, stream], np.uint64),
        counter=np.array([0, position, 0, 0], np.uint64),
    )
    return generator.random_raw(count)


def random_units(count: int, *, seed: int, stream: int) -> np.ndarray:
    """As `random_words`, at the stream's beginning: float64 in [0, 1)."""
    words = random_words(count, seed=seed, stream=stream, position=0)
    return (words >> np.uint64(11)).astype(np.float64) / 2.0**53


@dataclasses.dataclass(frozen=True)
class PairBatch:
    """The pictures and queried labels of some slots (B).

    Attributes:
        record: int32 [B], index of the picture's record.
        labels: int32 [B, K], category ids 1..C; 0 is padding.
        weights: float32 [B, K], 1 for a query, 0 for padding.
        present: float32 [B, K], the right answer to the query: 1 where the
            label is in the picture, 0 where it is absent or padding.
        seed: int64 [B], non-negative, for the augmentation of the slot.
    """

    record: np.ndarray
    labels: np.ndarray
    weights: np.ndarray
    present: np.ndarray
    seed: np.ndarray


class PairSampler:
    """Draws (picture, label) pairs uniformly, without any state.

    A picture with k labels gives k pairs (docs/method.md, Training), each
    used exactly once in an epoch. Its labels are cut into chunks of at most
    `pairs_per_image`, so that one slot can ask several labels of a picture
    that the encoder sees once. An epoch is a permutation of all chunks;
    batches run on across the ends of epochs. Everything is computed from
    (seed, step): a resumed run sees what an unbroken one would.

    A picture that is known to hold none of the categories gives one slot
    without a label: it teaches the tagger only. An epoch has at most as many
    of these as others; of more of them each epoch draws its own.

    Args:
        records: pictures; those without labels of which nothing is known
            either are never drawn.
        pairs_per_image: present labels per slot, at least 1.
        seed: use different seeds for source and target.
        absent_per_image: further labels per slot that are *not* in the
            picture, drawn anew for each slot (0: the published method).
        absent_ids: category ids to draw these from: those of the pictures'
            own domain, as nothing is known about the others.
        trusted_draws: how many times an epoch uses the pairs of pictures
            whose masks a person drew, at least 1: there are few of them.

    Raises:
        DataError: no record has a label.
    """

    def __init__(
        self,
        records: Sequence[Record],
        pairs_per_image: int = 1,
        seed: int = 0,
        absent_per_image: int = 0,
        absent_ids: Sequence[int] = (),
        trusted_draws: int = 1,
    ):
        self.records = records
        self.pairs_per_image = pairs_per_image
        self.absent_per_image = absent_per_image
        self.seed = seed
        self._absent_ids = np.unique(np.array(absent_ids, np.int32))
        # Which record a chunk is of, and which of its labels come first.
        self._chunks, self._starts = array("q"), array("q")
        negatives = array("q")
        for index, record in enumerate(records):
            for start in range(0, len(record.labels), pairs_per_image):
                for _ in range(trusted_draws if record.trusted else 1):
                    self._chunks.append(index)
                    self._starts.append(start)
            if record.absent and not record.labels:
                negatives.append(index)
        self._with_labels = len(self._chunks)
        if not self._chunks:
            raise DataError(
                f"None of the {len(self.records)} pictures has a label; "
                "training needs labelled pictures."
            )
        self._chunks += negatives
        self._starts += array("q", [0]) * len(negatives)
        # Two epochs at a time: batches straddle, threads read ahead.
        self._order = functools.lru_cache(maxsize=4)(self._epoch_order)

    @property
    def queries(self) -> int:
        """Labels asked per slot (K): present ones, then absent ones."""
        return self.pairs_per_image + self.absent_per_image

    @property
    def slots_per_epoch(self) -> int:
        """Slots that make an epoch: chunks of pairs, and negatives."""
        return min(len(self._chunks), 2 * self._with_labels)

    def slot(self, number: int) -> PairBatch:
        """Slot `number` of the whole run (from 0), as a batch of one."""
        epoch, position = divmod(number, self.slots_per_epoch)
        chunk = self._order(epoch)[position]
        index, start = self._chunks[chunk], self._starts[chunk]
        record = self.records[index]
        present = record.labels[start : start + self.pairs_per_image]
        absent = self._absent(number, record)
        labels = np.zeros(self.queries, np.int32)
        labels[: len(present)] = present
        first = self.pairs_per_image
        labels[first : first + len(absent)] = absent
        asked = np.arange(self.queries) < len(present)
        return PairBatch(
            record=np.array([index], np.int32),
            labels=labels[None],
            weights=(labels > 0).astype(np.float32)[None],
            present=asked.astype(np.float32)[None],
            seed=self._words(1, _AUGMENTATION, number).view(np.int64)
            & _NON_NEGATIVE,
        )

    def _epoch_order(self, epoch: int) -> np.ndarray:
        words = self._words(self.slots_per_epoch, _EPOCH_ORDER, epoch)
        order = np.argsort(words, kind="stable")
        first, negatives = self._with_labels, len(self._chunks)
        if negatives == self.slots_per_epoch:
            return order
        words = self._words(negatives - first, _NEGATIVES, epoch)
        drawn = first + np.argsort(words, kind="stable")[:first]
        return np.concatenate([np.arange(first), drawn])[order]

    def _absent(self, number: int, record: Record) -> np.ndarray:
        if not self.absent_per_image:
            return self._absent_ids[:0]
        # What may be there unseen (in a crowd, say) is not asked for.
        candidates = np.intersect1d(self._absent_ids, record.absent)
        words = self._words(len(candidates), _ABSENT_LABELS, number)
        order = np.argsort(words, kind="stable")
        return candidates[order[: self.absent_per_image]]

    def _words(self, count: int, stream: int, position: int) -> np.ndarray:
        return random_words(
            count, seed=self.seed, stream=stream, position=position
        )
