"""The requests of `benchmarks.load`, as the bytes that a client sends."""

import dataclasses
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

# The corpus that the tests drive through the same functions.
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "hostile"))

from served_requests import (
    Difference,
    ServedRequest,
    compare,
    corpus_requests,
    good_requests,
    hostile_requests,
    refused,
)

from benchmarks.load_server import MODEL, MOST_BYTES
from keras_wsss.inference.predictor import Prediction, Predictor
from keras_wsss.serving.options import ServingOptions

LARGEST = (375, 500)  # height and width of the largest picture, as in VOC
INVALID = "INVALID_ARGUMENT"
_TOO_LARGE = ("RESOURCE_EXHAUSTED", "larger than max")


@dataclasses.dataclass(frozen=True)
class Sent:
    """A request as bytes, and what must come back.

    Attributes:
        request: what it was made from; None for those that are none.
        name: for messages.
        data: the message.
        code: of the refusal; None where an answer is due.
        problem: regular expression for the refusal's text.
        expected: what the predictor says of each picture.
    """

    request: ServedRequest | None
    name: str
    data: bytes
    code: str | None = None
    problem: str = ""
    expected: Sequence[Prediction] = ()

    def is_reason(self, text: str) -> bool:
        """Whether a refusal says why."""
        return refused(text, self.problem)

    def compare(self, outputs: dict[str, np.ndarray]) -> Difference:
        """How far an answer is from the predictor's.

        Raises:
            AssertionError: another size, other tags, or wrong padding.
        """
        return compare(self.request, outputs, self.expected)


def make_requests(
    predictor: Predictor, options: ServingOptions
) -> tuple[list[Sent], list[Sent]]:
    """Good and hostile requests, with what the predictor says of the good."""
    names = predictor.split.categories
    corpus = corpus_requests()
    good = [request for request in corpus if request.problem is None]
    good += good_requests(predictor.split.scored, LARGEST)
    hostile = [request for request in corpus if request.problem]
    hostile += hostile_requests(names, options)
    answers = [
        Sent(
            request,
            request.name,
            message(request),
            expected=request.expected(predictor, options),
        )
        for request in good
    ]
    refusals = [_refusal(request) for request in hostile]
    return answers, refusals + list(_no_requests(good[0]))


def _refusal(request: ServedRequest) -> Sent:
    data = message(request)
    if len(data) > MOST_BYTES:  # the server does not even take it in
        return Sent(request, request.name, data, *_TOO_LARGE)
    return Sent(request, request.name, data, INVALID, request.problem)


def _no_requests(good: ServedRequest) -> Iterator[Sent]:
    """Messages that do not fit the signatures, or are none at all."""

    def sent(name: str, code: str, problem: str, data: bytes) -> Sent:
        return Sent(None, name, data, code, problem)

    def changed(signature: str, **inputs) -> bytes:
        return message(
            dataclasses.replace(good, signature=signature, inputs=inputs)
        )

    texts = good.inputs["image_bytes"]
    whole = message(good)
    yield sent("noise", "INTERNAL", "deserializing", bytes(range(255)))
    yield sent("half", "INTERNAL", "deserializing", whole[: len(whole) // 2])
    yield sent("nothing", "NOT_FOUND", "Servable not found", b"")
    large = whole + bytes(MOST_BYTES)
    yield sent("too_large", *_TOO_LARGE, large)
    yield sent(
        "no_signature", INVALID, "not found", changed("../x", image_bytes=texts)
    )
    yield sent("no_input", INVALID, "input keys", changed("with_tags"))
    yield sent(
        "more_inputs",
        INVALID,
        "input keys",
        changed("serving_default", image_bytes=texts, more=texts),
    )
    yield sent(
        "matrix",
        INVALID,
        "has the shape",
        changed("serving_default", image_bytes=texts[None]),
    )
    for name, array, problem in (
        ("four_channels", np.zeros((1, 5, 5, 4), np.uint8), "has the shape"),
        ("one_channel", np.zeros((1, 5, 5, 1), np.uint8), "has the shape"),
        ("no_batch", np.zeros((5, 5, 3), np.uint8), "has the shape"),
        ("not_finite", np.full((1, 5, 5, 3), np.nan), "has the type"),
    ):
        data = changed("tensors", images=array, tags=texts[:1])
        yield sent(name, INVALID, problem, data)
    for name, sides in (("bomb", [10**9]), ("negative", [-1])):
        request = predict_pb2.PredictRequest.FromString(whole)
        shape = request.inputs["image_bytes"].tensor_shape
        del shape.dim[:]
        for side in sides:
            shape.dim.add(size=side)
        yield sent(
            f"declared_{name}",
            INVALID,
            "declares|has the shape",
            request.SerializeToString(),
        )


def message(request: ServedRequest) -> bytes:
    """A serialised `PredictRequest`."""
    proto = predict_pb2.PredictRequest()
    proto.model_spec.name = MODEL
    proto.model_spec.signature_name = request.signature
    for name, value in request.inputs.items():
        proto.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return proto.SerializeToString()
