"""Files and names that the documentation speaks of are there."""

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
PAGES = [
    *REPOSITORY.glob("*.md"),
    *(REPOSITORY / "docs").glob("*.md"),
    *(REPOSITORY / "keras_wsss" / "configs").glob("*.py"),
]
OURS = "benchmarks|docs|export|keras_wsss|tests"
PATH = re.compile(rf"(?<![\w./=$-])(?:{OURS})/[\w./-]*\w")
# Tables name modules by where they are in the package.
MODULE = re.compile(r"`((?:\w+/)+\w+\.py)`")
NAME = re.compile(r"(?<![\w./])(?:benchmarks|keras_wsss)(?:\.\w+)+")
CHOSEN = re.compile(r"pytest (tests/[^`\n]*) -k (\w+|\"[^\"]+\")")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_names_is_there(page):
    text = page.read_text(encoding="utf-8")
    paths = {path for path in PATH.findall(text) if "NAME" not in path}
    assert [path for path in paths if not (REPOSITORY / path).exists()] == []
    assert [name for name in NAME.findall(text) if not defined(name)] == []
    modules = {name for name in MODULE.findall(text) if "NAME" not in name}
    roots = REPOSITORY, REPOSITORY / "keras_wsss"
    assert [
        name
        for name in modules
        if not any((root / name).exists() for root in roots)
    ] == []


def defined(name):
    """Whether a dotted name is a module's, or of what a module defines.

    Nothing is imported: modules that are programs define flags.
    """
    path = REPOSITORY.joinpath(*name.split("."))
    if path.is_dir() or path.with_suffix(".py").exists():
        return True
    package = path.parent / "__init__.py"
    module = package if package.exists() else path.parent.with_suffix(".py")
    lines = module.read_text(encoding="utf-8") if module.exists() else ""
    return re.search(rf"(?m)^(def |class )?{path.name}\b", lines) is not None


def test_tests_that_pages_choose_are_there():
    for page in PAGES:
        for places, words in CHOSEN.findall(page.read_text(encoding="utf-8")):
            names = text_of_tests(places.split())
            for word in re.sub(r"\bor\b|\"", " ", words).split():
                assert re.search(rf"(?i){word}", names), (page.name, word)


def text_of_tests(places):
    """The names and the content of files and of folders of tests."""
    files = []
    for path in map(REPOSITORY.joinpath, places):
        files += [path] if path.is_file() else path.rglob("*.py")
    return "\n".join(f"{f}\n{f.read_text(encoding='utf-8')}" for f in files)
