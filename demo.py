"""Trains, scores and draws both systems on the embedded data set.

    make demo

Every step is the project's own command, shown before it runs, with
shapes and prior_shapes. Repeating the command goes on
where it was interrupted.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path

from keras_wsss.commands.cli import exit_with
from keras_wsss.errors import UserError
from keras_wsss.files import write_json, write_text
from keras_wsss.quiet_start import load_tensorflow

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
    make_data(out, steps)
    # A training leaves part of two cores idle: reading its records, tracing
    # and compiling are work for one.
    with Beside(out / "prior.log", steps, prior_commands(out)) as prior:
        train(out, steps)
        prior.wait()
    with Beside(out / "use.log", steps, use_commands(out)) as use:
        evaluate = ["evaluate.py", "--workdir", str(out / RUN)]
        steps.command("evaluation", evaluate)
        with steps.measured("picture of results"):
            draw(out)
        use.wait()
    return conclude(out, steps)


class Steps:
    """Seconds and peak memory of every step, kept over interruptions."""

    def __init__(self, path: Path):
        self.path = path
        self.known: dict[str, dict[str, float]] = {}
        if path.exists():
            self.known = json.loads(path.read_text(encoding="utf-8"))
        self._lock = threading.Lock()

    def add(
        self, name: str, seconds: float, memory_gb: float, beside: bool = False
    ) -> None:
        """Adds what a step took to what it took before.

        Args:
            name: of the step.
            seconds: that it took.
            memory_gb: its peak.
            beside: whether other steps ran at the same time.
        """
        first = {"seconds": 0.0, "memory_gb": 0.0, "beside": beside}
        with self._lock:
            known = self.known.setdefault(name, first)
            known["seconds"] += seconds
            known["memory_gb"] = max(known["memory_gb"], memory_gb)
            write_json(self.path, self.known)

    def total(self) -> tuple[float, float]:
        """Seconds from beginning to end, and GB of memory at most."""
        seconds, memory = 0.0, {False: 0.0, True: 0.0}
        for step in self.known.values():
            beside = step.get("beside", False)
            memory[beside] = max(memory[beside], step["memory_gb"])
            seconds += 0.0 if beside else step["seconds"]
        return seconds, sum(memory.values())

    def measured(self, name: str) -> "_Measured":
        """Measures a block that runs in this process."""
        return _Measured(self, name)

    def command(self, name: str, arguments: list[str]) -> None:
        """Runs a Python command of the project and measures it.

        Raises:
            StepFailed: it ended with an error.
        """
        print(f"\n--- {name}\n$ python {' '.join(arguments)}", flush=True)
        self.wait(name, start(arguments))

    def wait(
        self, name: str, process: subprocess.Popen, beside: bool = False
    ) -> None:
        """Measures a command that has just been started.

        Raises:
            StepFailed: it ended with an error.
        """
        began = time.perf_counter()
        # wait4 gives the memory of this very process, not of all before it.
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except KeyboardInterrupt:
            process.wait()
            raise
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - began
        self.add(name, seconds, usage.ru_maxrss / 1e6, beside)
        if process.returncode:
            raise StepFailed(
                f"The step '{name}' failed. If its message above speaks of "
                f"another configuration, remove {self.path.parent} and repeat."
            )


def start(arguments: list[str], output=None) -> subprocess.Popen:
    """Starts a Python command of the project; its output may go to a file."""
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=REPOSITORY,
        stdout=output,
        stderr=None if output is None else subprocess.STDOUT,
    )


class Beside:
    """Commands, one after the other, while other steps run.

    Args:
        log: file that takes their output.
        steps: takes their times.
        commands: name and arguments of each.
    """

    def __init__(
        self, log: Path, steps: Steps, commands: list[tuple[str, list[str]]]
    ):
        self.log, self.steps, self.commands = log, steps, commands
        self._process: subprocess.Popen | None = None
        self._failed: StepFailed | None = None
        self._ended = False
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Beside":
        print(f"\nBeside the following, with output in {self.log}:")
        for name, arguments in self.commands:
            print(f"--- {name}\n$ python {' '.join(arguments)}", flush=True)
        self._thread.start()
        return self

    def __exit__(self, kind, value, traceback) -> None:
        """Ends them, if they still run because a step beside them failed."""
        self._ended = True
        while self._thread.is_alive():
            if self._process is not None:
                self._process.terminate()
            self._thread.join(timeout=1)

    def wait(self) -> None:
        """Waits for the end, and prints what was said.

        Raises:
            StepFailed: one of the commands ended with an error.
        """
        with self.steps.measured("waiting for what runs beside"):
            self._thread.join()
        print(self.log.read_text(encoding="utf-8"), flush=True)
        if self._failed is not None:
            raise self._failed

    def _run(self) -> None:
        with open(self.log, "w", encoding="utf-8") as output:
            for name, arguments in self.commands:
                if self._ended:
                    return
                self._process = start(arguments, output)
                try:
                    self.steps.wait(name, self._process, beside=True)
                except StepFailed as error:
                    self._failed = error
                    return


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


def make_data(out: Path, steps: Steps) -> None:
    """Writes the embedded data set, and tells the configs where."""
    data = out / "shapes"
    os.environ["KERAS_WSSS_SHAPES"] = str(data)
    if not data.exists():
        steps.command(
            "data", ["-m", "keras_wsss.data", "shapes", "--out", str(data)]
        )


def train(out: Path, steps: Steps) -> None:
    """All phases of TransferNet."""

    def phase(name: str, run: str, *flags: str) -> list[str]:
        return [
            "train.py", "--phase", name, "--config", "shapes",
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
            "--out", labels, "--norefine",
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
            "--config.phases.transfer.warmup_steps=0",
            "--config.phases.transfer.target_pictures=8",
            "--config.phases.transfer.steps=350",
        ),
    )


def prior_commands(out: Path) -> list[tuple[str, list[str]]]:
    """Training and evaluation of the prior system."""
    run = str(out / PRIOR)
    return [
        (
            "prior system, from tags alone",
            [
                "train.py", "--phase", "joint",
                "--config", "prior_shapes", "--workdir", run,
            ],
        ),
        (
            "its evaluation",
            ["evaluate.py", "--workdir", run, "--noaugment", "--norefine"],
        ),
    ]  # fmt: skip


def use_commands(out: Path) -> list[tuple[str, list[str]]]:
    """What one does with a trained run: predict, export."""
    pictures = sorted((out / "shapes/target/JPEGImages").glob("val_*"))
    commands = [
        (
            "prediction",
            [
                "predict.py", "--workdir", str(out / RUN),
                *(str(path) for path in pictures[:PREDICTED]),
                "--out", str(out / "predictions"),
            ],
        )
    ]  # fmt: skip
    exported = out / "served" / "1"
    if not exported.exists():
        export = ["-m", "export", "--workdir", str(out / RUN)]
        commands.append(
            ("export and its check", [*export, "--out", str(exported)])
        )
    return commands


def draw(out: Path) -> None:
    """Writes the gallery of evaluation pictures, one of them of both."""
    load_tensorflow()
    from keras_wsss.data import formats
    from keras_wsss.evaluation.gallery import (
        choose_rows,
        gallery_rows,
        write_gallery,
    )
    from keras_wsss.inference.predictor import Predictor

    predictor = Predictor.from_workdir(out / RUN)
    data = predictor.config.data
    dataset = formats.read(data, predictor.split, "evaluation")
    chosen = choose_rows(dataset.records, predictor.split.scored_ids, ROWS)
    rows = gallery_rows(predictor, chosen, refine=True)
    rows += gallery_rows(Predictor.from_workdir(out / PRIOR), chosen[:1])
    write_gallery(out / "results.jpg", rows)


def conclude(out: Path, steps: Steps) -> int:
    """Prints and writes the tables; the demo's exit code."""
    from keras_wsss.evaluation.table import (
        WITHOUT_COLUMNS,
        markdown_table,
        results_table,
    )

    results = _results(out / RUN)
    rows, prior = results["rows"], _results(out / PRIOR)["rows"]
    maskless = _mean_iou(prior, "Prior", "raw + own CRF")
    raw = _mean_iou(rows, "TransferNet", "raw")
    reached = _mean_iou(rows, "TransferNet", "augmented + refined")
    baseline = _mean_iou(rows, "class activation maps")
    total, peak = steps.total()
    times = [
        {
            "step": f"{name} (beside others)"
            if step.get("beside", False)
            else name,
            "seconds": step["seconds"],
        }
        for name, step in steps.known.items()
    ]
    times.append({"step": "from beginning to end", "seconds": total})
    text = "\n".join(
        [
            results_table([*rows, *_named_apart(prior)]),
            "(default): what predict.py and python -m export give.",
            "",
            f"Categories that were never seen with a mask: mean IoU "
            f"{raw:.3f}, augmented and refined {reached:.3f} (expected: "
            f"{EXPECTED:.2f} or more), class activation maps on the same "
            f"pictures {baseline:.3f}. The prior system, which sees no mask "
            f"at all: {maskless:.3f}, its maps "
            f"{_mean_iou(prior, 'class activation maps'):.3f}.",
            "",
            markdown_table(results["without"], WITHOUT_COLUMNS),
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
    if reached < EXPECTED:
        print(f"warning: {reached:.3f} is below the expected {EXPECTED:.2f}")
    return 0


def _results(run: Path) -> dict:
    """A run's evaluation."""
    path = run / "evaluation" / "results.json"
    return json.loads(path.read_text(encoding="utf-8"))


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
