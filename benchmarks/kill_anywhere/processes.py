"""Commands in processes of their own that can be killed at a chosen place."""

import dataclasses
import itertools
import os
import re
import runpy
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

_SECONDS = 900  # a command that takes longer hangs
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
# What `keras_wsss.files` calls NAME.SUFFIX before it is complete.
_TEMPORARY = re.compile(r"^\.(.+?)\.[a-z0-9_]{8}(\.\w+)?$")
_EVENTS = ("os.mkdir", "os.remove", "os.rename", "subprocess.Popen")


@dataclasses.dataclass(frozen=True)
class Operation:
    """A change to a file, or the start of a process, seen from Python.

    Attributes:
        event: "open", "os.rename", ..., as Python's audit hooks call it.
        path: relative to the folder of the chain, without what temporary
            names have besides.
    """

    event: str
    path: str


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a process ended.

    Attributes:
        killed: whether by SIGKILL.
        code: exit code, if not killed.
        seconds: of processor time, with children that ended.
        operations: what it did, or was about to do when it was killed.
        output: what it printed.
    """

    killed: bool
    code: int
    seconds: float
    operations: list[Operation]
    output: str


def run(
    command: Callable[[], None],
    root: Path,
    log: Path,
    at_seconds: float | None = None,
    at_operation: tuple[Operation, int] | None = None,
) -> Ended:
    """Runs a command in a forked process group, and perhaps kills it.

    A fork has all libraries imported: a restart does not cost their seconds,
    and no moment is wasted on them. The caller must not have used TensorFlow.

    Args:
        command: what to run; ends as a script does.
        root: folder of the chain; operations below it are noted.
        log: path without suffix for what is printed and noted.
        at_seconds: after so much processor time the group is killed.
        at_operation: the group is killed before it does this for so many
            times.
    """
    output, notes = log.with_suffix(".out"), log.with_suffix(".ops")
    pid = os.fork()
    if pid == 0:
        _child(command, root, output, notes, at_operation)
    while os.getpgid(pid) != pid:  # until the child leads its own group
        time.sleep(0.0005)
    try:
        _kill_in_time(pid, at_seconds)
    except BaseException:  # this process is to end
        os.killpg(pid, signal.SIGKILL)
        raise
    _, status, usage = os.wait4(pid, 0)
    lines = notes.read_text().splitlines() if notes.exists() else []
    return Ended(
        os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL,
        os.waitstatus_to_exitcode(status),
        usage.ru_utime + usage.ru_stime,
        [Operation(*line.split("\t", 1)) for line in lines],
        output.read_text(errors="replace") if output.exists() else "",
    )


def _kill_in_time(pid: int, at_seconds: float | None) -> None:
    """Returns when the process is about to end or was killed."""
    until = time.monotonic() + _SECONDS
    while (
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
    ):
        if time.monotonic() > until:
            raise TimeoutError(f"a command takes more than {_SECONDS} s")
        if at_seconds is not None and _group_seconds(pid) >= at_seconds:
            os.killpg(pid, signal.SIGKILL)
            return
        time.sleep(0.01)


def _group_seconds(group: int) -> float:
    """Processor time of a process group, and of children it waited for."""
    ticks = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        if int(fields[2]) == group:
            ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def script(name: str, *flags: str) -> Callable[[], None]:
    """A command line: a file of the repository, or a module without ".py"."""

    def command() -> None:
        sys.argv = [name, *flags]
        if name.endswith(".py"):
            runpy.run_path(name, run_name="__main__")
        else:
            runpy.run_module(name, run_name="__main__", alter_sys=True)

    return command


def _child(command, root, output, notes, at_operation) -> None:
    """Does not return."""
    os.setsid()
    code = 1
    try:
        file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, 1)
        os.dup2(file, 2)
        _note_operations(root, notes, at_operation)
        command()
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else bool(error.code)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(int(code))


def _note_operations(root: Path, notes: Path, at_operation) -> None:
    file = os.open(notes, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    prefix = f"{root}{os.sep}"
    wanted, times = at_operation or (None, 0)
    seen = itertools.count(1)

    def hook(event: str, arguments: tuple) -> None:
        if event == "open":
            if not (arguments[2] or 0) & _WRITING:
                return
        elif event not in _EVENTS:
            return
        path = str(arguments[0])
        if event == "subprocess.Popen":
            path = f"{prefix}process"
        # The new name says what it is; the old one is a temporary file's.
        elif event == "os.rename":
            path = str(arguments[1])
        if not path.startswith(prefix):
            return
        operation = Operation(event, plain(path.removeprefix(prefix)))
        os.write(file, f"{operation.event}\t{operation.path}\n".encode())
        if operation == wanted and next(seen) == times:
            os.killpg(0, signal.SIGKILL)

    sys.addaudithook(hook)


def plain(path: str) -> str:
    """A path whose temporary parts have the names that they are to get."""
    parts = Path(path).parts
    return "/".join(_TEMPORARY.sub(r"\1", part) for part in parts)
