"""Label Studio's brush masks: written, read, and read by its own SDK."""

import numpy as np
import pytest

from keras_wsss.data.brush_rle import decode_brush, encode_brush


def mask_of(seed, height=23, width=31):
    return np.random.default_rng(seed).random((height, width)) < seed / 6


@pytest.mark.parametrize("seed", range(7))
def test_a_mask_comes_back(seed):
    mask = mask_of(seed)
    np.testing.assert_array_equal(
        decode_brush(encode_brush(mask), 23, 31), mask
    )


def test_runs_longer_than_a_code_come_back():
    mask = np.zeros((300, 400), bool)
    mask[100:] = True
    found = decode_brush(encode_brush(mask), 300, 400)
    np.testing.assert_array_equal(found, mask)


def test_values_that_are_no_runs_are_read():
    """As Label Studio's editor writes them; bits as in rle-pack's source."""
    bits = f"{8:032b}{7:05b}" + "".join(f"{s - 1:04b}" for s in (3, 4, 8, 16))
    bits += "0" + "00" + f"{7:03b}"  # eight values of their own
    bits += "".join(f"{v:08b}" for v in (1, 2, 3, 0, 4, 5, 6, 200))
    bits += "0" * (-len(bits) % 8)
    code = [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]
    np.testing.assert_array_equal(decode_brush(code, 1, 2), [[False, True]])


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda code: code[:9], "ends too early"),
        (lambda code: code[:2], "ends too early"),
        (lambda code: [256, *code], "no list of bytes"),
        (lambda code: "AAAA", "no list of bytes"),
        (lambda code: [0, 0, 0, 4, *code[4:]], "4 values, not 23 x 31 x 4"),
        (lambda code: code[:6] + [255] * 40, "more values|ends too early"),
    ],
)
def test_damaged_codes_are_refused(change, text):
    with pytest.raises(ValueError, match=text):
        decode_brush(change(encode_brush(mask_of(3))), 23, 31)


def test_label_studio_reads_and_writes_the_same():
    brush = pytest.importorskip(
        "label_studio_sdk.converter.brush",
        reason="label-studio-sdk, a partner of this test, is not installed",
    )
    for seed in range(7):
        mask = mask_of(seed)
        found = brush.decode_rle(encode_brush(mask)).reshape(23, 31, 4)
        np.testing.assert_array_equal(found[..., 3] > 0, mask)
        theirs = brush.mask2rle(mask.astype(np.uint8) * 255)
        np.testing.assert_array_equal(decode_brush(theirs, 23, 31), mask)
