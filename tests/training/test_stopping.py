"""SIGTERM and a full disk: training ends clearly and can go on."""

import contextlib
import os
import signal
import subprocess
import threading

import numpy as np
import pytest
import tensorflow as tf
from tiny import STEPS, run_script

from keras_wsss.checkpoints import (
    Checkpoint,
    list_checkpoints,
    load_checkpoint,
    load_latest,
    save_checkpoint,
)
from keras_wsss.drawing import Row
from keras_wsss.errors import DataError
from keras_wsss.run_folder import CHECKPOINTS
from keras_wsss.training.stop_signal import StopSignal
from keras_wsss.training.summaries import Watch, event_errors

STEP = 6  # not one after which a checkpoint is due
# As a cluster manager would, while the update of a step is computed.
SEND_SIGNAL = f"""
import os, signal
from keras_wsss.training import loop
rate = loop.learning_rate
def learning_rate(settings, step):
    if step == {STEP - 1}:
        os.kill(os.getpid(), signal.SIGTERM)
    return rate(settings, step)
loop.learning_rate = learning_rate
"""


def train(workdir, data, *flags, code=None):
    return run_script(
        "train.py",
        "--phase=decoder",
        "--config=tests/tiny.py",
        f"--workdir={workdir}",
        "--config.train.deterministic=True",
        "--config.train.examples=0",  # drawn only, and not what is tested
        *flags,
        data=data,
        code=code,
    )


def test_sigterm_saves_and_the_repeated_command_ends_alike(
    shapes_dir, decoder_run, tmp_path
):
    workdir = tmp_path / "decoder"
    ended = train(workdir, shapes_dir, code=SEND_SIGNAL)
    assert ended.returncode == 143, ended.stderr
    assert f"terminated: step {STEP} is saved; repeat" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert load_latest(workdir / CHECKPOINTS).step == STEP
    assert not (workdir / "results.json").exists()

    repeated = train(workdir, shapes_dir)
    assert repeated.returncode == 0, repeated.stderr
    assert f"Resuming after step {STEP}." in repeated.stdout
    one, other = (
        load_latest(folder / CHECKPOINTS)
        for folder in (decoder_run[0], workdir)
    )
    assert one.step == other.step == STEPS
    for name, array in one.arrays.items():
        assert array.tobytes() == other.arrays[name].tobytes(), name


def test_the_signal_is_noted_once_and_handlers_are_restored():
    before = signal.getsignal(signal.SIGTERM)
    with StopSignal() as stop:
        assert not stop.requested
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.requested
        # The next one ends the process as it would have without us.
        assert signal.getsignal(signal.SIGTERM) == before
    with StopSignal():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before


def test_other_threads_cannot_catch_signals():
    noted = []

    def run():
        with StopSignal() as stop:
            noted.append(stop.requested)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert noted == [False]


@pytest.fixture
def small_disk(tmp_path):
    """A function that mounts a file system of some bytes; needs root."""
    mounted = []

    def mount(size: int):
        folder = tmp_path / "disk"
        folder.mkdir()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder],
            capture_output=True,
            check=False,
        )
        if done.returncode:
            pytest.skip("a small file system cannot be mounted here")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        # TensorFlow may keep an event file open.
        subprocess.run(["umount", "--lazy", folder], check=True)


def make(step: int) -> Checkpoint:
    array = np.random.default_rng(step).random(50_000)
    return Checkpoint(step, {"model/a": array}, {})


def test_full_disk_leaves_the_checkpoint_before(small_disk):
    disk = small_disk(1_000_000)
    save_checkpoint(disk, make(1))
    save_checkpoint(disk, make(2))
    with pytest.raises(DataError, match="No space left on device") as caught:
        save_checkpoint(disk, make(3))
    assert "step_000000003.npz" in str(caught.value)
    assert "Make room and repeat the command" in str(caught.value)
    # Nothing half there.
    assert sorted(disk.iterdir()) == list_checkpoints(disk)
    latest = load_latest(disk)
    assert latest.step == 2
    np.testing.assert_array_equal(
        latest.arrays["model/a"], make(2).arrays["model/a"]
    )


def test_events_on_a_full_disk_are_told_in_one_sentence(small_disk):
    disk = small_disk(200_000)
    writer = tf.summary.create_file_writer(str(disk / "events"))
    pictures = {"source": [Row(np.zeros((9, 9, 3), np.uint8), ())]}
    watch = Watch(writer, disk, None, lambda: pictures)
    watch(0)
    with (
        open(disk / "filler", "wb", buffering=0) as file,
        contextlib.suppress(OSError),
    ):
        while True:
            file.write(bytes(1000))
    steps = iter(range(1, 100))
    with pytest.raises(DataError, match="No space left on device") as caught:
        all(watch(step) is None for step in steps)
    (text,) = str(caught.value).splitlines()
    assert str(disk / "events") in text
    assert "{{" not in text
    # A run that is started on a disk that is full already.
    with (
        pytest.raises(DataError, match="No space left on device"),
        event_errors(),
    ):
        tf.summary.create_file_writer(str(disk / "more"))


def folder_size(folder) -> int:
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


def test_training_on_a_full_disk_ends_with_one_sentence(
    shapes_dir, decoder_run, small_disk
):
    """Room for what the run keeps otherwise, not for all checkpoints."""
    files = list_checkpoints(decoder_run[0] / CHECKPOINTS)
    whole = folder_size(decoder_run[0])
    disk = small_disk(whole + files[0].stat().st_size // 2)
    ended = train(
        disk / "run",
        shapes_dir,
        "--config.train.checkpoint_every=1",
        f"--config.train.keep_checkpoints={STEPS}",
    )
    assert ended.returncode == 2, ended.stderr
    lines = ended.stderr.strip().splitlines()
    assert "Traceback" not in ended.stderr
    assert lines[-1].startswith("error: ")
    assert "No space left on device" in lines[-1]
    left = list_checkpoints(disk / "run" / CHECKPOINTS)
    assert left
    for path in left:
        load_checkpoint(path)
