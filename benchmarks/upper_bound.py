"""What true masks of the new categories would bring: an upper bound.

    python -m benchmarks.upper_bound --config mini60 --out DIR
    python train.py --phase transfer --config mini60 \
        --workdir RUN --init_from TRAINED --flagfile=DIR/flags.txt \
        --config.phases.transfer.warmup_steps=0 \
        --config.phases.transfer.target_pictures=8
    python evaluate.py --workdir RUN --eval_root DIR --eval_set rest

The pictures of the evaluation set are halved at random. One half trains, with
its true masks in place of pseudo labels; the other half ("rest") is scored,
with the trained run before it for comparison. What learns from true target
masks is no result of weak supervision: rows made with it must say so.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from pathlib import Path

from absl import app, flags

from benchmarks.early_help import early_help
from keras_wsss.commands.config_flag import define_config

_CONFIG = define_config("Data to halve.")
_OUT = flags.DEFINE_string("out", None, "Folder to make.", required=True)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of the halving.")

early_help()

import numpy as np

from keras_wsss.categories import Split
from keras_wsss.commands.cli import exit_with
from keras_wsss.config import split_of
from keras_wsss.data import formats
from keras_wsss.data.formats.voc import write_classes
from keras_wsss.data.masks import write_palette_mask
from keras_wsss.data.pseudo_masks import MANIFEST, mask_path
from keras_wsss.data.records import Record
from keras_wsss.errors import ConfigError
from keras_wsss.files import atomic_folder, write_json, write_text


def write_halves(config, out: Path, seed: int) -> tuple[int, int]:
    """Writes the folder.

    Args:
        config: its split and evaluation set are used.
        out: folder to make.
        seed: seed of the halving.

    Returns:
        Pictures that train and pictures that are scored.

    Raises:
        ConfigError: `out` exists.
        DataError: the evaluation set cannot be read.
    """
    if out.exists():
        raise ConfigError(f"{out} exists already; give another --out.")
    split, data = split_of(config), config.data
    root = Path(data.eval_root)
    records = formats.read(data, split, "evaluation").records
    order = np.random.default_rng(seed).permutation(len(records))
    halves = [records[i] for i in order]
    middle = len(records) // 2
    train, rest = halves[:middle], halves[middle:]
    with atomic_folder(out) as folder:
        _write_masks(folder, train, split)
        _write_rest(folder, rest, root, data.eval_masks)
        lines = (
            f"--config.data.target_tags={out / 'train_tags.csv'}",
            f"--config.data.target_images={root / 'JPEGImages'}",
            f"--config.data.target_masks={out / 'masks'}",
            # All of the half is to train.
            "--config.data.heldout_tags=0.0",
        )
        write_text(folder / "flags.txt", "".join(f"{x}\n" for x in lines))
    return len(train), len(rest)


def _write_masks(folder: Path, records: list[Record], split: Split) -> None:
    """True masks in the form of pseudo labels, and the pictures' tags."""
    tagged = [record for record in records if record.labels]
    masks, rows = folder / "masks", ["image,labels\n"]
    for record in tagged:
        path = mask_path(masks, record.image_id)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_palette_mask(path, record.mask.read())
        labels = ";".join(split.name_of(i) for i in record.labels)
        rows.append(f"{record.image_path.name},{labels}\n")
    write_text(folder / "train_tags.csv", "".join(rows))
    write_classes(masks, split.categories)
    made_by = {"oracle": "true masks of evaluation pictures"}
    write_json(masks / MANIFEST, {"complete": True, "made_by": made_by})


def _write_rest(
    folder: Path, records: list[Record], root: Path, masks: str
) -> None:
    """The other half as an evaluation set of its own, by links."""
    for name in ("JPEGImages", masks, "classes.txt"):
        if (root / name).exists():
            (folder / name).symlink_to((root / name).resolve())
    lists = folder / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    names = "".join(f"{record.image_id}\n" for record in records)
    write_text(lists / "rest.txt", names)


def main() -> None:
    """Writes what the flags ask for."""
    train, rest = write_halves(_CONFIG.load(), Path(_OUT.value), _SEED.value)
    print(f"Wrote {_OUT.value}: {train} pictures train, {rest} score")


if __name__ == "__main__":
    app.run(lambda _: exit_with(main))
