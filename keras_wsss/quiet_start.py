"""Imports TensorFlow without what it says meanwhile."""

import contextlib
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator

# From 0 (everything) to 3 (what ends the process): which of its own messages
# TensorFlow prints. Of errors that matter it raises an exception besides.
LOG_LEVEL = "TF_CPP_MIN_LOG_LEVEL"
_QUIET = "3"
# First letters of messages by level: "I0000 00:00:1795693887.37 port.cc ...".
_SEVERITIES = "IWEF"
_MESSAGE = re.compile(rf"([{_SEVERITIES}])\d{{4}} ")
_BEFORE_LOGGING = "WARNING: All log messages before absl::InitializeLog()"
_SECONDS = 10  # for the last messages


def load_tensorflow() -> None:
    """Imports TensorFlow, which takes seconds, without its own messages.

    They would stand between ours. An outer TF_CPP_MIN_LOG_LEVEL wins; it is
    made to hold for the import too, which TensorFlow 2.21 does not do: of
    oneDNN and of missing CUDA drivers it tells before it looks.

    Raises:
        ConfigError: Keras is set up for something else.
    """
    from keras_wsss.keras_settings import check_keras

    check_keras()
    level = os.environ.setdefault(LOG_LEVEL, _QUIET)
    quiet = level in ("1", "2", "3") and sys.stderr is not None
    context = _filtered(level) if quiet else contextlib.nullcontext()
    # An import that fails tells more where TensorFlow is used.
    with context, contextlib.suppress(ImportError):
        import tensorflow  # noqa: F401
    if quiet:
        # Its Python tells of every strategy at the level INFO.
        logging.getLogger("tensorflow").setLevel(logging.WARNING)


@contextlib.contextmanager
def _filtered(level: str) -> Iterator[None]:
    """Sends stderr, that of C++ too, through this file as a process.

    It lives on where the import ends ours, as on a processor that TensorFlow
    was not made for, and tells why.
    """
    try:
        process = subprocess.Popen(
            [sys.executable, "-IS", __file__, level],
            stdin=subprocess.PIPE,
            stdout=2,  # it writes where we wrote
            start_new_session=True,  # Ctrl-C is for us
        )
    except OSError:  # no process to be had: all may be heard
        yield
        return
    assert process.stdin is not None  # a pipe was asked for
    stderr = os.dup(2)
    os.dup2(process.stdin.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_SECONDS)


def loud_lines(lines: Iterable[str], level: int) -> Iterator[str]:
    """All lines but TensorFlow's messages below a level, 1 to 3."""
    for line in lines:
        found = _MESSAGE.match(line)
        if found and _SEVERITIES.index(found[1]) < level:
            continue
        if not line.startswith(_BEFORE_LOGGING):
            yield line


if __name__ == "__main__":
    with (
        open(0, encoding="utf-8", errors="replace") as said,
        open(1, "w", encoding="utf-8", errors="replace") as heard,
    ):
        for loud in loud_lines(said, int(sys.argv[1])):
            print(loud, end="", file=heard, flush=True)
