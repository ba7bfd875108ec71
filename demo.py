"""Trains, scores and draws both systems on the embedded data set.

    make demo

Every step is the project's own command, shown before it runs, with
configs/shapes.py and configs/prior_shapes.py. Repeating the command goes on
where it was interrupted.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

# TensorFlow's own messages would stand between ours; an outer setting wins.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from keras_wsss.cli import exit_with
from keras_wsss.errors import UserError
from keras_wsss.files import write_json, write_text

REPOSITORY = Path(__file__).resolve().parent
# Mean IoU with oracle tags, augmented and refined: what to expect, and where
# it is so low that something must be broken. Other processors round otherwise,
# and training magnifies that.
EXPECTED = 0.70
BROKEN = 0.65
ROWS = 5  # pictures in the gallery
PREDICTED = 8  # pictures given to predict.py
RUN = "self_training"  # folder of TransferNet's last run
PRIOR = "prior"  # folder of the prior system's run


class StepFailed(UserError):
    """A command of the demo ended with an error, which it has printed."""


def main() -> int:
    """Runs all steps; the exit code is 1 if the masks are worse than usual."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("demo"),
        metavar="DIR",
        help="Folder for data, runs and results (default: demo).",
    )
    parser.add_argument(
        "--started",
        type=float,
        default=None,
        metavar="SECONDS",
        help="Unix time at which installation began, for the table of times.",
    )
    flags = parser.parse_args()
    out = flags.out.resolve()
    steps = Steps(out / "steps.json")
    if flags.started is not None:
        steps.add("installation", max(0.0, time.time() - flags.started), 0.0)
    train(out, steps)
    use(out, steps)
    with steps.measured("picture of results"):
        draw(out)
    return conclude(out, steps)


class Steps:
    """Seconds and peak memory of every step, kept over interruptions."""

    def __init__(self, path: Path):
        self.path = path
        self.known: dict[str, dict[str, float]] = {}
        if path.exists():
            self.known = json.loads(path.read_text(encoding="utf-8"))

    def add(self, name: str, seconds: float, memory_gb: float) -> None:
        """Adds what a step took to what it took before."""
        known = self.known.setdefault(name, {"seconds": 0.0, "memory_gb": 0.0})
        known["seconds"] += seconds
        known["memory_gb"] = max(known["memory_gb"], memory_gb)
        write_json(self.path, self.known)

    def measured(self, name: str) -> "_Measured":
        """Measures a block that runs in this process."""
        return _Measured(self, name)

    def command(self, name: str, arguments: list[str]) -> None:
        """Runs a Python command of the project and measures it.

        Raises:
            StepFailed: it ended with an error.
        """
        print(f"\n--- {name}\n$ python {' '.join(arguments)}", flush=True)
        start = time.perf_counter()
        process = subprocess.Popen([sys.executable, *arguments], cwd=REPOSITORY)
        # wait4 gives the memory of this very process, not of all before it.
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except KeyboardInterrupt:
            process.wait()
            raise
        process.returncode = os.waitstatus_to_exitcode(status)
        self.add(name, time.perf_counter() - start, usage.ru_maxrss / 1e6)
        if process.returncode:
            raise StepFailed(
                f"The step '{name}' failed. If its message above speaks of "
                f"another configuration, remove {self.path.parent} and repeat."
            )


class _Measured:
    def __init__(self, steps: Steps, name: str):
        self.steps, self.name = steps, name

    def __enter__(self) -> None:
        print(f"\n--- {self.name}", flush=True)
        self.start = time.perf_counter()

    def __exit__(self, kind, value, traceback) -> None:
        if kind is None:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
            seconds = time.perf_counter() - self.start
            self.steps.add(self.name, seconds, peak)


def train(out: Path, steps: Steps) -> None:
    """Data, all phases and the evaluation, each by its own command."""
    data = out / "shapes"
    os.environ["KERAS_WSSS_SHAPES"] = str(data)
    if not data.exists():
        steps.command(
            "data", ["-m", "keras_wsss.data", "shapes", "--out", str(data)]
        )

    def phase(name: str, run: str, *flags: str) -> list[str]:
        return [
            "train.py", "--phase", name, "--config", "configs/shapes.py",
            "--workdir", str(out / run), *flags,
        ]  # fmt: skip

    steps.command("decoder phase", phase("decoder", "decoder"))
    steps.command(
        "transfer phase",
        phase("transfer", "transfer", "--init_from", str(out / "decoder")),
    )
    labels = str(out / "pseudo_labels")
    steps.command(
        "pseudo labels",
        [
            "pseudo_labels.py", "--workdir", str(out / "transfer"),
            "--out", labels,
        ],
    )  # fmt: skip
    steps.command(
        "transfer phase with pseudo labels",
        phase(
            "transfer",
            RUN,
            "--init_from",
            str(out / "transfer"),
            f"--config.data.target_masks={labels}",
            "--config.transfer.warmup_steps=0",
            "--config.transfer.target_pairs=8",
        ),
    )
    steps.command("evaluation", ["evaluate.py", "--workdir", str(out / RUN)])
    steps.command(
        "prior system, from tags alone",
        [
            "train.py", "--phase", "joint",
            "--config", "configs/prior_shapes.py",
            "--workdir", str(out / PRIOR),
        ],
    )  # fmt: skip
    steps.command(
        "its evaluation",
        [
            "evaluate.py", "--workdir", str(out / PRIOR),
            "--noaugment", "--norefine",
        ],
    )  # fmt: skip


