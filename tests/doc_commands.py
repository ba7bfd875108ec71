"""Whether commands that a page shows exist: commands, flags, values, fields.

    python tests/doc_commands.py < lines.json

reads a JSON list of command lines and writes a list of what is wrong with
each, null where nothing is. Nothing is run, and TensorFlow is not loaded; one
process checks all lines.
"""

import ast
import contextlib
import importlib
import io
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from absl import flags

from keras_wsss.commands.data import _parser
from keras_wsss.commands.data_flags import parse
from keras_wsss.commands.main import COMMANDS
from keras_wsss.config_files import parse_override
from keras_wsss.errors import ConfigError

REPOSITORY = Path(__file__).resolve().parents[1]
# What these are called in a checkout, beside `keras-wsss COMMAND`.
SCRIPTS = {
    "train.py": "train",
    "evaluate.py": "evaluate",
    "predict.py": "predict",
    "pseudo_labels.py": "pseudo-labels",
    "suggest.py": "suggest",
    "export": "export",
    "keras_wsss.data": "data",
}
_OURS = re.compile(r"(benchmarks|keras_wsss|export)\b")
_DEFINES = re.compile(r"DEFINE_\w+|add_argument")


def commands_in(text: str) -> Iterator[str]:
    """Command lines of a page or docstring, continued lines joined.

    Of the blocks in fences and those that are indented; a comment or prompt
    is cut off.
    """
    fence = None
    lines = iter(text.splitlines())
    for line in lines:
        if match := re.match(r"\s*```(\w*)", line):
            fence = match[1] if fence is None else None
            continue
        if fence in (None, "", "bash", "sh", "console"):
            if fence is None and not line.startswith("    "):
                continue
            while line.endswith("\\"):
                line = line[:-1] + next(lines, "")
            yield line.strip().removeprefix("$ ")


def inline_commands(text: str) -> Iterator[str]:
    """Those that stand in backticks in the prose of a page."""
    prose = re.sub(r"^\s*```.*?^\s*```", "", text, flags=re.S | re.M)
    for code in re.findall(r"`([^`]+)`", prose):
        yield " ".join(code.split())


def words_of(line: str) -> list[str] | None:
    """The words of a line that is one of our commands, else None."""
    try:
        words = shlex.split(line, comments=True)
    except ValueError:  # not a shell's
        return None
    while words and re.fullmatch(r"[A-Z_0-9]+=.*|nice", words[0]):
        words.pop(0)
    for stop in ("|", ">", "&&", ";", "&", "2>&1"):
        if stop in words:
            words = words[: words.index(stop)]
    if not words:
        return None
    first, rest = Path(words[0]).name, words[1:]
    if first in ("make", "keras-wsss"):
        return [first, *rest]
    if first == "pip" or rest[:2] == ["-m", "pip"]:
        return ["pip", *rest[-1:]] if "install" in rest else None
    if not re.fullmatch(r"python[\d.]*", first) or not rest:
        return None
    if rest[0] == "-m":
        return rest[1:] if _OURS.match(" ".join(rest[1:2])) else None
    return rest if rest[0].endswith(".py") else None


def problem_of(words: list[str], whole: bool = True) -> str | None:
    """What is wrong with a command, in words.

    Args:
        words: see `words_of`.
        whole: its values and what is required are checked too.
    """
    first, rest = words[0], words[1:]
    if first == "make":
        return _of_make(rest)
    if first == "pip":
        return _of_extra(rest)
    if first in ("keras-wsss", "keras_wsss"):
        if not rest or rest[0] in ("--help", "--version", "COMMAND"):
            return None
        if rest[0] not in COMMANDS:
            return f"there is no command {rest[0]}"
        return _of_command(rest[0], rest[1:], whole)
    if first in SCRIPTS:
        return _of_command(SCRIPTS[first], rest, whole)
    return _of_file(first, rest)


def _of_make(words: list[str]) -> str | None:
    text = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    for word in words:
        name, is_variable, _ = word.partition("=")
        pattern = rf"^{re.escape(name)} \?=" if is_variable else f"^{name}:"
        if not re.search(pattern, text, re.MULTILINE):
            return f"Makefile has no {name}"
    return None


def _of_extra(words: list[str]) -> str | None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    known = project["project"]["optional-dependencies"]
    for extra in re.findall(r"\.\[(\w+)\]", " ".join(words)):
        if extra not in known:
            return f"there is no extra {extra}"
    return None


