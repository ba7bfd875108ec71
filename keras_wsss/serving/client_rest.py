"""Asks a model that TensorFlow Serving runs, over REST.

    python -m keras_wsss.serving.client_rest --out masks cat.jpg dog.png
    python -m keras_wsss.serving.client_rest --tags cat,dog --out masks cat.jpg
    python -m keras_wsss.serving.client_rest --tile 512 --out masks drone.jpg

Needs NumPy and Pillow. It takes masks as PNG files (signature
`png`), because a mask in JSON numbers is many times larger.
"""

import argparse
import base64
import http.client
import io
import json
import os
import struct
import sys
import unicodedata
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

DEFAULT_URL = "http://localhost:8501/v1/models/segmentation"
Send = Callable[[bytes, str], dict[str, Any]]
_SECONDS = 120
_SHOWN = 200  # characters of an answer that is none
# What a value that is no PNG in base64 was seen to raise.
_NO_PNG = (
    AttributeError,
    EOFError,
    IndexError,
    KeyError,
    OSError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


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
        RuntimeError: the server refuses, with its message; or what came
            back is no answer of such a model, and is shown.
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
            data = response.read()
    except urllib.error.HTTPError as error:
        text = error.read().decode(errors="replace")
        raise RuntimeError(f"{error.code} {error.reason}: {text}") from error
    except (ValueError, http.client.HTTPException) as error:
        raise OSError(f"{url}: {error!r}") from error
    # Whatever listens there may answer 200: look at what it says.
    try:
        answer = json.loads(data)
    except (ValueError, RecursionError):
        raise _wrong(url, "no JSON", data.decode(errors="replace")) from None
    answers = answer.get("predictions") if isinstance(answer, dict) else None
    if not isinstance(answers, list):
        raise _wrong(url, "no list of predictions", answer)
    if len(answers) != len(pictures):
        raise _wrong(
            url, f"{len(answers)} predictions of {len(pictures)}", answers
        )
    return [_read(url, answer) for answer in answers]


def predict_tiles(
    send: Send, picture: Image.Image, side: int, tags: str = ""
) -> dict[str, Any]:
    """Sends a large picture in tiles, one by one.

    See `keras_wsss.serving.client_edge.predict_tiles` for how they are put
    together.

    Args:
        send: content of a file and tags -> what `predict` says of it.
        picture: of any size, upright, of mode RGB.
        side: of a tile, in pixels.
        tags: names separated by commas; "" is all that the model scores.

    Returns:
        As `predict`; "scores" are the highest of any tile and the whole.
    """
    from keras_wsss.serving import client_edge

    names: dict[int, str] = {}

    def ask(image: np.ndarray, tags: Sequence[str]) -> dict[str, Any]:
        data = io.BytesIO()
        Image.fromarray(image).save(data, "PNG", compress_level=1)
        answer = send(data.getvalue(), ",".join(tags))
        names.update(zip(answer["tag_ids"], answer["tags"], strict=True))
        return answer

    given = [tag for tag in tags.split(",") if tag]
    found = client_edge.predict_tiles(ask, np.asarray(picture), side, given)
    return {
        **found,
        "tags": [names[i] for i in found["tag_ids"]],
        "scores": found["scores"].tolist(),
    }


def _wrong(url: str, what: str, answer: Any) -> RuntimeError:
    text = answer if isinstance(answer, str) else repr(answer)
    shown = " ".join(text[:_SHOWN].split()) + ("..." * (len(text) > _SHOWN))
    return RuntimeError(
        f"{url} answers with {what}, so it is not this project's model or not "
        f"a model at all; what came back: {shown}"
    )


def _read(url: str, answer: Any) -> dict[str, Any]:
    """What one picture's entry says, all of it checked."""
    if not isinstance(answer, dict):
        raise _wrong(url, "a prediction that is no object", answer)
    found = {}
    for name, kind in (("tags", str), ("tag_ids", int), ("scores", float)):
        values = answer.get(name)
        kinds = (int, float) if kind is float else kind
        if not isinstance(values, list) or not all(
            isinstance(v, kinds) and not isinstance(v, bool) for v in values
        ):
            raise _wrong(url, f"a prediction without a list {name!r}", answer)
        # Lists of a batch have one length; "" and 0 fill the shorter ones.
        found[name] = values if kind is float else [v for v in values if v]
    if len(found["tags"]) != len(found["tag_ids"]):
        raise _wrong(url, "tags and tag_ids of different lengths", answer)
    mask = _mask(answer.get("mask_bytes"))
    if mask is None:
        raise _wrong(url, "a prediction without a PNG in 'mask_bytes'", answer)
    if unknown := set(np.unique(mask).tolist()) - {0, *found["tag_ids"]}:
        shown = ", ".join(map(str, sorted(unknown)[:5]))
        raise _wrong(url, f"a mask of ids that are no tag ({shown})", answer)
    if answer.get("size", list(mask.shape)) != list(mask.shape):
        raise _wrong(url, "a mask of another size than it says", answer)
    return {"mask": mask, **found}


def _mask(value: Any) -> np.ndarray | None:
    """The index mask, uint8 [height, width], or None if there is none."""
    try:
        data = base64.b64decode(value["b64"], validate=True)
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            if image.mode not in ("L", "P"):
                return None
            return np.array(image, np.uint8)
    except _NO_PNG:
        return None


def output_names(paths: Sequence[Path], out: Path) -> list[str]:
    """A name without ending for each picture's mask, none of them twice.

    The second of a name gets `_2`, also where they differ in case alone:
    some file systems do not tell A from a. A picture that lies in the folder
    of outputs itself is not replaced.
    """
    names: list[str] = []
    taken = {
        _key(path.stem)
        for path in paths
        if path.parent.resolve() == out.resolve()
    }
    for path in paths:
        name, number = path.stem, 1
        while (key := _key(name)) in taken:
            number += 1
            name = f"{path.stem}_{number}"
        taken.add(key)
        names.append(name)
    return names


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def save_mask(path: Path, mask: np.ndarray) -> None:
    """Writes a grey PNG whose values are ids; it appears complete or not."""
    temporary = path.with_name(f".{path.name}.part")
    Image.fromarray(np.ascontiguousarray(mask)).save(temporary, format="PNG")
    os.replace(temporary, path)


def save_names(out: Path, answer: dict[str, Any]) -> None:
    """Adds the names of an answer's ids to those in a folder of masks.

    Args:
        out: the folder; its categories.json has a name for each id.
        answer: as of `predict`.

    Raises:
        RuntimeError: there the ids mean something else.
    """
    path = out / "categories.json"
    named = dict(zip(map(str, answer["tag_ids"]), answer["tags"], strict=True))
    known = json.loads(path.read_bytes()) if path.exists() else {}
    if not isinstance(known, dict) or {**known, **named} != {**named, **known}:
        raise RuntimeError(
            f"{path} has other names for the ids of this model's masks; give "
            "another --out."
        )
    if named.items() - known.items():
        temporary = path.with_name(f".{path.name}.part")
        temporary.write_text(json.dumps({**known, **named}), "utf-8")
        os.replace(temporary, path)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pictures", nargs="+", type=Path)
    parser.add_argument("--url", default=DEFAULT_URL)
    parser.add_argument("--tags", default="", help="e.g. cat,dog")
    parser.add_argument("--out", type=Path, default=Path("masks"))
    parser.add_argument(
        "--tile",
        type=pixels,
        help="side of the tiles that larger pictures are cut into",
    )
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    names = output_names(options.pictures, options.out)

    def send(data: bytes, tags: str) -> dict[str, Any]:
        return predict(options.url, [data], [tags])[0]

    for path, name in zip(options.pictures, names, strict=True):
        try:
            answer = ask_about(path, send, options.tile, options.tags)
            save_names(options.out, answer)
        except (OSError, RuntimeError, ValueError) as error:
            print(f"error: {path}: {error}", file=sys.stderr)
            return 1
        save_mask(options.out / f"{name}.png", answer["mask"])
        print(f"{path}: {', '.join(answer['tags'])}")
    return 0


def pixels(text: str) -> int:
    """A number of pixels, at least one; argparse names this function."""
    if int(text) < 1:
        raise ValueError
    return int(text)


def ask_about(
    path: Path, send: Send, tile: int | None, tags: str
) -> dict[str, Any]:
    """What the server says of a file, in tiles if it is larger than one."""
    if tile:
        # Upright and in 8 bits by the rules of training, which stand there.
        from keras_wsss.serving.client_edge import read_picture

        picture = Image.fromarray(read_picture(path))
        if max(picture.size) > tile:
            return predict_tiles(send, picture, tile, tags)
    return send(path.read_bytes(), tags)


if __name__ == "__main__":
    sys.exit(main())
