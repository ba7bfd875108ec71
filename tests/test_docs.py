"""The pages: every command in them exists, every link leads somewhere."""

import ast
import re

import doc_commands
import pytest
import yaml
from tiny import REPOSITORY

from keras_wsss.config import Config
from keras_wsss.config_fields import read_fields
from keras_wsss.config_files import current_name

PAGES = sorted(
    [
        *REPOSITORY.glob("docs/*.md"),
        *(
            REPOSITORY / name
            for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")
        ),
    ]
)
# Their docstrings show how they are run.
MODULES = sorted(
    [
        *REPOSITORY.glob("keras_wsss/configs/*.py"),
        *REPOSITORY.glob("keras_wsss/commands/*.py"),
        *REPOSITORY.glob("benchmarks/*.py"),
        *REPOSITORY.glob("*.py"),
    ]
)
FENCED = re.compile(r"^ *```.*?^ *```", re.DOTALL | re.MULTILINE)


def text_of(path):
    return path.read_text(encoding="utf-8")


def commands():
    """(where, line, whether it is whole) of all our commands."""
    found = []
    for path in PAGES:
        text = text_of(path)
        found += [(path, c, True) for c in doc_commands.commands_in(text)]
        found += [(path, c, False) for c in doc_commands.inline_commands(text)]
    for path in MODULES:
        text = ast.get_docstring(ast.parse(text_of(path))) or ""
        found += [(path, c, True) for c in doc_commands.commands_in(text)]
    return [
        (str(path.relative_to(REPOSITORY)), line, whole)
        for path, line, whole in found
        if doc_commands.words_of(line)
    ]


def test_every_command_is_one():
    found = commands()
    whole = {where for where, _, whole in found if whole}
    # So that a change of form does not leave the test with nothing to read.
    assert {"README.md", "docs/data.md", "docs/first_day.md"} <= whole
    assert len(found) > 150
    problems = doc_commands.check([each[1:] for each in found])
    wrong = [
        f"{where}: {line}\n    {problem}"
        for (where, line, _), problem in zip(found, problems, strict=True)
        if problem
    ]
    assert not wrong, "\n".join(wrong)


MISSPELT = {
    "keras-wsss train --phase decoder --workdri x": "workdri",
    "keras-wsss trian --phase decoder --workdir x": "trian",
    "python train.py --phase decode --workdir x": "decode",
    "python train.py --workdir x": "phase",
    "python train.py --phase joint --workdir x --config.train.sed=1": ".sed",
    "python train.py --phase joint --workdir x --config.train.seed=a": "seed=a",
    "python predict.py --workdir x a.jpg --batch many": "many",
    "nice python -m keras_wsss.data verify --confg x": "--confg",
    "python -m keras_wsss.data verfy --config x": "verfy",
    "keras-wsss data verify --config.data.eval_rot=x": "eval_rot",
    "python -m benchmarks.step --rouds 3 | tail": "--rouds",
    "python -m benchmarks.stop": "benchmarks.stop",
    "make tests": "tests",
    "OUT=x make demo SED=1": "SED",
    "pip install '.[encoders]'": "encoders",
}


def test_what_is_misspelt_is_found():
    text = "".join(
        f"    X=x \\\n    {line}  # as always\n" for line in MISSPELT
    )
    lines = list(doc_commands.commands_in(text))
    problems = doc_commands.check([(line, True) for line in lines])
    for problem, named in zip(problems, MISSPELT.values(), strict=True):
        assert problem, named
        assert named in problem
    # And what is right is not, where a command is named in passing only.
    right = ["predict.py", "python predict.py", "python train.py --phase joint"]
    assert doc_commands.check([(line, False) for line in right]) == [None] * 3


def test_every_field_in_yaml_is_one():
    blocks = [
        (path.name, document)
        for path in PAGES
        for block in re.findall(
            r"^ *```yaml\n(.*?)^ *```", text_of(path), re.S | re.M
        )
        for document in yaml.safe_load_all(block)
    ]
    configs = [
        (name, block)
        for name, block in blocks
        if {"base", "split", "data", "model"} & block.keys()
    ]
    assert {"data.md", "config.md", "first_day.md"} <= {n for n, _ in configs}
    for name, block in configs:
        block.pop("base", None)
        assert not read_fields(Config, block, current_name).problems(), name


def anchors(path) -> set[str]:
    """Those that GitHub gives the headings of a page."""
    text = FENCED.sub("", text_of(path))
    names = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    plain = [re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", name) for name in names]
    return {
        re.sub(r"[^\w\- ]", "", name.lower()).replace(" ", "-")
        for name in plain
    }


def links(path):
    """(file, anchor) of the links of a page that lead into the repository."""
    text = FENCED.sub("", text_of(path))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not re.match(r"\w+:", target):
            file, _, anchor = target.partition("#")
            yield (path.parent / file).resolve() if file else path, anchor


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(path):
    for file, anchor in links(path):
        assert file.exists(), file
        if anchor:
            assert anchor in anchors(file), f"{file}#{anchor}"


def test_every_page_is_reached_from_the_readme():
    waiting, reached = [REPOSITORY / "README.md"], set()
    while waiting:
        path = waiting.pop()
        if path not in reached and path.suffix == ".md":
            reached.add(path)
            waiting += [file for file, _ in links(path)]
    assert set(REPOSITORY.glob("docs/*.md")) <= reached
    pictures = {file for path in reached for file, _ in links(path)}
    others = set(REPOSITORY.glob("docs/*")) | set(REPOSITORY.glob("examples/*"))
    assert {path for path in others if path.suffix != ".md"} <= pictures
