"""The house: data flows one way, and nothing imports back up."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "keras_wsss"
# Floors from the ground; rooms of one floor may know each other.
FLOORS = (
    (
        "errors",
        "files",
        "versions",
        "lazy",
        "progress",
        "side_by_side",
        "strips",
        "lettering",
    ),
    ("quiet_start", "keras_settings"),
    ("registry", "devices", "precision", "categories"),
    ("colours", "drawing", "pages"),
    ("config_fields", "config", "config_docs", "config_files", "config_prior"),
    ("configs",),
    ("tagging", "checkpoints"),
    ("data",),
    ("shapes",),
    ("layers",),
    ("encoders",),
    ("systems",),
    ("run_folder", "mask_updates"),
    ("training", "inference"),
    ("evaluation", "serving", "suggest"),
    ("commands",),
)
FLOOR = {room: n for n, rooms in enumerate(FLOORS) for room in rooms}
# Started by name, as commands are.
PROGRAMS = {
    "__init__.py",  # hands names on, lazily
    "__main__.py",
    "config.py",  # `python -m keras_wsss.config` prints its documentation
    "data/__main__.py",
}


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            if node.module == "keras_wsss":
                names |= {f"keras_wsss.{alias.name}" for alias in node.names}
    parts = (name.split(".") for name in names)
    return {p[1] for p in parts if p[0] == "keras_wsss" and len(p) > 1} - {
        "__version__"
    }


FILES = sorted(PACKAGE.rglob("*.py"))


def test_every_room_has_a_floor():
    rooms = {room_of(path) for path in FILES} - {"__init__", "__main__"}
    assert rooms == set(FLOOR)


@pytest.mark.parametrize(
    "path",
    [path for path in FILES if str(path.relative_to(PACKAGE)) not in PROGRAMS],
    ids=lambda path: str(path.relative_to(PACKAGE)),
)
def test_nothing_imports_back_up(path):
    own = FLOOR[room_of(path)]
    above = {room for room in imported_rooms(path) if FLOOR.get(room, 0) > own}
    assert not above
