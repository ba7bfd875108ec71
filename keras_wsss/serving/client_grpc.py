"""Asks a model that TensorFlow Serving runs, over gRPC.

    pip install '.[serving]'
    python -m keras_wsss.serving.client_grpc --out masks cat.jpg dog.png
    python -m keras_wsss.serving.client_grpc --tags cat,dog --out masks cat.jpg
    python -m keras_wsss.serving.client_grpc --tile 512 --out masks drone.jpg

Masks come as arrays here (signature `with_tags`): no base64, no JSON.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from keras_wsss.serving.client_rest import (
    ask_about,
    output_names,
    pixels,
    save_mask,
    save_names,
)

DEFAULT_TARGET = "localhost:8500"
DEFAULT_MODEL = "segmentation"
# Masks of a batch are padded to one size; gRPC takes 4 MB if not told.
MAX_BYTES = 256 * 1024 * 1024
_SECONDS = 120


def predict(
    channel: grpc.Channel,
    model: str,
    pictures: Sequence[bytes],
    tags: Sequence[str] | None = None,
) -> list[dict[str, Any]]:
    """Sends files of pictures and returns what is in them.

    Args:
        channel: to the server, see `connect`.
        model: name of the model.
        pictures: content of JPEG or PNG files, of any sizes.
        tags: for each picture names separated by commas, or "" to let the
            model find out; None does so for all.

    Returns:
        For each picture "mask", uint8 [height, width]; "tags", names;
        "tag_ids", their values in the mask; "scores", float32 [C], the
        probability of every category.

    Raises:
        grpc.RpcError: no answer, or the server's refusal.
    """
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    request.model_spec.signature_name = (
        "serving_default" if tags is None else "with_tags"
    )
    request.inputs["image_bytes"].CopyFrom(
        tf.make_tensor_proto(list(pictures), tf.string)
    )
    if tags is not None:
        request.inputs["tags"].CopyFrom(
            tf.make_tensor_proto(list(tags), tf.string)
        )
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    response = stub.Predict(request, timeout=_SECONDS)
    outputs = {
        name: tf.make_ndarray(tensor)
        for name, tensor in response.outputs.items()
    }
    return [_row(outputs, index) for index in range(len(pictures))]


def connect(target: str = DEFAULT_TARGET) -> grpc.Channel:
    """A channel that takes large masks; close it after use."""
    limits = [
        ("grpc.max_send_message_length", MAX_BYTES),
        ("grpc.max_receive_message_length", MAX_BYTES),
    ]
    return grpc.insecure_channel(target, options=limits)


def _row(outputs: dict[str, np.ndarray], index: int) -> dict[str, Any]:
    """One picture of a batch, without padding."""
    height, width = outputs["size"][index]
    return {
        "mask": outputs["mask"][index, :height, :width],
        "tags": [name.decode() for name in outputs["tags"][index] if name],
        "tag_ids": [int(i) for i in outputs["tag_ids"][index] if i],
        "scores": outputs["scores"][index],
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pictures", nargs="+", type=Path)
    parser.add_argument("--target", default=DEFAULT_TARGET)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--tags", default="", help="e.g. cat,dog")
    parser.add_argument("--out", type=Path, default=Path("masks"))
    parser.add_argument(
        "--tile",
        type=pixels,
        help="side of the tiles that larger pictures are cut into",
    )
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    with connect(options.target) as channel:

        def send(data: bytes, tags: str) -> dict[str, Any]:
            asked = [tags] if tags else None
            return predict(channel, options.model, [data], asked)[0]

        names = output_names(options.pictures, options.out)
        for path, name in zip(options.pictures, names, strict=True):
            try:
                found = ask_about(path, send, options.tile, options.tags)
                save_names(options.out, found)
            except (
                OSError,
                RuntimeError,
                ValueError,
                grpc.RpcError,
            ) as error:
                text = str(error)
                if isinstance(error, grpc.RpcError):
                    text = error.details()
                print(f"error: {path}: {text}", file=sys.stderr)
                return 1
            save_mask(options.out / f"{name}.png", found["mask"])
            print(f"{path}: {', '.join(found['tags'])}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
