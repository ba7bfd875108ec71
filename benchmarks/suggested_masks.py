"""What true masks of suggested pictures teach, beside those of random ones.

    python -m benchmarks.suggested_masks --workdir demo/transfer --out DIR

For runs on the embedded set "shapes" of the usual size, whose training
pictures can be drawn again with their masks. An oracle plays the person: it
gives the masks of the suggested training pictures, and the run goes on with
them; likewise with as many random tagged pictures, and with none. What learns
from true target masks is no result of weak supervision. The suggestions know
the pictures and their tags alone.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks.early_help import early_help

_PARSER = argparse.ArgumentParser(description=__doc__.splitlines()[0])
_PARSER.add_argument("--workdir", required=True, help="Run folder.")
_PARSER.add_argument("--out", required=True, help="Folder of the runs.")
for name, value, text in (
    ("count", 20, "Masks that are given."),
    ("draws", 3, "Random choices of as many."),
    ("steps", 350, "Updates of every run."),
    ("data_seed", 0, "Seed of the embedded set."),
):
    _PARSER.add_argument(f"--{name}", type=int, default=value, help=text)

early_help(_PARSER.parse_args)

import numpy as np

from keras_wsss.categories import Split
from keras_wsss.commands.cli import exit_with, say, start_computing
from keras_wsss.config import split_of
from keras_wsss.config_files import load_run_config
from keras_wsss.data import formats
from keras_wsss.data.formats.voc import write_classes
from keras_wsss.data.images import read_image
from keras_wsss.errors import ConfigError
from keras_wsss.evaluation.evaluate import evaluate
from keras_wsss.files import write_json
from keras_wsss.inference.predictor import Predictor
from keras_wsss.shapes import make
from keras_wsss.suggest.run import suggest
from keras_wsss.suggest.scores import TEACHING
from keras_wsss.training.inputs import read_target_records
from keras_wsss.training.run import train


def write_masks(
    out: Path, images: Sequence[Path], split: Split, seed: int
) -> None:
    """Draws training pictures of the embedded set again, for their masks.

    Args:
        out: folder that the masks go to, see `target_masks`.
        images: files of the pictures.
        split: of the set.
        seed: of the set.

    Raises:
        ConfigError: a picture is another one than is drawn.
    """
    write_classes(out, split.target)
    for path in images:
        image = read_image(path)
        index = int(path.stem.removeprefix("train_"))
        drawn, instances = make._scene(
            seed, make._TARGET, index, len(image), split.target, split.source
        )
        # JPEG changes the picture, but not much.
        if np.abs(drawn.astype(float) - image).mean() > 8:
            raise ConfigError(f"{path} is not of the set with seed {seed}.")
        target = out / "SegmentationClass" / f"{path.stem}.png"
        make._write_mask(target, instances, split)


def score(run: Path) -> dict[str, float]:
    """Mean IoU with oracle tags, of every way of predicting."""
    predictor = Predictor.from_workdir(run)
    data, split = predictor.config.data, predictor.split
    records = formats.read(data, split, "evaluation").records
    rows = evaluate(predictor, records, refine=False, baselines=False)["rows"]
    return {
        row["inference"]: row["mean_iou"]
        for row in rows
        if row["tags"] == "oracle"
    }


def main() -> None:
    """Trains and prints what the flags ask for."""
    given = _PARSER.parse_args()
    start_computing()
    workdir, out, count = Path(given.workdir), Path(given.out), given.count
    config = load_run_config(workdir)
    split = split_of(config)
    if split.name != "shapes":
        raise ConfigError(f"{workdir}: the run is not on the embedded set.")
    config = config.replace(
        {
            "phases.transfer.warmup_steps": 0,
            "phases.transfer.target_pictures": 8,
            "phases.transfer.steps": given.steps,
        }
    )
    folder = Path(config.data.target_images)
    entries = suggest(workdir, out / "list", by=TEACHING, count=count, log=say)
    chosen = {"suggested": [folder / e["image"] for e in entries[:count]]}
    tagged = [
        r.image_path
        for r in read_target_records(config, split).records
        if r.labels
    ]
    for draw in range(given.draws):
        rng = np.random.default_rng(draw)
        numbers = rng.choice(len(tagged), count, replace=False)
        chosen[f"random {draw}"] = [tagged[i] for i in numbers]
    found = {"before": score(workdir)}
    for name, images in {"none": [], **chosen}.items():
        place = name.replace(" ", "_")
        own = config
        if images:
            masks = out / "masks" / place
            write_masks(masks, images, split, given.data_seed)
            own = config.replace({"data.target_masks": f"person:{masks}"})
        train(own, "transfer", out / place, init_from=workdir, log=say)
        found[name] = score(out / place)
        say(f"{name}: {found[name]}")
    write_json(out / "suggested_masks.json", found)
    for way, start in found["none"].items():
        random = [
            found[name][way] - start for name in chosen if name != "suggested"
        ]
        gain = found["suggested"][way] - start
        say(
            f"{way}: {start:.4f} without masks; gain of {count} suggested "
            f"{gain:.4f}, of random ones {np.mean(random):.4f} "
            f"({', '.join(f'{value:.4f}' for value in random)}): "
            f"{gain / np.mean(random):.2f} times"
        )


if __name__ == "__main__":
    exit_with(main)
