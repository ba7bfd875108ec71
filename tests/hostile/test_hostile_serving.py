"""The corpus of pictures through prediction and the decoder of the export."""

import time

import numpy as np
import pytest
import tensorflow as tf
from pictures import picture_cases

from keras_wsss.errors import DataError
from keras_wsss.inference.decode import decode_picture
from keras_wsss.inference.predict_files import find_pictures, predict_files

CASES = picture_cases()
# A server gets bytes, so what is no file cannot reach it.
NO_BYTES = {
    "sparse_50_gb", "symlink_loop", "symlink_dangling", "symlink_device",
    "folder", "pipe",
}  # fmt: skip
# The export shows the picture that every PNG decoder shows, not the frames,
# and has the time to pass over chunks.
READ_BY_EXPORT = {"png_animated", "png_animated_apart", "png_many_chunks"}
MAX_PIXELS, MAX_SIDE = 64_000_000, 20_000
SECONDS = 10


@pytest.fixture(scope="module")
def decode():
    @tf.function(input_signature=[tf.TensorSpec([], tf.string)])
    def decode(data):
        return decode_picture(data, MAX_PIXELS, MAX_SIDE)

    return decode


def by_name(case):
    return case.name


SENT = [case for case in CASES if case.name not in NO_BYTES]


@pytest.mark.parametrize("case", SENT, ids=by_name)
def test_the_exported_decoder_refuses_or_reads_right(case, decode, tmp_path):
    path = tmp_path / case.file_name
    case.write(path)
    data = path.read_bytes()
    start = time.process_time()
    if case.problem and case.name not in READ_BY_EXPORT:
        with pytest.raises(tf.errors.InvalidArgumentError):
            decode(data)
    else:
        found = decode(data).numpy()
        if case.pixels is not None:
            assert found.shape == case.pixels.shape
            difference = np.abs(found.astype(int) - case.pixels)
            assert difference.mean() <= case.tolerance
    assert time.process_time() - start < SECONDS


def test_predict_goes_on_after_every_bad_picture(predictor, tmp_path):
    """All bad ones of a folder are named, and the good ones have masks."""
    folder, out = tmp_path / "pictures", tmp_path / "out"
    folder.mkdir()
    bad, good = [], []
    names = {"folder", "pipe"}
    for case in CASES:
        ending = case.file_name[case.file_name.rindex(".") :]
        if case.name in names or ending not in (".jpg", ".png"):
            continue
        if not case.problem and len(good) == 3:
            continue
        case.write(folder / (case.name + ending))
        (bad if case.problem else good).append(case.name + ending)
    pictures, passed = find_pictures([folder], out)
    assert passed == 0
    assert len(pictures) == len(bad) + len(good)
    lines = []
    outcome = predict_files(predictor, pictures, out, report=lines.append)
    assert outcome.written == len(good)
    assert len(outcome.failures) == len(bad)
    for name in bad:
        path = str(folder / name)
        assert sum(text.startswith(path) for text in outcome.failures) == 1
    assert len(list((out / "masks").iterdir())) == len(good)


def test_predictor_names_the_file(predictor, tmp_path):
    case = next(case for case in CASES if case.name == "png_65500x65500")
    path = tmp_path / "bomb.png"
    case.write(path)
    with pytest.raises(DataError, match=r"bomb\.png: 65500 x 65500 is more"):
        predictor(path)
