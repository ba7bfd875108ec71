"""Two worker processes on loopback train what one process trains.

The runs of this file hang together, so that each of them serves several
tests: a decoder phase in one process and in two, of which one is killed and
both are started again; and the other phases in one process and in two.
"""

import json

import numpy as np
import pytest
from worker_runs import WorkerRuns

from keras_wsss.categories import SHAPES_SOURCE, SHAPES_TARGET
from keras_wsss.checkpoints import load_latest
from keras_wsss.run_folder import CHECKPOINTS, read_results

STEPS = 20
SAVED = 8
KILLED = 11  # not a step after which a checkpoint is due
LIMIT = 20  # seconds that a silent worker has
FLAGS = [
    "--config=tests/tiny.py",
    "--config.train.examples=0",
    f"--config.train.checkpoint_every={SAVED}",
    "--config.train.heldout_every=100",
    f"--worker_timeout={LIMIT}",
]
DECODER = [
    "--phase=decoder",
    f"--config.decoder.steps={STEPS}",
    "--config.decoder.target_pairs=4",
    "--config.decoder.warmup_steps=0",
]
JOINT = [
    "--phase=joint",
    "--config=tests/tiny_prior.py",
    "--config.train.examples=0",
    f"--config.train.checkpoint_every={STEPS}",
    f"--config.joint.steps={STEPS}",
    # At 1e-4 this random network magnifies rounding too much: one process
    # parts from itself by 5.6e-4 when its weights are changed by one part in
    # 10^7, at 1e-5 by 1.5e-5. Draws of dropout by device, which the test is
    # to find, then part half of the first kernel by more than 1e-4.
    "--config.joint.learning_rate=1e-5",
    "--config.joint.warmup_steps=0",
    f"--worker_timeout={LIMIT}",
]

