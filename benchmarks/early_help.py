"""Answers --help before a benchmark imports TensorFlow, which takes seconds."""

import sys
from collections.abc import Callable

from keras_wsss.commands.cli import run_app

_HELP = {"-h", "-help", "--help", "--helpshort", "--helpfull"}


def early_help(parse: Callable[[], object] = lambda: run_app(print)) -> None:
    """Prints the flags and exits, if that is what the command asks for.

    Called where a benchmark has defined its flags, before its other imports.

    Args:
        parse: reads the command line; those of absl if not given.
    """
    if _HELP & set(sys.argv[1:]):
        parse()
