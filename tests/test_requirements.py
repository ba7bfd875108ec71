"""The requirements name what is imported, and bound it on both sides."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
# Import name -> name in the package index, where the two differ.
DISTRIBUTIONS = {
    "absl": "absl-py",
    "ai_edge_litert": "ai-edge-litert",
    "cv2": "opencv-python-headless",
    "grpc": "grpcio",
    "jinja2": "Jinja2",
    "keras_hub": "keras-hub",
    "PIL": "Pillow",
    "pydensecrf": "pydensecrf2",
    "yaml": "PyYAML",
    "tensorflow_serving": "tensorflow-serving-api",
}
# Imported only by what an extra of pyproject.toml is for.
EXTRAS = {
    "ai-edge-litert",
    "grpcio",
    "keras-hub",
    "onnx",
    "onnxruntime",
    "pydensecrf2",
    "scipy",
    "tensorflow-serving-api",
    "tf2onnx",
}


def requirements(name: str) -> dict[str, str]:
    lines = (REPOSITORY / name).read_text(encoding="utf-8").splitlines()
    found = {}
    for line in lines:
        text = line.partition("#")[0].strip()
        if text:
            name, bounds = re.fullmatch(r"([\w-]+)(.*)", text).groups()
            found[name] = bounds
    return found


def imported() -> set[str]:
    paths = [*REPOSITORY.glob("*.py"), *REPOSITORY.glob("keras_wsss/**/*.py")]
    names = set()
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names.add(node.module)
    tops = {name.partition(".")[0] for name in names}
    own = {"keras_wsss", "export"}
    return tops - own - set(sys.stdlib_module_names)


def test_every_import_is_required():
    needed = {DISTRIBUTIONS.get(name, name) for name in imported()}
    assert "tensorflow" in needed
    missing = needed - set(requirements("requirements.txt")) - EXTRAS
    assert not missing


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_every_requirement_has_both_bounds(name):
    for requirement, bounds in requirements(name).items():
        assert re.fullmatch(r">=[\d.]+,<[\d.]+", bounds), requirement


def test_the_extra_for_gpus_is_the_required_tensorflow_with_cuda():
    text = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    extras = tomllib.loads(text)["project"]["optional-dependencies"]
    bounds = requirements("requirements.txt")["tensorflow"]
    assert extras["gpu"] == [f"tensorflow[and-cuda]{bounds}"]


def locked() -> dict[str, str]:
    """Name -> version of every package in requirements.lock."""
    text = (REPOSITORY / "requirements.lock").read_text(encoding="utf-8")
    return dict(re.findall(r"^([\w.-]+)==([^ ;]+)", text, re.MULTILINE))


def as_numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


def test_the_lock_holds_every_requirement_within_its_bounds():
    versions = {
        name.lower().replace("_", "-"): version
        for name, version in locked().items()
    }
    for name, bounds in requirements("requirements.txt").items():
        version = as_numbers(versions[name.lower().replace("_", "-")])
        least, below = re.fullmatch(r">=([\d.]+),<([\d.]+)", bounds).groups()
        assert as_numbers(least) <= version < as_numbers(below), name


def test_every_locked_version_has_hashes_and_no_address():
    text = (REPOSITORY / "requirements.lock").read_text(encoding="utf-8")
    assert "://" not in text
    entries = re.split(r"^(?=[\w.-]+==)", text, flags=re.MULTILINE)[1:]
    assert len(entries) == len(locked()) > 20
    for entry in entries:
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry[:80]