def use(out: Path, steps: Steps) -> None:
    """What one does with a trained run: predict, export."""
    pictures = sorted((out / "shapes/target/JPEGImages").glob("val_*"))
    steps.command(
        "prediction",
        [
            "predict.py", "--workdir", str(out / RUN),
            *(str(path) for path in pictures[:PREDICTED]),
            "--out", str(out / "predictions"), "--refine",
        ],
    )  # fmt: skip
    exported = out / "served" / "1"
    if not exported.exists():
        steps.command(
            "export and its check",
            [
                "-m", "export", "--workdir", str(out / RUN),
                "--out", str(exported),
            ],
        )  # fmt: skip


def draw(out: Path) -> None:
    """Writes the gallery of evaluation pictures, one of them of both."""
    from keras_wsss.data.voc import read_voc
    from keras_wsss.evaluation.gallery import (
        choose_rows,
        gallery_rows,
        write_gallery,
    )
    from keras_wsss.inference.predictor import Predictor

    predictor = Predictor.from_workdir(out / RUN)
    data = predictor.config.data
    dataset = read_voc(
        data.eval_root,
        data.eval_set,
        predictor.split,
        masks=data.eval_masks,
        max_pixels=data.max_pixels,
    )
    chosen = choose_rows(dataset.records, predictor.split.scored_ids, ROWS)
    rows = gallery_rows(predictor, chosen)
    rows += gallery_rows(Predictor.from_workdir(out / PRIOR), chosen[:1])
    write_gallery(out / "results.jpg", rows)


def conclude(out: Path, steps: Steps) -> int:
    """Prints and writes the tables; the demo's exit code."""
    from keras_wsss.evaluation.table import markdown_table, results_table

    rows, prior = _rows(out / RUN), _rows(out / PRIOR)
    maskless = _mean_iou(prior, "Prior", "raw + own CRF")
    raw = _mean_iou(rows, "TransferNet", "raw")
    reached = _mean_iou(rows, "TransferNet", "augmented + refined")
    baseline = _mean_iou(rows, "class activation maps")
    total = sum(step["seconds"] for step in steps.known.values())
    peak = max(step["memory_gb"] for step in steps.known.values())
    times = [
        {"step": name, "seconds": step["seconds"]}
        for name, step in steps.known.items()
    ]
    times.append({"step": "all", "seconds": total})
    text = "\n".join(
        [
            results_table([*rows, *_named_apart(prior)]),
            f"Categories that were never seen with a mask: mean IoU "
            f"{raw:.3f}, augmented and refined {reached:.3f} (expected: "
            f"{EXPECTED:.2f} or more), class activation maps on the same "
            f"pictures {baseline:.3f}. The prior system, which sees no mask "
            f"at all: {maskless:.3f}, its maps "
            f"{_mean_iou(prior, 'class activation maps'):.3f}.",
            "",
            markdown_table(
                times, {"step": "step", "seconds": "seconds"}, {"seconds": 0}
            ),
            f"{total / 60:.1f} minutes on {os.cpu_count()} cores, at most "
            f"{peak:.1f} GB of memory.",
            "",
        ]
    )
    write_text(out / "results.md", text)
    print(f"\n{text}")
    for name, meaning in (
        ("results.jpg", "the pictures"),
        ("results.md", "these tables"),
        (RUN, "the model: Predictor.from_workdir, train.py --init_from"),
        (f"{RUN}/evaluation/report.html", "the report, for a browser"),
        (PRIOR, "the model of the prior system, with its own report"),
        ("predictions", "masks and overlays of new pictures"),
        ("served/1", "the model for TensorFlow Serving"),
        ("shapes", "the data set, in COCO and VOC formats"),
    ):
        print(f"Written: {out / name} ({meaning})")
    if reached < BROKEN:
        print(
            f"error: mean IoU {reached:.3f} is below {BROKEN:.2f}",
            file=sys.stderr,
        )
        return 1
    return 0


def _rows(run: Path) -> list[dict]:
    """The rows of a run's evaluation."""
    path = run / "evaluation" / "results.json"
    return json.loads(path.read_text(encoding="utf-8"))["rows"]


def _named_apart(rows: list[dict]) -> list[dict]:
    """Rows of the prior system for the table that has TransferNet's too."""
    return [
        row
        if row["method"].startswith("Prior")
        else {**row, "method": f"Prior: {row['method']}"}
        for row in rows
        if row["method"] != "all background"
    ]


def _mean_iou(
    rows: list[dict], method: str, inference: str | None = None
) -> float:
    """The score of a row with oracle tags."""
    for row in rows:
        if row["method"] != method or row.get("tags") != "oracle":
            continue
        if inference is None or row.get("inference") == inference:
            return row["mean_iou"]
    raise AssertionError(f"no row {method} {inference}")


if __name__ == "__main__":
    exit_with(main)
