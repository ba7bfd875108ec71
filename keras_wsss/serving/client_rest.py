"""Asks a model that TensorFlow Serving runs, over REST.

    python -m keras_wsss.serving.client_rest --out masks cat.jpg dog.png
    python -m keras_wsss.serving.client_rest --tags cat,dog --out masks cat.jpg

Needs NumPy and Pillow. It takes masks as PNG files (signature
`png`), because a mask in JSON numbers is many times larger.
"""

import argparse
import base64
import io
import json
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

DEFAULT_URL = "http://localhost:8501/v1/models/segmentation"
_SECONDS = 120


def predict(
    url: str, pictures: Sequence[bytes], tags: Sequence[str] | None = None
) -> list[dict[str, Any]]:
    """Sends files of pictures and returns what is in them.

    Args:
        url: of the model, e.g. http://localhost:8501/v1/models/segmentation.
        pictures: content of JPEG or PNG files, of any sizes.
        tags: for each picture names separated by commas, or "" to let the
            model find out; None does so for all.

    Returns:
        For each picture "mask", uint8 [height, width]; "tags", names;
        "tag_ids", their values in the mask; "scores", the probability of
        every category.

    Raises:
        RuntimeError: the server refuses; its message.
        OSError: there is no answer.
    """
    tags = [""] * len(pictures) if tags is None else tags
    body = {
        "signature_name": "png",
        "instances": [
            {
                "image_bytes": {"b64": base64.b64encode(data).decode()},
                "tags": text,
            }
            for data, text in zip(pictures, tags, strict=True)
        ],
    }
    request = urllib.request.Request(
        f"{url}:predict",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS) as response:
            answers = json.load(response)["predictions"]
    except urllib.error.HTTPError as error:
        text = error.read().decode(errors="replace")
        raise RuntimeError(f"{error.code} {error.reason}: {text}") from error
    return [_read(answer) for answer in answers]


def _read(answer: dict[str, Any]) -> dict[str, Any]:
    data = base64.b64decode(answer["mask_bytes"]["b64"])
    with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
        mask = np.array(image)
    # Lists of a batch have one length; "" and 0 fill the shorter ones.
    return {
        "mask": mask,
        "tags": [name for name in answer["tags"] if name],
        "tag_ids": [number for number in answer["tag_ids"] if number],
        "scores": answer["scores"],
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pictures", nargs="+", type=Path)
    parser.add_argument("--url", default=DEFAULT_URL)
    parser.add_argument("--tags", default="", help="e.g. cat,dog")
    parser.add_argument("--out", type=Path, default=Path("masks"))
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    for path in options.pictures:
        try:
            answer = predict(options.url, [path.read_bytes()], [options.tags])
        except (OSError, RuntimeError) as error:
            print(f"error: {path}: {error}", file=sys.stderr)
            return 1
        Image.fromarray(answer[0]["mask"]).save(
            options.out / f"{path.stem}.png"
        )
        print(f"{path}: {', '.join(answer[0]['tags'])}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
