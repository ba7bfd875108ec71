"""Warm-up requests for TensorFlow Serving.

The server runs them before it takes requests, so that the first user does
not wait for the graph to be prepared. They are `PredictionLog` messages in a
TFRecord. The few fields are written by hand, so that an export needs no
package of TensorFlow Serving; a test compares them with it.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

WARMUP_FILE = "assets.extra/tf_serving_warmup_requests"

# Numbers of the fields in tensorflow_serving/apis/*.proto.
_PREDICT_LOG = 6  # of PredictionLog
_REQUEST = 1  # of PredictLog
_MODEL_SPEC, _INPUTS = 1, 2  # of PredictRequest
_SIGNATURE = 3  # of ModelSpec
_KEY, _VALUE = 1, 2  # of an entry of a map


class Request(NamedTuple):
    """A request to one signature.

    Attributes:
        signature: its name.
        inputs: name to array.
    """

    signature: str
    inputs: Mapping[str, np.ndarray]


def write_warmup(folder: Path, requests: Iterable[Request]) -> Path:
    """Writes requests into a SavedModel.

    Returns:
        Path of the file.
    """
    path = folder / WARMUP_FILE
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for request in requests:
            writer.write(prediction_log(request))
    return path


def prediction_log(request: Request) -> bytes:
    """A serialised `PredictionLog` of a request."""
    spec = _field(_SIGNATURE, request.signature.encode())
    body = _field(_MODEL_SPEC, spec)
    for name in sorted(request.inputs):
        tensor = tf.make_tensor_proto(request.inputs[name])
        entry = _field(_KEY, name.encode())
        entry += _field(_VALUE, tensor.SerializeToString())
        body += _field(_INPUTS, entry)
    return _field(_PREDICT_LOG, _field(_REQUEST, body))


def _field(number: int, value: bytes) -> bytes:
    """A length-delimited field in the wire format of protocol buffers."""
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)
