"""Nothing of the project talks to the network unless asked to."""

import subprocess
import sys

import pytest
from tiny import REPOSITORY, run_script

# Connections and look-ups of names fail loudly, whoever makes them.
NO_NETWORK = """
import socket
def refuse(*args, **kwargs):
    raise AssertionError(f"network access: {args[1:]}")
socket.socket.connect = socket.socket.connect_ex = refuse
socket.create_connection = socket.getaddrinfo = refuse
"""
IMPORT_ALL = """
import importlib, pathlib
for path in sorted(pathlib.Path("keras_wsss").rglob("*.py")):
    name = ".".join(path.with_suffix("").parts).removesuffix(".__init__")
    # The client for gRPC needs an extra; commands share the names of flags.
    if not name.endswith(("__main__", "client_grpc")) and (
        ".commands." not in name
    ):
        importlib.import_module(name)
print("imported")
"""


def test_the_block_works():
    code = NO_NETWORK + "socket.create_connection(('127.0.0.1', 9))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "network access" in done.stderr


def test_importing_every_module():
    done = subprocess.run(
        [sys.executable, "-c", NO_NETWORK + IMPORT_ALL],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip().endswith("imported"), done.stderr


@pytest.mark.parametrize(
    "script", ["train.py", "evaluate.py", "predict.py", "export/__main__.py"]
)
def test_help_of_scripts(script):
    done = run_script(script, "--help", code=NO_NETWORK)
    assert "Traceback" not in done.stderr, done.stderr
    assert "--workdir" in done.stdout
