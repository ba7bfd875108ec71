"""The corpus of pictures, and hostile requests, through an exported model."""

import functools
import random
import time
from concurrent import futures

import numpy as np
import pytest
import tensorflow as tf
from limits import growing_at_most
from pictures import colours, encode, picture_cases
from served_requests import (
    READ_BY_EXPORT,
    compare,
    good_requests,
    hostile_requests,
    refused,
    request_of,
    sent_cases,
    texts,
)
from tensorflow.core.protobuf import config_pb2

from keras_wsss.categories import SHAPES_TARGET
from keras_wsss.errors import DataError
from keras_wsss.inference.decode import decode_picture
from keras_wsss.inference.predict_files import find_pictures, predict_files

CASES = picture_cases()
SENT = sent_cases()
MAX_PIXELS, MAX_SIDE = 64_000_000, 20_000
SECONDS = 10
# TensorFlow and a model take 0.8 of the 1.5 GB that a request may lead to.
MEGABYTES = 700


@pytest.fixture(scope="module")
def decode():
    @tf.function(input_signature=[tf.TensorSpec([], tf.string)])
    def decode(data):
        return decode_picture(data, MAX_PIXELS, MAX_SIDE)

    return decode


def by_name(case):
    return case.name


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


def ask(served, request) -> dict[str, np.ndarray]:
    """An answer of the exported model.

    Raises:
        tf.errors.InvalidArgumentError: a refusal.
    """
    inputs = {name: tf.constant(v) for name, v in request.inputs.items()}
    outputs = served[request.signature](**inputs)
    return {name: value.numpy() for name, value in outputs.items()}


def check(served, request, predictor, options):
    """Asserts that the answer, or the refusal, is the right one."""
    if request.problem is not None:
        with pytest.raises(tf.errors.InvalidArgumentError) as caught:
            ask(served, request)
        assert refused(str(caught.value), request.problem)
        return
    expected = request.expected(predictor, options)
    different, score = compare(request, ask(served, request), expected)
    assert different == 0
    assert score < 1e-5


@pytest.mark.parametrize("case", SENT, ids=by_name)
def test_the_served_model_refuses_or_segments_right(
    case, served, predictor, serving_options, tmp_path
):
    """All the way through a signature; the masks are the predictor's."""
    request = request_of(case, tmp_path)
    start = time.process_time()
    with growing_at_most(MEGABYTES):
        check(served, request, predictor, serving_options)
    assert time.process_time() - start < SECONDS


@pytest.mark.parametrize("number", range(6))
def test_good_batches_equal_the_predictor(
    number, served, predictor, serving_options
):
    request = good_requests(SHAPES_TARGET)[number]
    check(served, request, predictor, serving_options)


def test_hostile_requests_are_refused(served, serving_options):
    """Tags, batches and tensors; the slowest of them within the limits."""
    requests = hostile_requests(SHAPES_TARGET, serving_options)
    assert len(requests) == len({r.name for r in requests}) > 40
    for request in requests:
        start = time.process_time()
        with growing_at_most(MEGABYTES):
            check(served, request, None, serving_options)
        assert time.process_time() - start < SECONDS, request.name


PICTURE = texts([encode(colours(), "PNG")])


@pytest.mark.parametrize(
    ("signature", "inputs"),
    [
        ("tensors", {"images": np.zeros((1, 9, 9, 1), np.uint8)}),
        ("tensors", {"images": np.zeros((1, 9, 9, 4), np.uint8)}),
        ("tensors", {"images": np.zeros((9, 9, 3), np.uint8)}),
        ("tensors", {"images": np.zeros((1, 1, 9, 9, 3), np.uint8)}),
        ("tensors", {"images": colours()[None], "tags": texts([""])[None]}),
        ("with_tags", {"image_bytes": PICTURE[None]}),
        ("with_tags", {"image_bytes": np.array(PICTURE[0], object)}),
        ("with_tags", {"image_bytes": PICTURE, "tags": texts([""])[None]}),
    ],
)
def test_a_session_refuses_tensors_of_another_shape(signature, inputs, session):
    """TensorFlow Serving does not compare shapes with the signature's."""
    with pytest.raises(tf.errors.InvalidArgumentError):
        session(signature, {"tags": texts([""]), **inputs})


def test_a_session_answers(session):
    """Else the test before would pass for any reason."""
    inputs = {"images": colours()[None], "tags": texts([""])}
    assert session("tensors", inputs)["mask"].shape == (1, 20, 30)


@pytest.fixture(scope="module")
def session(served_export):
    """Asks the export as TensorFlow Serving does: by feeding a session."""
    v1 = tf.compat.v1
    session = v1.Session(graph=tf.Graph())
    with session.graph.as_default():
        tags = [tf.saved_model.SERVING]
        path = str(served_export[0])
        signatures = v1.saved_model.load(session, tags, path).signature_def

    @functools.cache
    def function(name):
        signature = signatures[name]
        options = config_pb2.CallableOptions(
            feed=[
                signature.inputs[key].name for key in sorted(signature.inputs)
            ],
            fetch=[output.name for output in signature.outputs.values()],
        )
        # Unlike `Session.run`, this compares no shapes in Python.
        return session._make_callable_from_options(options)

    def ask(name, inputs):
        found = function(name)(*(inputs[key] for key in sorted(inputs)))
        return dict(zip(signatures[name].outputs, found, strict=True))

    yield ask
    session.close()


def test_clients_at_a_time_get_what_they_asked_for(
    served, predictor, serving_options, tmp_path
):
    """Four threads; half of their requests are hostile."""
    requests = good_requests(SHAPES_TARGET)
    expected = {
        r.name: r.expected(predictor, serving_options) for r in requests
    }
    hostile = hostile_requests(SHAPES_TARGET, serving_options)
    hostile = [r for r in hostile if "half_a_million" not in r.name]

    def client(seed):
        rng = random.Random(seed)
        for _ in range(6):
            request = rng.choice(requests)
            found = ask(served, request)
            assert compare(request, found, expected[request.name]).pixels == 0
            check(served, rng.choice(hostile), None, serving_options)
        return seed

    with futures.ThreadPoolExecutor(4) as pool:
        assert list(pool.map(client, range(4))) == [0, 1, 2, 3]


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
    outcome = predict_files(predictor, pictures, out, log=lines.append)
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
