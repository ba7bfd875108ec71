"""A stand-in for TensorFlow Serving: one SavedModel behind its gRPC API.

    python -m benchmarks.load_server served/1 --workers 8

It runs the model's warm-up requests, as the real server does, prints the port
and serves until its standard input ends. Requests and
responses are those of the real server, from `tensorflow_serving.apis`; what
runs is `tf.saved_model.load` in Python, so times are not the real server's.
Needs `pip install '.[serving]'`; imports nothing of keras_wsss.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import argparse
import logging
import math
import sys
from concurrent import futures

from benchmarks.early_help import early_help

_PARSER = argparse.ArgumentParser(description=__doc__.splitlines()[0])
_PARSER.add_argument("saved_model")
_PARSER.add_argument("--workers", type=int, default=8)

early_help(_PARSER.parse_args)

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import (
    predict_pb2,
    prediction_log_pb2,
    prediction_service_pb2_grpc,
)

MODEL = "segmentation"
WARMUP_FILE = "assets.extra/tf_serving_warmup_requests"
MOST_BYTES = 32 * 1024 * 1024  # of a request, as in export/compose.yaml
_MOST_CHARACTERS = 1024  # of a message; the real server cuts there too
# How a tensor's values can be spelled, beside `tensor_content`.
_LISTS = {tf.string: "string_val", tf.uint8: "int_val", tf.int32: "int_val"}


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Answers `Predict` with the signatures of a SavedModel.

    Args:
        signatures: name -> function, of `tf.saved_model.load`.
    """

    def __init__(self, signatures):
        self._signatures = signatures

    def Predict(self, request, context):
        """One request; refusals have the codes of TensorFlow Serving."""
        spec = request.model_spec
        if spec.name != MODEL:
            context.abort(
                grpc.StatusCode.NOT_FOUND,
                f"Servable not found for request: Latest({spec.name[:100]})",
            )
        try:
            return self._answer(request)
        except (tf.errors.InvalidArgumentError, ValueError) as error:
            text = str(error)[:_MOST_CHARACTERS]
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, text)

    def warm_up(self, path: str) -> int:
        """Runs the requests of a file of `PredictionLog` records.

        Returns:
            Their number.
        """
        count = 0
        for record in tf.data.TFRecordDataset(path).as_numpy_iterator():
            log = prediction_log_pb2.PredictionLog.FromString(record)
            self._answer(log.predict_log.request)
            count += 1
        return count

    def _answer(self, request) -> predict_pb2.PredictResponse:
        name = request.model_spec.signature_name or "serving_default"
        if name not in self._signatures:
            raise ValueError(f"Serving signature key {name!r} not found.")
        function = self._signatures[name]
        specs = function.structured_input_signature[1]
        if set(specs) != set(request.inputs):
            raise ValueError(
                f"input keys {sorted(request.inputs)} do not match the "
                f"signature's: {sorted(specs)}"
            )
        inputs = {
            key: _tensor(key, request.inputs[key], spec)
            for key, spec in specs.items()
        }
        response = predict_pb2.PredictResponse()
        response.model_spec.CopyFrom(request.model_spec)
        for key, value in function(**inputs).items():
            response.outputs[key].CopyFrom(tf.make_tensor_proto(value.numpy()))
        return response


def _tensor(name: str, proto, spec: tf.TensorSpec) -> tf.Tensor:
    """A tensor that fits the signature, and holds what it declares.

    The real server fills a tensor up with its last value, whatever size it
    declares; memory would be all that this measures.

    Raises:
        ValueError: it does not.
    """
    if proto.dtype != spec.dtype.as_datatype_enum:
        raise ValueError(
            f"{name} has the type number {proto.dtype}; expected is "
            f"{spec.dtype.as_datatype_enum}, {spec.dtype.name}"
        )
    shape = [dim.size for dim in proto.tensor_shape.dim]
    known = not proto.tensor_shape.unknown_rank and min(shape, default=0) >= 0
    if not (known and spec.shape.is_compatible_with(shape)):
        raise ValueError(
            f"{name} has the shape {shape}; expected is {spec.shape}"
        )
    values = len(getattr(proto, _LISTS[spec.dtype]))
    if spec.dtype != tf.string:
        values += len(proto.tensor_content) // spec.dtype.size
    if values != math.prod(shape):
        raise ValueError(
            f"{name} declares {math.prod(shape)} values and holds {values}"
        )
    if spec.dtype == tf.string:
        array = np.array(list(proto.string_val), object).reshape(shape)
        return tf.constant(array, tf.string)
    return tf.constant(tf.make_ndarray(proto))


def start(service: PredictionService, workers: int) -> tuple[grpc.Server, int]:
    """Serves on a free port of this machine.

    Returns:
        The server, to be stopped, and its port.
    """
    server = grpc.server(
        futures.ThreadPoolExecutor(workers),
        options=[("grpc.max_receive_message_length", MOST_BYTES)],
    )
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        service, server
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, port


def main() -> None:
    """Command line."""
    options = _PARSER.parse_args()
    # It has a traceback for every message that cannot be parsed.
    logging.getLogger("grpc").setLevel(logging.CRITICAL)
    model = tf.saved_model.load(options.saved_model)
    service = PredictionService(model.signatures)
    service.warm_up(os.path.join(options.saved_model, WARMUP_FILE))
    server, port = start(service, options.workers)
    print(port, flush=True)
    sys.stdin.read()
    server.stop(None).wait()


if __name__ == "__main__":
    main()
