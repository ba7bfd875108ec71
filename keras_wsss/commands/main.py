"""`keras-wsss COMMAND ...`: finds the command and runs it under its name."""

import dataclasses
import difflib
import importlib
import sys
from types import ModuleType
from typing import NoReturn

from absl import flags

from keras_wsss import __version__
from keras_wsss.commands.cli import exit_with, run_app
from keras_wsss.errors import ConfigError

NAME = "keras-wsss"
# Command -> what it does. The module of "pseudo-labels" is pseudo_labels.
COMMANDS = {
    "data": "verify, look at, prepare, make and rehearse data",
    "train": "train one phase of a config into a run folder",
    "evaluate": "score a run: tables and a page",
    "predict": "segment pictures with a run",
    "pseudo-labels": "write masks of a run's tagged pictures",
    "suggest": "list pictures worth a look, and a page to correct tags",
    "export": "write a run as a SavedModel for TensorFlow Serving",
}


def main(argv: list[str] | None = None) -> NoReturn:
    """Runs the command that the first argument names, and exits.

    Args:
        argv: the command line after the program's name; `sys.argv` if None.
    """
    argv = sys.argv[1:] if argv is None else argv
    first = argv[0] if argv else "--help"
    if first in COMMANDS:
        run_command(first, f"{NAME} {first}", argv[1:])
    exit_with(lambda: _without_command(first))


def run_command(command: str, name: str, argv: list[str]) -> NoReturn:
    """Runs one command and exits.

    Args:
        command: a key of `COMMANDS`.
        name: what the user called it, for help and messages.
        argv: its own arguments.
    """
    module = importlib.import_module(
        f"keras_wsss.commands.{command.replace('-', '_')}"
    )
    if command == "data":
        exit_with(lambda: module.main(argv, name))
    sys.argv = [name, *argv]
    _own(module, name)
    # absl shows the docstring of __main__ above the flags.
    typed = f"python {name}" if name.endswith(".py") else name
    text = (module.__doc__ or "").replace(f"{NAME} {command}", typed)
    sys.modules["__main__"].__doc__ = text
    run_app(module.run)


def run_script(command: str) -> NoReturn:
    """`run_command` for a script, which keeps its own name."""
    run_command(command, sys.argv[0], sys.argv[1:])


def _own(module: ModuleType, name: str) -> None:
    """Makes the flags of a command appear in its --help."""
    for value in vars(module).values():
        own = dataclasses.is_dataclass(value) and not isinstance(value, type)
        for holder in vars(value).values() if own else (value,):
            if isinstance(holder, flags.FlagHolder):
                flag = flags.FLAGS[holder.name]
                flags.FLAGS.register_key_flag_for_module(name, flag)


def _without_command(first: str) -> int:
    if first == "--version":
        print(f"{NAME} {__version__}")
        return 0
    if first in ("--help", "-h", "help"):
        print(_usage())
        return 0
    near = difflib.get_close_matches(first, COMMANDS, 1)
    hint = f"Did you mean {near[0]}? It" if near else "It"
    raise ConfigError(
        f"There is no command '{first}'. {hint} can be one of "
        f"{', '.join(COMMANDS)}."
    )


def _usage() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {what}" for name, what in COMMANDS.items()]
    return "\n".join(
        [
            f"usage: {NAME} COMMAND ...",
            "",
            "Segmentation of new categories: masks of some, tags of the "
            "others.",
            "",
            *lines,
            "",
            f"{NAME} COMMAND --help tells more; {NAME} --version its version.",
        ]
    )
