"""A tiny network, its batches, and a config whose runs take seconds."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from keras_wsss.config import Config

REPOSITORY = Path(__file__).resolve().parents[1]
SIZE = 64
STEPS = 12
CHECKPOINT_EVERY = 4
ENCODER_WEIGHTS = "encoder.weights.h5"


def tiny_config(data: Path | str):
    """A config for pictures of `write_shapes` below `data`, 64 pixels."""
    config = Config.published().replace(
        {
            "name": "tiny",
            "split.name": "shapes",
            "data.source_annotations": f"{data}/source/instances.json",
            "data.source_images": f"{data}/source/images",
            "data.target_tags": f"{data}/target/train_tags.csv",
            "data.target_images": f"{data}/target/JPEGImages",
            "data.eval_root": f"{data}/target",
            "data.heldout": 0.2,
            "data.heldout_tags": 0.2,
            "image.size": SIZE,
            "image.resize": SIZE,
            "model.encoder": "vgg_small",
            "model.encoder_weights": f"{data}/{ENCODER_WEIGHTS}",
            "model.attention": "conv",
            "model.attention_units": 16,
            "model.classifier_units": 16,
            "model.tagger_units": 16,
            "model.decoder_width": 0.1,
            "model.output_stride": 4,
            "model.initializer": "he",
            "train.log_every": 1,
            "train.checkpoint_every": CHECKPOINT_EVERY,
            "train.heldout_every": 8,
        }
    )
    for phase in ("attention", "decoder", "transfer"):
        numbers = {
            "steps": STEPS,
            "source_pictures": 4,
            "target_pictures": 4,
            "warmup_steps": 0,
        }
        config = config.replace({f"phases.{phase}": numbers})
    return config.replace(
        {"phases.decoder": {"target_pictures": 0, "warmup_steps": 2}}
    )


def encoder_weights() -> dict[str, list[np.ndarray]]:
    """Random kernels of vgg_small, the same ones at every call.

    Pictures of grey levels give features between 0 and about 1.
    """
    from keras_wsss.encoders import get_encoder

    rng = np.random.default_rng(0)
    weights = {}
    for layer in get_encoder("vgg_small").build().layers:
        if layer.weights:
            shape = layer.kernel.shape
            deviation = np.sqrt(2 / np.prod(shape[:3]))
            if layer.name == "block1_conv1":
                deviation /= 300
            kernel = rng.normal(0, deviation, shape).astype(np.float32)
            weights[layer.name] = [kernel, np.zeros(shape[3], np.float32)]
    return weights


def get_config():
    """For `--config tests/tiny.py`; KERAS_WSSS_TINY is the data folder."""
    return tiny_config(os.environ.get("KERAS_WSSS_TINY", "."))


def run_script(name: str, *flags, data="", code: str | None = None):
    """Runs a script of the repository as a user would.

    Args:
        name: "train.py" or "evaluate.py".
        flags: its command line.
        data: folder that `get_config` reads.
        code: Python to run before the script, in the same process.

    Returns:
        `subprocess.CompletedProcess` with texts.
    """
    start = [name]
    if code is not None:
        runner = (
            f"{code}\nimport runpy\nrunpy.run_path({name!r}, None, '__main__')"
        )
        # sys.argv[0] must be the script's for absl's own messages.
        start = ["-c", f"import sys\nsys.argv[0] = {name!r}\n{runner}"]
    return subprocess.run(
        [sys.executable, *start, *map(str, flags)],
        cwd=REPOSITORY,
        env={
            **os.environ,
            "KERAS_WSSS_TINY": str(data),
            "PYTHONPATH": str(REPOSITORY),
        },
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )


def read_json(path: Path):
    """The values of a JSON file."""
    return json.loads(path.read_text())


def random_part(seed: int, split, domain: str, rows: int = 2, labels: int = 1):
    """One domain's part of a batch of `make_batches`, of noise.

    The mask holds a rectangle of each label, void at the right border.
    """
    import tensorflow as tf

    rng = np.random.default_rng(seed)
    ids = split.source_ids if domain == "source" else split.target_ids
    asked = np.stack(
        [rng.choice(ids, labels, replace=False) for _ in range(rows)]
    )
    tags = np.zeros((rows, split.num_categories), np.float32)
    np.put_along_axis(tags, asked - 1, 1, axis=1)
    part = {
        "image": rng.normal(0, 60, (rows, SIZE, SIZE, 3)).astype(np.float32),
        "labels": asked.astype(np.int32),
        "weights": np.ones((rows, labels), np.float32),
        "present": np.ones((rows, labels), np.float32),
        "tags": tags,
        "known": np.isin(np.arange(1, split.num_categories + 1), ids)
        .astype(np.float32)[None]
        .repeat(rows, 0),
        "valid": np.ones((rows, SIZE // 16, SIZE // 16), np.float32),
        "record": np.arange(rows, dtype=np.int32),
    }
    if domain == "source":
        mask = np.zeros((rows, SIZE, SIZE), np.uint8)
        for row, column in np.ndindex(asked.shape):
            top, left = rng.integers(0, SIZE // 2, 2)
            mask[row, top : top + 24, left : left + 24] = asked[row, column]
        mask[:, :, -5:] = 255
        part["mask"] = mask
    return {key: tf.convert_to_tensor(value) for key, value in part.items()}
