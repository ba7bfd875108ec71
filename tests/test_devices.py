"""The first line of a command, and GPUs that TensorFlow cannot use."""

import importlib.metadata
import os
import re
import sys
from types import SimpleNamespace

import pytest
import tensorflow as tf

from keras_wsss import devices

H100 = "NVIDIA H100 80GB HBM3"


@pytest.fixture(autouse=True)
def machine(monkeypatch, tmp_path):
    """Without GPUs or a driver; returns what gives TensorFlow GPUs."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def with_gpus(*names):
        gpus = [SimpleNamespace(name=f"GPU:{i}") for i in range(len(names))]
        details = {
            gpu.name: {"device_name": name} if name else {}
            for gpu, name in zip(gpus, names, strict=True)
        }
        for function in ("list_physical_devices", "get_visible_devices"):
            monkeypatch.setattr(tf.config, function, lambda kind: gpus)
        monkeypatch.setattr(
            tf.config.experimental,
            "get_device_details",
            lambda gpu: details[gpu.name],
        )

    with_gpus()
    return with_gpus


@pytest.fixture
def driver(tmp_path):
    """The folder of a driver that has two GPUs, one of unknown model."""
    folder = tmp_path / "gpus"
    for bus, text in (
        ("0000:01:00.0", f"Model: \t\t {H100}\nIRQ:   \t\t 123\n"),
        ("0000:02:00.0", "IRQ:   \t\t 124\n"),
    ):
        (folder / bus).mkdir(parents=True)
        (folder / bus / "information").write_text(text)
    return folder


@pytest.fixture
def command(tmp_path):
    """Writes an nvidia-smi of Python code that is alone on the PATH."""

    def write(code):
        path = tmp_path / "bin" / "nvidia-smi"
        path.parent.mkdir()
        path.write_text(f"#!{sys.executable} -IS\nimport sys, time\n{code}\n")
        path.chmod(0o755)

    return write


def test_the_line_of_a_machine_without_gpu():
    line = devices.devices_line(2)
    assert re.fullmatch(r"Computing on CPU \([1-9]\d* cores\)\.", line)
    assert devices.computing_devices() == [line[13:-1]]


def test_the_line_names_the_gpus_in_use(machine):
    machine(H100)
    assert devices.devices_line() == f"Computing on 1 GPU: {H100}."
    machine(H100, None)
    assert devices.devices_line(2) == f"Computing on 2 GPUs: {H100}, GPU:1."
    assert devices.devices_line() == f"Computing on 1 of 2 GPUs: {H100}."
    line = devices.devices_line(2, workers=3)
    assert line.endswith("GPU:1, one of 3 workers.")
    assert devices.computing_devices(2) == [H100, "GPU:1"]


def test_no_gpu_no_warning(tmp_path):
    assert devices.unused_gpus(tmp_path / "none") is None


def test_a_gpu_of_the_drivers_folder_is_missed(driver, monkeypatch):
    """Whether this machine has the package installed or not."""

    def absent(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", absent)
    text = devices.unused_gpus(driver)
    assert f"the driver has 2 GPUs ({H100}, NVIDIA GPU)" in text
    assert "pip install 'tensorflow[and-cuda]'" in text
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "1.0")
    assert "pip install 'keras-wsss[gpu]'" in devices.unused_gpus(driver)


def test_a_gpu_of_the_drivers_command_is_missed(command, tmp_path):
    command(f'print("GPU 0: {H100} (UUID: GPU-1)\\n  MIG 1g (UUID: MIG-1)")')
    text = devices.unused_gpus(tmp_path / "none")
    assert f"the driver has a GPU ({H100})," in text


def test_the_command_knows_what_a_container_was_given(command, driver):
    command("pass")
    assert devices.unused_gpus(driver) is None


@pytest.mark.parametrize(
    "code",
    ["sys.exit(9)", "time.sleep(60)", "import no_such_module"],
    ids=["fails", "hangs", "is broken"],
)
def test_a_command_that_does_not_answer(code, command, driver, monkeypatch):
    monkeypatch.setattr(devices, "_DRIVER_SECONDS", 0.5)
    command(code)
    assert "2 GPUs" in devices.unused_gpus(driver)


def test_a_command_that_says_other_things(command, tmp_path):
    command(r'sys.stdout.buffer.write(b"\xff\xfe GPU\n")')
    assert devices.unused_gpus(tmp_path / "none") is None


@pytest.mark.parametrize("hidden", ["", "-1"])
def test_who_hides_the_gpu_is_not_warned(hidden, driver, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    assert devices.unused_gpus(driver) is None


def test_a_gpu_in_use_is_no_reason(machine, driver):
    machine(H100)
    assert devices.unused_gpus(driver) is None


def test_line_to_stdout_and_warning_to_stderr(driver, monkeypatch, capsys):
    monkeypatch.setattr(
        devices.unused_gpus, "__defaults__", (driver,)
    )  # the folder of the machine
    devices.announce_devices()
    out, err = capsys.readouterr()
    assert out.startswith("Computing on CPU (")
    assert err.startswith("warning: the driver has 2 GPUs")
    assert out.count(os.linesep) == err.count(os.linesep) == 1