# Notes the records of each step, and every file that Python opens to write.
OBSERVE = """
import json, os, sys
from keras_wsss.training import loop

notes = os.open({path!r}, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

def note(*values):
    os.write(notes, (json.dumps(values) + "\\n").encode())

def opened(event, args):
    changing = os.O_WRONLY | os.O_RDWR | os.O_CREAT
    if event == "open" and (args[2] or 0) & changing:
        note("write", str(args[0]))

share = loop.share

def noted(strategy, batch, *rest):
    rows = {{k: v["record"].numpy().tolist() for k, v in batch.items()}}
    note("records", rows)
    return share(strategy, batch, *rest)

loop.share = noted
sys.addaudithook(opened)
"""
KILL = f"""
import os, signal
from keras_wsss.training import loop

rate = loop.learning_rate

def learning_rate(settings, step):
    if step == {KILLED}:
        os.kill(os.getpid(), signal.SIGKILL)
    return rate(settings, step)

loop.learning_rate = learning_rate
"""
ASK = """
from keras_wsss.training.cluster import read_cluster
from keras_wsss.training.workers import Timeouts, connect

workers = connect(read_cluster(), Timeouts())
with workers.together():
    for call in range(9):
        if workers.any_asked(call >= 3 and not workers.is_chief):
            print("heard in call", call)
            break
"""
# Joins the cluster, then does without any collective operation.
CONNECT = """
import os, signal, threading
from keras_wsss.training.cluster import read_cluster
from keras_wsss.training.workers import Timeouts, connect

workers = connect(read_cluster(), Timeouts(lost=10))
with workers.together():
    threading.Event().wait(500)
"""
STOP = CONNECT.replace(
    "    threading", "    os.kill(os.getpid(), signal.SIGSTOP)\n    threading"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("workers")


@pytest.fixture(scope="module")
def start(folder, shapes_dir):
    return WorkerRuns(folder, shapes_dir)


def observed(folder, name):
    return {i: OBSERVE.format(path=str(folder / f"{name}{i}")) for i in (0, 1)}


def notes(folder, name, index, kind):
    lines = (folder / f"{name}{index}").read_text().splitlines()
    return [v for k, v in map(json.loads, lines) if k == kind]


def decoder_flags(folder, name):
    return [
        *FLAGS,
        *DECODER,
        f"--workdir={folder / name}",
        f"--feature_cache={folder / name}_cache",
    ]


@pytest.fixture(scope="module")
def alone(start, folder):
    """The decoder phase in one process."""
    codes = observed(folder, "alone_notes")
    (ended,) = start(decoder_flags(folder, "alone"), count=1, codes=codes)
    assert ended.code == 0, ended.output
    return folder / "alone"


@pytest.fixture(scope="module")
def killed(start, folder):
    """The decoder phase of two workers, the second killed in a step."""
    codes = observed(folder, "killed_notes")
    codes[1] += KILL
    return start(decoder_flags(folder, "two"), codes=codes)


@pytest.fixture(scope="module")
def repeated(killed, start, folder):
    """The same command once more."""
    codes = observed(folder, "repeated_notes")
    ended = start(decoder_flags(folder, "two"), codes=codes)
    assert [e.code for e in ended] == [0, 0], [e.output for e in ended]
    return ended


def assert_same_weights(one, two):
    first, second = (load_latest(run / CHECKPOINTS) for run in (one, two))
    assert first.step == second.step == STEPS
    assert first.arrays.keys() == second.arrays.keys()
    for name, array in first.arrays.items():
        # One bias for all positions: softmax does not see it, its gradient
        # is rounding noise, and Adam makes full steps of that.
        if "att_w/bias" in name or "att_w_bias" in name:
            continue
        np.testing.assert_allclose(
            array, second.arrays[name], rtol=0, atol=1e-4, err_msg=name
        )


def test_a_killed_worker_ends_the_other(killed):
    chief, worker = killed
    assert worker.code == -9
    assert chief.code == 2, chief.output
    assert chief.seconds - worker.seconds < LIMIT + 10  # busy machine
    assert "Traceback" not in chief.output
    (line,) = chief.errors
    assert "Worker 1 (127.0.0.1:" in line
    assert "repeat the command on all workers" in line


def test_the_repeated_command_resumes_and_ends_alike(repeated, alone, folder):
    assert f"Resuming after step {SAVED}." in repeated[0].output
    assert_same_weights(alone, folder / "two")
    one, two = read_results(alone), read_results(folder / "two")
    assert (one["workers"], two["workers"]) == (1, 2)
    assert (one["devices"], two["devices"]) == (1, 2)
    for name in set(one["last"]) - {"pairs_per_second"}:
        assert one["last"][name] == pytest.approx(two["last"][name], abs=1e-4)
    assert one["heldout"] == pytest.approx(two["heldout"], abs=1e-2)


def test_each_worker_reads_its_share(repeated, alone, folder):
    whole = notes(folder, "alone_notes", 0, "records")[SAVED:]
    parts = [notes(folder, "repeated_notes", i, "records") for i in (0, 1)]
    assert len(whole) == len(parts[0]) == len(parts[1]) == STEPS - SAVED
    for batch, first, second in zip(whole, *parts, strict=True):
        for domain, rows in batch.items():
            assert len(first[domain]) == len(second[domain]) == 2
            assert first[domain] + second[domain] == rows


def test_only_the_chief_writes_and_prints(repeated, killed, folder):
    two = str(folder / "two") + "/"
    for name in ("killed_notes", "repeated_notes"):
        chief, worker = (notes(folder, name, i, "write") for i in (0, 1))
        assert any(path.startswith(two) for path in chief)
        assert not [path for path in worker if path.startswith(two)]
    # TensorFlow writes events itself: one file for each start of the chief.
    assert len(list((folder / "two" / "events").glob("*tfevents*"))) == 2
    assert repeated[1].ours == ""
    assert "Done: " in repeated[0].output


def test_all_workers_build_the_feature_cache_together(killed, alone, folder):
    def written(index):
        paths = notes(folder, "killed_notes", index, "write")
        return {path for path in paths if path.endswith(".features")}

    made = list((folder / "two_cache").glob("*/*.features"))
    expected = list((folder / "alone_cache").glob("*/*.features"))
    assert sorted(p.name for p in made) == sorted(p.name for p in expected)
    first, second = len(written(0)), len(written(1))
    assert first + second == len(made)  # none twice
    # The chief alone looks at what is held out for its tags, in two views.
    held = json.loads((folder / "two" / "heldout.json").read_text())
    first -= 2 * sum(len(pictures) for pictures in held.values())
    assert abs(first - second) <= 4  # an odd picture of each domain, 2 views


def test_transfer_gives_the_same_weights(start, folder, alone):
    """Of both domains; one more category begins with random weights."""
    target = ("comet", *SHAPES_TARGET[::-1])
    flags = [
        *FLAGS,
        "--phase=transfer",
        f"--config.transfer.steps={STEPS}",
        f"--init_from={alone}",
        "--config.split.name=own",
        f"--config.split.source={SHAPES_SOURCE!r}",
        f"--config.split.target={target!r}",
    ]
    one, two = folder / "transfer_alone", folder / "transfer_two"
    runs = start([*flags, f"--workdir={one}"], count=1)
    runs += start([*flags, f"--workdir={two}"])
    for run in runs:
        assert run.code == 0, run.output
    assert_same_weights(one, two)


def test_joint_gives_the_same_weights(start, folder):
    """Dropout and hidden cells do not depend on who computes a picture."""
    one = start([*JOINT, f"--workdir={folder}/j_alone"], count=1)
    two = start([*JOINT, f"--workdir={folder}/j_two"])
    for run in (*one, *two):
        assert run.code == 0, run.output
    assert_same_weights(folder / "j_alone", folder / "j_two")
    results = [read_results(folder / name) for name in ("j_alone", "j_two")]
    assert [result["workers"] for result in results] == [1, 2]
    last = [result["last"]["segment_loss"] for result in results]
    # Masks on line are discrete, so rounding shows: 1.0e-3 was seen with the
    # pictures of another OpenCV.
    assert last[0] == pytest.approx(last[1], abs=5e-3)


def test_all_hear_at_once_that_one_was_asked_to_end(start):
    for worker in start(codes={0: ASK, 1: ASK}, script=None):
        assert worker.code == 0, worker.output
        # One call after the one in which a worker said so.
        assert worker.ours == "heard in call 4\n"


def test_workers_with_other_commands_are_refused(start, folder):
    flags = [*FLAGS, *DECODER, f"--workdir={folder}/other"]
    ended = start(flags, more={1: ["--config.train.seed=5"]})
    for worker in ended:
        assert worker.code == 2, worker.output
        (line,) = worker.errors
        assert "Worker 1 (127.0.0.1:" in line
        assert "differs from the chief's" in line
    assert not (folder / "other").exists()


def test_a_worker_that_stays_alone_ends(start, folder):
    flags = [*FLAGS, *DECODER, f"--workdir={folder}/no", "--start_timeout=3"]
    (ended,) = start(flags, only=(0,))
    assert ended.code == 2, ended.output
    assert "Traceback" not in ended.output
    (line,) = ended.errors
    assert "worker 0 waited for worker 1 (127.0.0.1:" in line


def test_sigterm_outside_of_the_loop_ends_at_once(start):
    """TensorFlow's own handler would only note it."""
    codes = {0: STOP.replace("SIGSTOP", "SIGTERM"), 1: CONNECT}
    first, _ = start(codes=codes, script=None, enough=1)
    assert first.code == -15, first.output


@pytest.mark.parametrize("silent", [0, 1])
def test_a_silent_worker_ends_one_that_is_busy_elsewhere(start, silent):
    """Stopped, not dead: its connections stay open."""
    codes = {silent: STOP, 1 - silent: CONNECT}
    ended = start(codes=codes, script=None, enough=1)
    assert ended[silent].code == -9  # still stopped when the other ended
    other = ended[1 - silent]
    assert other.code == 2, other.output
    assert f"Worker {silent} (127.0.0.1:" in other.errors[0]
