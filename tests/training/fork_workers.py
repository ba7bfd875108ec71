"""Forks scripts from one process that has imported TensorFlow once.

Reads a request per line: {"seconds": limit, "enough": number, "workers":
[{"script", "argv", "env", "code", "log"}, ...]}, all started at once; answers
with a list of [exit code, seconds]. A process that is killed has the code
-signal, one that still runs after the limit, or when enough others have
ended, -14.
"""

import json
import os
import runpy
import signal
import sys
import time

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras_wsss.training.run  # noqa: F401


def start(worker: dict) -> int:
    """Starts one process; returns its id in the parent only."""
    process = os.fork()
    if process:
        return process
    log = os.open(worker["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ.update(worker.get("env", {}))
    exec(worker.get("code", ""), {})
    if script := worker.get("script"):
        sys.argv = [script, *worker["argv"]]
        runpy.run_path(script, None, "__main__")
    sys.exit(0)


def run(request: dict) -> list:
    """Starts all and waits; none is left over."""
    begin = time.monotonic()
    waiting = {start(w): n for n, w in enumerate(request["workers"])}
    ends = [[-signal.SIGALRM, 0.0] for _ in waiting]
    while waiting:
        process, status = os.waitpid(-1, os.WNOHANG)
        passed = time.monotonic() - begin
        done = len(ends) - len(waiting)
        if process:
            code = os.waitstatus_to_exitcode(status)
            ends[waiting.pop(process)] = [code, passed]
        elif passed > request["seconds"] or done >= request["enough"]:
            break
        else:
            time.sleep(0.05)
    for process in waiting:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
    return ends


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(run(json.loads(line))), flush=True)
