"""Hidden channels: a function of the seed, of the right share."""

import numpy as np
import pytest

from keras_wsss.data.hidden import ChannelDropout


def test_seed_alone_decides():
    dropout = ChannelDropout(64, 0.25)
    np.testing.assert_array_equal(dropout.kept(5), dropout.kept(5))
    assert (dropout.kept(5) != dropout.kept(6)).any()


def test_share_is_hidden_and_the_sum_kept():
    kept = np.stack([ChannelDropout(128, 0.25).kept(i) for i in range(200)])
    assert set(np.unique(kept)) == {0.0, np.float32(1 / 0.75)}
    # 25,600 draws: the standard deviation of the share is 0.0027.
    assert (kept == 0).mean() == pytest.approx(0.25, abs=0.015)
    assert kept.mean() == pytest.approx(1.0, abs=0.02)