def _of_command(command: str, words: list[str], whole: bool) -> str | None:
    if command == "data":
        return _of_data(words, whole)
    if not whole:
        given = [word for word in words if word.startswith("--")]
        words = [word for word in given if not _is_bare(command, word)]
    # A file of flags that a command before it writes is not there.
    words = [word for word in words if not word.startswith("--flagfile=")]
    try:
        _flags_of(command)(["command", *words])
    except flags.IllegalFlagValueError as error:
        missing = "must have a value other than None" in str(error)
        return None if missing and not whole else str(error)
    except flags.Error as error:
        return str(error)
    except SystemExit:  # --help
        return None
    finally:
        flags.FLAGS.unparse_flags()
    return _of_fields(words)


def _of_fields(words: list[str]) -> str | None:
    """What is wrong with the values of `--config.FIELD=VALUE`."""
    for word in words:
        name, equals, value = word.partition("=")
        if name.startswith("--config.") and equals:
            try:
                parse_override(name.removeprefix("--config."), value)
            except ConfigError as error:
                return str(error)
    return None


def _is_bare(command: str, word: str) -> bool:
    """Whether a known flag stands without the value that it needs."""
    name = word.removeprefix("--")
    known = _flags_of(command)
    return name in known and not known[name].boolean


_held: dict[str, str] = {}


def _flags_of(command: str) -> flags.FlagValues:
    """absl's flags as they are when this command alone is imported."""
    if _held.get("command") != command:
        own = [n for n in flags.FLAGS if n not in _BEFORE]
        for name in own:
            delattr(flags.FLAGS, name)
        module = f"keras_wsss.commands.{command.replace('-', '_')}"
        sys.modules.pop(module, None)
        importlib.import_module(module)
        _held["command"] = command
    return flags.FLAGS


def _of_data(words: list[str], whole: bool) -> str | None:
    if not whole and len(words) < 2:
        words = [*words[:1], "--help"]
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            parse(_parser("data"), words)
    except SystemExit as error:
        required = "are required" in said.getvalue() and not whole
        return said.getvalue()[-300:] if error.code and not required else None
    return _of_fields(words)


def _of_file(name: str, words: list[str]) -> str | None:
    """Of a script or module that is not imported: the flags in its text."""
    path = REPOSITORY / name
    if not name.endswith(".py"):
        path = REPOSITORY / f"{name.replace('.', '/')}.py"
        if not path.exists():
            path = path.with_suffix("") / "__main__.py"
    if not path.exists():
        return f"there is no {name}"
    known = _defined(path)
    for word in words:
        flag = word.removeprefix("--").partition("=")[0]
        if flag == word or (flag.startswith("config.") and "config" in known):
            continue
        if flag not in known and flag.removeprefix("no") not in known:
            return f"{name} has no flag --{flag}"
    return _of_fields(words)


def _defined(path: Path) -> set[str]:
    """Names of the flags that a file defines, by our own functions too."""
    shared = ast.parse(
        (REPOSITORY / "keras_wsss/commands/cli.py").read_text(encoding="utf-8")
    )
    functions = {
        node.name: node
        for node in shared.body
        if isinstance(node, ast.FunctionDef) and "define" in node.name
    }
    found = {"help"}
    waiting: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while waiting:
        for node in ast.walk(waiting.pop()):
            other = getattr(node, "module", None) or ""
            if other.startswith("benchmarks."):  # its flags come along
                own = REPOSITORY / f"{other.replace('.', '/')}.py"
                waiting.append(ast.parse(own.read_text(encoding="utf-8")))
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if _DEFINES.fullmatch(name):
                found |= {
                    each.value.lstrip("-")
                    for each in node.args
                    if isinstance(each, ast.Constant)
                    and isinstance(each.value, str)
                }
            elif name in functions:
                waiting.append(functions.pop(name))
            elif name == "define_config":
                found.add("config")
    return found


def check(commands: list[tuple[str, bool]]) -> list[str | None]:
    """`problem_of` each command line; see `main` for many of them.

    Args:
        commands: lines, and whether each is whole.
    """
    done = subprocess.run(
        [sys.executable, __file__],
        input=json.dumps(commands),
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return json.loads(done.stdout)


_BEFORE = frozenset(flags.FLAGS)


def main() -> None:
    """From stdin to stdout, see above."""
    # What --help is without, this is without.
    sys.modules.update(tensorflow=None, keras=None)
    found: dict[int, str | None] = {}
    lines = [(words_of(line), whole) for line, whole in json.load(sys.stdin)]
    # Commands of a kind together, as absl's flags are those of one at a time.
    order = sorted(range(len(lines)), key=lambda i: str(lines[i][0]))
    for i in order:
        words, whole = lines[i]
        found[i] = problem_of(words, whole) if words else None
    json.dump([found[i] for i in range(len(lines))], sys.stdout)


if __name__ == "__main__":
    main()
