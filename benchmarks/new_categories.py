"""A new category by its tags alone, added to a model that is trained.

    python -m benchmarks.new_categories --out DIR

On the embedded data set: a `decoder` run and a `transfer` run that know five
target categories, and no picture with the sixth; then a `transfer` from that
run with the tags of all six. Beside it, the same phase from the same `decoder`
run with all six at once, and both without the new step but with as many
updates. Last, a step that has no tags but those of the pictures that show the
new category. Every run is one of the config shapes; repeating the command goes
on where it was interrupted. See docs/new_categories.md.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import argparse
import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.early_help import early_help

_PARSER = argparse.ArgumentParser(description=__doc__.splitlines()[0])
_PARSER.add_argument("--out", type=Path, required=True, help="work folder")
_PARSER.add_argument("--sixth", default="star", help="what is added")
_PARSER.add_argument("--seed", type=int, default=0, help="of every run")

early_help(_PARSER.parse_args)

from keras_wsss.commands.cli import exit_with
from keras_wsss.config import split_of
from keras_wsss.configs import shapes
from keras_wsss.data import formats
from keras_wsss.data.formats.tags import read_tags
from keras_wsss.evaluation.evaluate import evaluate
from keras_wsss.evaluation.table import markdown_table
from keras_wsss.files import write_json, write_text
from keras_wsss.inference.predictor import Predictor
from keras_wsss.shapes.make import write_shapes
from keras_wsss.training.run import train

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


@dataclasses.dataclass(frozen=True)
class Run:
    """A transfer of the comparison.

    Attributes:
        name: its folder.
        start: folder of the run that it starts from.
        title: what the table calls it.
        knows: "old" categories, "all", or "all" with the tags of "new"
            pictures alone.
    """

    name: str
    start: str
    title: str
    knows: str = "all"


RUNS = (
    Run("before", "decoder", "the old ones alone", "old"),
    Run("added", "before", "the new one added to that"),
    Run("together", "decoder", "all at once"),
)
MORE_RUNS = (
    Run("before_longer", "before", "the old ones alone, twice", "old"),
    Run("together_longer", "together", "all at once, twice"),
    Run("added_alone", "before", "added with its own pictures alone", "new"),
)


def write_tags(config, path: Path, keep: Callable[[tuple[int, ...]], bool]):
    """Writes the lines of a config's tags whose labels are to be kept."""
    split, data = split_of(config), config.data
    lines = ["image,labels\n"]
    for record in read_tags(
        Path(data.target_tags), Path(data.target_images), split
    ).records:
        if keep(record.labels):
            labels = ";".join(split.name_of(i) for i in record.labels)
            lines.append(f"{record.image_path.name},{labels}\n")
    write_text(path, "".join(lines))


def without(config, name: str, tags: Path):
    """A config that does not know one of its target categories yet.

    Args:
        config: a config with data.
        name: the target category that is left out.
        tags: file to write: the tags of pictures that do not show it.

    Returns:
        The config, with a split of its own and these tags.
    """
    split = split_of(config)
    new = split.id_of(name)
    write_tags(config, tags, lambda labels: new not in labels)
    return config.replace(
        {
            "split.name": f"{split.name} without {name}",
            "split.source": split.source,
            "split.target": tuple(n for n in split.target if n != name),
            "data.target_tags": tags,
        }
    )


def with_new(config, name: str):
    """A config with a split whose last target is the new category.

    Its ids are not those that the categories had before.
    """
    split = split_of(config)
    return config.replace(
        {
            "split.name": f"{split.name} with {name}",
            "split.source": split.source,
            "split.target": (name, *(n for n in split.target if n != name)),
        }
    )


def only_pictures_of(config, name: str, tags: Path):
    """A config with the tags of the pictures alone that show a category."""
    new = split_of(config).id_of(name)
    write_tags(config, tags, lambda labels: new in labels)
    return config.replace({"data.target_tags": tags})


def compare(
    config,
    new: str,
    out: Path,
    runs: tuple[Run, ...] = RUNS,
    log: Callable[[str], None] = print,
) -> dict[str, dict]:
    """Trains all runs and scores them.

    Args:
        config: a config of TransferNet with data; one of its target
            categories plays the new one.
        new: its name.
        out: folder for the runs.
        runs: what to train after the decoder.
        log: called with progress lines.

    Returns:
        A row for each run, by its name: "run", its title; "old_asked_alone",
        mean IoU of the old categories when no other is asked for; "old" and
        "new", mean IoU and IoU when all are; the same "_found" with the
        tagger's tags; "minutes" of training. None where a run does not know
        the new category.
    """
    configs = {
        "old": without(config, new, out / "tags_before.csv"),
        "all": with_new(config, new),
    }
    configs["new"] = only_pictures_of(configs["all"], new, out / "tags_new.csv")
    old = split_of(configs["old"]).target
    train(configs["old"], "decoder", out / "decoder", log=log)
    rows = {}
    for run in runs:
        log(f"--- {run.title}")
        results = train(
            configs[run.knows],
            "transfer",
            out / run.name,
            out / run.start,
            log=log,
        )
        rows[run.name] = {
            "run": run.title,
            **_scores(out / run.name, old, new),
            "minutes": results["minutes"],
        }
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
        Predictor(
            predictor.net,
            split,
            predictor.config,
            rule=predictor.steps.rule,
        ),
        formats.read(data, split, "evaluation").records,
        augment=False,
        refine=False,
        baselines=False,
        log=lambda line: None,
    )
    return {
        row["tags"]: {n: v["iou"] for n, v in row["per_class"].items()}
        for row in results["rows"]
    }


def _mean(scores: dict[str, float], names: tuple[str, ...]) -> float:
    # None: no picture shows it, and it was not found either.
    known = [scores[name] for name in names if scores[name] is not None]
    return sum(known) / max(len(known), 1)


def losses(
    rows: dict[str, dict], before: str = "before", together: str = "together"
) -> tuple[float, float]:
    """What adding a category costs, of the rows of `compare`.

    Args:
        rows: the rows.
        before: the run to compare the old categories with.
        together: the run to compare the new one with.

    Returns:
        Mean IoU that the old ones lose, and how far the new one is below
        training all at once; negative where adding is better.
    """
    added = rows["added"]
    return (
        rows[before]["old_asked_alone"] - added["old_asked_alone"],
        rows[together]["new"] - added["new"],
    )


def main() -> None:
    """Runs what the flags ask for, and says whether it is good enough."""
    given = _PARSER.parse_args()
    out, start = given.out, time.perf_counter()
    if not (out / "shapes").exists():
        write_shapes(out / "shapes")
    os.environ["KERAS_WSSS_SHAPES"] = str(out / "shapes")
    config = shapes.get_config().replace({"train.seed": given.seed})
    rows = compare(
        config,
        given.sixth,
        out,
        (*RUNS, *MORE_RUNS),
        lambda line: print(line, flush=True),
    )
    write_json(out / "results.json", rows)
    print(markdown_table(list(rows.values()), COLUMNS, {"minutes": 1}))
    for what, before, together in (
        ("the same command", "before", "together"),
        ("as many updates", "before_longer", "together_longer"),
    ):
        forgotten, behind = losses(rows, before, together)
        print(
            f"Beside {what}: the old categories lose {forgotten:.3f} (at most "
            f"{MOST_FORGOTTEN}), '{given.sixth}' is {behind:.3f} below all at "
            f"once (at most {MOST_BEHIND})."
        )
    minutes = (time.perf_counter() - start) / 60
    print(f"{minutes:.1f} minutes on {os.cpu_count()} cores.")


if __name__ == "__main__":
    exit_with(main)
