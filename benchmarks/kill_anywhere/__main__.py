"""Kills every command at random moments, repeats it, and compares the end.

    python -m benchmarks.kill_anywhere --kills 30 --seed 0

Data, feature cache, both phases, evaluation and export are made once without
disturbance, with the tiny configuration of the tests. Then each command is
killed (SIGKILL of its process group) and repeated until it has been killed
its share of times: half of the kills after a random part of its processor
time, half before a random operation on files. After each kill every file
under a final name must be whole; when the command has ended at last, weights,
masks and figures must be those of the undisturbed chain, bit for bit. Exit
code 1 where they are not. Needs Linux.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import collections
import dataclasses
import importlib
import random
import re
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from benchmarks.early_help import early_help

_PARSER = argparse.ArgumentParser(description=__doc__.splitlines()[0])
_PARSER.add_argument("--kills", type=int, default=30)
_PARSER.add_argument("--seed", type=int, default=0)
_PARSER.add_argument(
    "--out", type=Path, help="Folder to make and keep; else a temporary."
)

early_help(_PARSER.parse_args)

from benchmarks.kill_anywhere.chain import Command, chain
from benchmarks.kill_anywhere.processes import Ended, Operation, run
from benchmarks.kill_anywhere.whole import differences, leftovers, problems

REPOSITORY = Path(__file__).resolve().parents[2]
# Forks find them imported. This uses no TensorFlow yet: its threads would not
# live on in a fork.
USED = (
    "keras_wsss.serving.build",
    "keras_wsss.shapes.make",
    "keras_wsss.evaluation.evaluate",
    "keras_wsss.evaluation.report.page",
    "keras_wsss.training.run",
)
FILES = {
    "/cache": "the feature cache",
    "/checkpoints": "a checkpoint",
    "/data": "the data",
    "/encoder": "the encoder",
    "/evaluation/report": "the report",
    "/evaluation/results": "the results",
    "/events": "for TensorBoard",
    "/served": "the export",
}
TRIES = 20  # of a kill that comes too late


@dataclasses.dataclass(frozen=True)
class Kill:
    """A kill, and what was found after it.

    Attributes:
        command: name of the command.
        moment: what was drawn.
        stage: what the command was doing.
        left: hidden files that it left half written.
        problems: what is wrong with files under final names.
    """

    command: str
    moment: str
    stage: str
    left: int
    problems: tuple[str, ...]


class Killer:
    """Kills and repeats the commands of a chain.

    Args:
        root: its folder.
        unbroken: folder of the chain that nobody kills.
        seed: decides all moments.
    """

    def __init__(self, root: Path, unbroken: Path, seed: int):
        self.root = root
        self.unbroken = unbroken
        self.random = random.Random(seed)
        self.drawn: collections.Counter[str] = collections.Counter()
        self.number = 0

    def disturb(
        self, command: Command, calm: Ended, kills: int
    ) -> tuple[list[Kill], list[str]]:
        """Kills a command so many times, then lets it end.

        Args:
            command: a link whose predecessors have ended.
            calm: how it went undisturbed.
            kills: how many.

        Returns:
            The kills; what went wrong otherwise.
        """
        done: list[Kill] = []
        # The later ones find what the earlier ones left.
        shares = sorted(self.random.random() for _ in range((kills + 1) // 2))
        moments = [(share, None) for share in shares]
        while len(moments) < kills:
            place = self.random.randrange(len(moments) + 1)
            moments.insert(place, (None, self._operation(calm)))
        for share, place in moments:
            for _ in range(TRIES):
                if self._is_made(command):
                    self._begin_anew(command)
                before = set(leftovers(self.root))
                ended = self._run(command, calm, share, place)
                if ended.killed:
                    done.append(self._kill(command, ended, place, before))
                    break
                if ended.code:
                    return done, [_failure(command, ended)]
                self._begin_anew(command)  # it came too late
                if place is None:
                    share = self.random.uniform(0, share)
                else:
                    place = self._operation(calm)
            else:
                return done, [f"{command.name}: {TRIES} kills came too late"]
            print(_line(len(done), done[-1]), flush=True)
        return done, self._finish(command)

    def _is_made(self, command: Command) -> bool:
        """Whether a kill came when all was there already."""
        return bool(command.once) and (self.root / command.once).exists()

    def _begin_anew(self, command: Command) -> None:
        for folder in command.folders:
            shutil.rmtree(self.root / folder, ignore_errors=True)

    def _operation(self, calm: Ended) -> tuple[Operation, int]:
        """An operation of the undisturbed command, and which of its kind.

        One on a kind of file that fewest kills were drawn for so far.
        """
        files: dict[str, list[int]] = {}
        for index, operation in enumerate(calm.operations):
            files.setdefault(file_of(operation), []).append(index)
        fewest = min(self.drawn[file] for file in files)
        rare = sorted(f for f in files if self.drawn[f] == fewest)
        file = self.random.choice(rare)
        self.drawn[file] += 1
        index = self.random.choice(files[file])
        chosen = calm.operations[index]
        return chosen, calm.operations[: index + 1].count(chosen)

    def _run(self, command: Command, calm: Ended, share, place) -> Ended:
        self.number += 1
        return run(
            command.run,
            self.root,
            self.root.parent / f"log_{self.number:03d}",
            None if share is None else share * calm.seconds,
            place,
        )

    def _kill(
        self, command: Command, ended: Ended, place, before: set[Path]
    ) -> Kill:
        moment = (
            f"after {ended.seconds:.1f} s"
            if place is None
            else f"before {place[0].event} {Path(place[0].path).name[-30:]}"
        )
        return Kill(
            command.name,
            moment,
            stage_of(command, ended, place is not None),
            len(set(leftovers(self.root)) - before),
            tuple(problems(self.root, self.unbroken)),
        )

    def _finish(self, command: Command) -> list[str]:
        """Repeats the command to its end and compares what it made."""
        if not self._is_made(command):
            ended = self._run(command, None, None, None)
            if ended.code:
                return [_failure(command, ended)]
        found = list(problems(self.root, self.unbroken))
        for folder in command.folders:
            found += differences(self.root, self.unbroken, folder)
        return found


def file_of(operation: Operation) -> str:
    """Which kind of file an operation is about."""
    path = f"/{operation.path}"
    named = (name for part, name in FILES.items() if part in path)
    return next(named, Path(path).name)


def stage_of(command: Command, ended: Ended, pending: bool) -> str:
    """What a killed command was doing, from what it did last.

    Args:
        command: the command.
        ended: how it was killed.
        pending: whether its last operation was not done any more.
    """
    last = ended.operations[-1] if ended.operations else None
    if last is not None and last.event == "subprocess.Popen":
        exported = command.name == "export"
        return "checking the export" if exported else "starting"
    if last is not None and (pending or last.event == "open"):
        return f"writing {file_of(last)}"
    if last is not None and last.path.startswith("cache"):
        return "filling the feature cache"
    steps = re.findall(r"^step (\d+)/(\d+)", ended.output, re.MULTILINE)
    if steps:
        done, total = map(int, steps[-1])
        return "between steps" if done < total else "after the last step"
    return {
        "data": "writing the data",
        "evaluation": "predicting",
        "export": "saving the model",
    }.get(command.name, "starting")


def _failure(command: Command, ended: Ended) -> str:
    lines = ended.output.strip().splitlines()[-3:]
    return f"{command.name} ended with code {ended.code}: {' / '.join(lines)}"


def _line(number: int, kill: Kill) -> str:
    state = "; ".join(kill.problems) or "all files whole"
    return (
        f"{kill.command:15}{number:3}  {kill.stage:27}{kill.moment:50}  "
        f"{kill.left} half files left, {state}"
    )


def main() -> int:
    """Kills and prints."""
    given = _PARSER.parse_args()
    os.chdir(REPOSITORY)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    for name in USED:
        importlib.import_module(name)
    with tempfile.TemporaryDirectory() as name:
        folder = (given.out or Path(name)).resolve()
        (folder / "unbroken").mkdir(parents=True)
        (folder / "killed").mkdir()
        return _main(folder, given.kills, given.seed)


def _main(folder: Path, kills: int, seed: int) -> int:
    calm = []
    for command in chain(folder / "unbroken"):
        log = folder / f"log_{command.name.replace(' ', '_')}"
        ended = run(command.run, folder / "unbroken", log)
        if ended.code:
            print(f"error: {_failure(command, ended)}", file=sys.stderr)
            return 1
        calm.append(ended)
        print(
            f"{command.name:15} undisturbed: {ended.seconds:.1f} s, "
            f"{len(ended.operations)} operations on files",
            flush=True,
        )
    killer = Killer(folder / "killed", folder / "unbroken", seed)
    good, left, wrong, stages = 0, kills, [], collections.Counter()
    commands = chain(folder / "killed")
    for index, command in enumerate(commands):
        later = sum(other.weight for other in commands[index:])
        share = round(left * command.weight / later)
        left -= share
        found, wrong = killer.disturb(command, calm[index], share)
        stages.update(kill.stage for kill in found)
        if wrong:  # what comes after it would differ, too
            break
        good += sum(not kill.problems for kill in found)
    for line in wrong:
        print(f"error: {line}", file=sys.stderr)
    print("\n" + "\n".join(f"{n:4}  {stage}" for stage, n in stages.items()))
    times = os.times()
    seconds = times.children_user + times.children_system
    print(
        f"{good} of {kills} kills survived: every file whole after it, and "
        "the end equal to that of the undisturbed chain. "
        f"{seconds / 60:.1f} minutes of processor time."
    )
    return 0 if good == kills else 1


if __name__ == "__main__":
    sys.exit(main())
