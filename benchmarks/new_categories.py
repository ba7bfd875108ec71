"""A new category by its tags alone, added to a model that is trained.

    python -m benchmarks.new_categories --out DIR

On the embedded data set: a `decoder` run and a `transfer` run that know five
target categories, and no picture with the sixth; then a `transfer` from that
run with the tags of all six. Beside it, the same phase from the same `decoder`
run with all six at once. Every run is one of configs/shapes.py; repeating the
command goes on where it was interrupted. See docs/new_categories.md.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

from absl import app, flags

from configs import shapes
from keras_wsss.cli import exit_with
from keras_wsss.config import split_of
from keras_wsss.data.shapes import write_shapes
from keras_wsss.data.tags import read_tags
from keras_wsss.data.voc import read_voc
from keras_wsss.evaluation.evaluate import evaluate
from keras_wsss.evaluation.table import markdown_table
from keras_wsss.files import write_json, write_text
from keras_wsss.inference.predictor import Predictor
from keras_wsss.training.run import train

_OUT = flags.DEFINE_string("out", None, "Folder to work in.", required=True)
_SIXTH = flags.DEFINE_string("sixth", "star", "The category that is added.")
_SEED = flags.DEFINE_integer("seed", 0, "Seed of every run.", lower_bound=0)

# What may be lost: mean IoU of the categories that were there, and IoU of the
# new one beside training all at once.
MOST_FORGOTTEN, MOST_BEHIND = 0.03, 0.05
COLUMNS = {
    "run": "run",
    "old, asked for alone": "old_asked_alone",
    "old": "old",
    "new": "new",
    "old, tagger's tags": "old_found",
    "new, tagger's tags": "new_found",
    "minutes": "minutes",
}


def without(config, name: str, tags: Path):
    """A config that does not know one of its target categories yet.

    Args:
        config: a config with data.
        name: the target category that is left out.
        tags: file to write: the tags of pictures that do not show it.

    Returns:
        The config, with a split of its own and these tags.
    """
    split, data = split_of(config), config.data
    records = read_tags(
        Path(data.target_tags), Path(data.target_images), split
    ).records
    lines = ["image,labels\n"]
    for record in records:
        if split.id_of(name) not in record.labels:
            labels = ";".join(split.name_of(i) for i in record.labels)
            lines.append(f"{record.image_path.name},{labels}\n")
    write_text(tags, "".join(lines))
    smaller = config.copy_and_resolve_references()
    smaller.split.name = f"{split.name} without {name}"
    smaller.split.source = split.source
    smaller.split.target = tuple(n for n in split.target if n != name)
    smaller.split.scored = ()
    smaller.data.target_tags = str(tags)
    return smaller


def with_new(config, name: str):
    """A config with a split whose last target is the new category.

    Its ids are not those that the categories had before.
    """
    split = split_of(config)
    larger = config.copy_and_resolve_references()
    larger.split.name = f"{split.name} with {name}"
    larger.split.source = split.source
    larger.split.target = (name, *(n for n in split.target if n != name))
    return larger


def compare(
    config, new: str, out: Path, report: Callable[[str], None] = print
) -> list[dict]:
    """Trains all runs and scores them.

    Args:
        config: a config of TransferNet with data; one of its target
            categories plays the new one.
        new: its name.
        out: folder for the runs.
        report: called with progress lines.

    Returns:
        A row for each run: "run", "old_asked_alone" (mean IoU of the old
        categories, when no other is asked for), "old" and "new" (mean IoU
        and IoU when all are), the same "_found" with the tagger's tags,
        "minutes" of training. None where a run does not know the category.
    """
    before = without(config, new, out / "tags_before.csv")
    after = with_new(config, new)
    old = split_of(before).target

    def run(name: str, settings, phase: str, start: str | None = None) -> dict:
        report(f"--- {name}")
        folder = out / start if start else None
        return train(settings, phase, out / name, folder, report=report)

    run("decoder", before, "decoder")
    rows = []
    for name, settings, start, title in (
        ("before", before, "decoder", "the old ones alone"),
        ("added", after, "before", "the new one added to that"),
        ("together", after, "decoder", "all at once"),
    ):
        minutes = run(name, settings, "transfer", start)["minutes"]
        scores = _scores(out / name, old, new)
        rows.append({"run": title, **scores, "minutes": minutes})
    return rows


def _scores(run: Path, old: tuple[str, ...], new: str) -> dict:
    predictor = Predictor.from_workdir(run)
    alone = _per_class(predictor, old)
    scores = dict.fromkeys(list(COLUMNS.values())[1:-1])
    scores["old_asked_alone"] = _mean(alone["oracle"], old)
    if new not in predictor.split.categories:
        return scores
    every = _per_class(predictor, (*old, new))
    for tags, ending in (("oracle", ""), ("predicted", "_found")):
        scores[f"old{ending}"] = _mean(every[tags], old)
        scores[f"new{ending}"] = every[tags][new]
    return scores


def _per_class(
    predictor: Predictor, scored: tuple[str, ...]
) -> dict[str, dict[str, float]]:
    """IoU by tags and category, as `evaluate.py --noaugment --norefine`."""
    data = predictor.config.data
    split = dataclasses.replace(predictor.split, scored=scored)
    results = evaluate(
        Predictor(predictor.net, split, predictor.config),
        read_voc(data.eval_root, data.eval_set, split).records,
        augment=False,
        refine=False,
        baselines=False,
        report=lambda line: None,
    )
    return {
        row["tags"]: {n: v["iou"] for n, v in row["per_class"].items()}
        for row in results["rows"]
    }


def _mean(scores: dict[str, float], names: tuple[str, ...]) -> float:
    # None: no picture shows it, and it was not found either.
    known = [scores[name] for name in names if scores[name] is not None]
    return sum(known) / max(len(known), 1)


def losses(rows: list[dict]) -> tuple[float, float]:
    """What adding a category costs, of the rows of `compare`.

    Returns:
        Mean IoU that the old ones lose, and how far the new one is below
        training all at once; negative where adding is better.
    """
    before, added, together = rows
    forgotten = before["old_asked_alone"] - added["old_asked_alone"]
    return forgotten, together["new"] - added["new"]


def main() -> None:
    """Runs what the flags ask for, and says whether it is good enough."""
    out, start = Path(_OUT.value), time.perf_counter()
    if not (out / "shapes").exists():
        write_shapes(out / "shapes")
    os.environ["KERAS_WSSS_SHAPES"] = str(out / "shapes")
    config = shapes.get_config()
    config.train.seed = _SEED.value
    rows = compare(
        config, _SIXTH.value, out, lambda line: print(line, flush=True)
    )
    write_json(out / "results.json", rows)
    print(markdown_table(rows, COLUMNS, {"minutes": 1}))
    forgotten, behind = losses(rows)
    print(
        f"The old categories lose {forgotten:.3f} (at most {MOST_FORGOTTEN}), "
        f"'{_SIXTH.value}' is {behind:.3f} below training all at once (at most "
        f"{MOST_BEHIND}). {(time.perf_counter() - start) / 60:.1f} minutes on "
        f"{os.cpu_count()} cores."
    )


if __name__ == "__main__":
    app.run(lambda _: exit_with(main))
