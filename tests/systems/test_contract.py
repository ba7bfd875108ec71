"""What the contract promises: no TensorFlow, no implementer, one table."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import REPOSITORY

from keras_wsss.errors import ConfigError
from keras_wsss.systems import get_system, phase_table, system_names

PACKAGE = REPOSITORY / "keras_wsss"
NEVER = ("training", "inference", "evaluation", "serving", "commands")


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def test_the_contract_and_those_who_ask_it_name_no_system():
    files = [
        *(PACKAGE / "systems").glob("*.py"),
        PACKAGE / "run_folder.py",
        PACKAGE / "mask_updates.py",
        *(p for room in NEVER for p in (PACKAGE / room).rglob("*.py")),
    ]
    own = tuple(f"keras_wsss.systems.{name}" for name in system_names())
    for path in files:
        assert not [m for m in imports(path) if m.startswith(own)], path


def test_phases_are_told_without_tensorflow():
    code = (
        "import sys; from keras_wsss.systems import phase_table; "
        "names = [p.name for _, p in phase_table()]; "
        "print(names, {'tensorflow', 'keras'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    names = "['decoder', 'transfer', 'attention', 'joint']"
    assert done.stdout.strip() == f"{names} set()"


def test_the_docs_have_the_table_of_phases():
    text = Path(REPOSITORY / "docs" / "systems.md").read_text()
    rows = {}
    for line in text.splitlines():
        if line.startswith("| `") and "--phase" not in line:
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            rows[cells[1].strip("`"), cells[0].strip("`")] = cells[2:]
    own = ("transfernet", "prior")
    table = [(s, p) for s, p in phase_table() if s.name in own]
    assert rows.keys() == {(s.name, p.name) for s, p in table}
    for system, phase in table:
        images, weight, start = rows[system.name, phase.name]
        assert ("source" in images, "target" in images) == (
            phase.source,
            phase.target,
        )
        assert weight.strip("`") == (phase.mask_weight or "nothing")
        assert [f"`{run}`" in start for run in phase.starts_from] == [
            True
        ] * len(phase.starts_from)
        alone = phase.starts_alone or not phase.starts_from
        assert ("encoder" in start) == alone


def test_unknown_systems_are_refused():
    with pytest.raises(
        ConfigError, match=r"config\.system 'sam'; use one of t"
    ):
        get_system("sam")
