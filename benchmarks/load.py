"""An exported model under load: right answers, refusals, memory, times.

    python -m benchmarks.load --minutes 3 --clients 8 --hostile 0.2
    python -m benchmarks.load --workdir demo/self_training
    python -m benchmarks.load --workdir RUN --saved_model served/1

Serves a model in a process of its own (`benchmarks/load_server.py`, which
stands for TensorFlow Serving) and asks it from several threads at a time. A
share of the requests is hostile, from the corpus of the tests. The exit code
is 1 unless every good request gets the predictor's masks, every hostile one
a refusal that says why, and the server's memory stays flat. Without
--workdir a small network with random weights is exported.

Needs `pip install '.[serving]'`.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import collections
import contextlib
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from pathlib import Path

from absl import app, flags, logging

from benchmarks.early_help import early_help

_MINUTES = flags.DEFINE_float("minutes", 3, "How long, after the warm-up.")
_WARM_UP = flags.DEFINE_integer(
    "warm_up", 3, "How often all requests are sent before that."
)
_TIMEOUT = flags.DEFINE_float("timeout", 60, "Seconds that none may take.")
_CLIENTS = flags.DEFINE_integer("clients", 8, "Requests at a time.")
_HOSTILE = flags.DEFINE_float("hostile", 0.2, "Share of hostile requests.")
_WORKDIR = flags.DEFINE_string("workdir", None, "A run of train.py.")
_SAVED_MODEL = flags.DEFINE_string(
    "saved_model", None, "Its export; made on the spot if not given."
)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of the order of requests.")

early_help()

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

from benchmarks.load_requests import Sent, make_requests
from keras_wsss.commands.cli import exit_with
from keras_wsss.config import Config, split_of
from keras_wsss.errors import ConfigError
from keras_wsss.evaluation.table import markdown_table
from keras_wsss.inference.predictor import Predictor
from keras_wsss.serving.build import export_model
from keras_wsss.serving.client_grpc import connect
from keras_wsss.serving.manifest import verify_manifest
from keras_wsss.serving.options import ServingOptions
from keras_wsss.systems.network import build_network
from keras_wsss.systems.quality import Quality, View

REPOSITORY = Path(__file__).resolve().parents[1]
METHOD = "/tensorflow.serving.PredictionService/Predict"
MOST_GROWTH = 0.05  # of the server's memory after the warm-up
SAMPLE_SECONDS = 2.0
_PERCENTILES = (50, 95, 99, 100)
_COLUMNS = {
    "requests": "requests",
    "number": "number",
    "median ms": 50,
    "95 % ms": 95,
    "99 % ms": 99,
    "longest ms": 100,
}


class Tally:
    """What came back, from all clients."""

    def __init__(self):
        self._lock = threading.Lock()
        self.seconds = {"good": [], "hostile": []}
        self.faults: collections.Counter[str] = collections.Counter()
        self.seen: set[str] = set()
        self.pixels = self.different = 0
        self.score = 0.0

    def add(self, sent: Sent, seconds: float, fault: str | None) -> None:
        """Counts one request."""
        with self._lock:
            self.seconds["hostile" if sent.code else "good"].append(seconds)
            self.seen.add(sent.name)
            if fault is not None:
                self.faults[f"{sent.name}: {fault}"] += 1

    def add_difference(self, pixels: int, different: int, score: float) -> None:
        """Counts the pixels of one answer."""
        with self._lock:
            self.pixels += pixels
            self.different += different
            self.score = max(self.score, score)


def make_model(folder: Path) -> tuple[Predictor, ServingOptions, Path]:
    """A predictor, and the export of the same network."""
    predictor = make_predictor()
    if _SAVED_MODEL.value:
        if not _WORKDIR.value:
            raise ConfigError(
                "--saved_model needs --workdir, the run it was made from."
            )
        path = Path(_SAVED_MODEL.value)
        return predictor, _options_of(path), path
    options = ServingOptions(max_tags=3, quality=Quality(refine=True))
    export_model(predictor, folder / "1", options)
    return predictor, options, folder / "1"


def _options_of(saved_model: Path) -> ServingOptions:
    """What an export was made with, from its manifest."""
    values = verify_manifest(saved_model)["options"]
    if "quality" not in values:
        raise ConfigError(
            f"{saved_model} was exported by an earlier version, whose manifest "
            "has no options.quality; export the run again."
        )
    quality = values.pop("quality")
    views = tuple(View(**view) for view in quality.pop("views"))
    return ServingOptions(**values, quality=Quality(views, **quality))


def make_predictor() -> Predictor:
    """The run of --workdir, or a small network with random weights."""
    if _WORKDIR.value:
        return Predictor.from_workdir(_WORKDIR.value)
    tf.keras.utils.set_random_seed(0)
    config = Config.published()
    config = config.replace(
        {
            "split.name": "shapes",
            "image.size": 64,
            "model.encoder": "vgg_small",
            "model.attention": "conv",
            "model.decoder_width": 0.25,
            "model.initializer": "he",
        }
    )
    split = split_of(config)
    return Predictor(build_network(config, split), split, config)


def ask(call, sent: Sent, tally: Tally) -> None:
    """Sends one request and judges what comes back."""
    start = time.perf_counter()
    try:
        response, error = call(sent.data, timeout=_TIMEOUT.value), None
    except grpc.RpcError as problem:
        response, error = None, problem
    seconds = time.perf_counter() - start
    fault = None
    if error is not None:
        code, text = error.code().name, error.details() or ""
        if code != sent.code or not sent.is_reason(text):
            fault = f"{code}: {text[:300]}"
    elif sent.code is not None:
        fault = "was answered"
    else:
        fault = _judge(sent, response, tally)
    tally.add(sent, seconds, fault)


def _judge(sent: Sent, response, tally: Tally) -> str | None:
    """What is wrong with an answer."""
    outputs = {
        name: tf.make_ndarray(tensor)
        for name, tensor in response.outputs.items()
    }
    try:
        different, score = sent.compare(outputs)
    except AssertionError as problem:
        return f"another size, padding or tags ({problem})"
    pixels = sum(prediction.mask.size for prediction in sent.expected)
    tally.add_difference(pixels, different, score)
    return f"{different} pixels differ" if different else None


def client(number: int, call, good, hostile, until, tally: Tally) -> None:
    """Sends requests one after the other; each list in a new order again."""
    rng = random.Random(f"{_SEED.value} {number}")
    lists = {False: _shuffled(good, rng), True: _shuffled(hostile, rng)}
    while time.monotonic() < until:
        ask(call, next(lists[rng.random() < _HOSTILE.value]), tally)


def warm_up_client(number: int, call, good, hostile, tally: Tally) -> None:
    """Sends its share of all requests, some times over."""
    share = [*good, *hostile][number :: _CLIENTS.value]
    for sent in share * _WARM_UP.value:
        ask(call, sent, tally)


def _shuffled(requests: Sequence[Sent], rng: random.Random) -> Iterator[Sent]:
    while True:
        yield from rng.sample(requests, len(requests))


@contextlib.contextmanager
def server(model: Path) -> Iterator[tuple[int, int]]:
    """A server process; yields its id and its port."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "benchmarks.load_server", str(model)),
            *("--workers", str(_CLIENTS.value)),
        ],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        line = process.stdout.readline()
        if not line:
            raise ConfigError("The server ended at once; see above.")
        yield process.pid, int(line)
        if process.poll() is not None:
            raise ConfigError(
                f"The server ended under load, code {process.returncode}."
            )
    finally:
        process.stdin.close()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def memory_mb(pid: int) -> float:
    """Resident memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise ConfigError("The server has ended; see above.")


def run_clients(
    work: Callable[[int, Tally], None], pid: int
) -> tuple[Tally, list[float]]:
    """Runs all clients to their end.

    Args:
        work: what a client does; takes its number.
        pid: the server's process.

    Returns:
        What came back, and the server's memory in MB, every few seconds.
    """
    tally, memory = Tally(), []
    with futures.ThreadPoolExecutor(_CLIENTS.value) as pool:
        running = [
            pool.submit(work, number, tally) for number in range(_CLIENTS.value)
        ]
        while any(not future.done() for future in running):
            memory.append(memory_mb(pid))
            time.sleep(SAMPLE_SECONDS)
        for future in running:
            future.result()
    return tally, memory


def growth(memory: Sequence[float]) -> float:
    """Median of the last tenth against that of the first, minus 1."""
    tenth = max(1, len(memory) // 10)
    return float(np.median(memory[-tenth:]) / np.median(memory[:tenth]) - 1)


def report(tally: Tally, memory: Sequence[float], count: int) -> bool:
    """Prints figures; whether all promises were kept."""
    total = sum(map(len, tally.seconds.values()))
    print(
        f"{total} requests by {_CLIENTS.value} clients, "
        f"{total / (60 * _MINUTES.value):.1f} a second; "
        f"{len(tally.seen)} of {count} different ones"
    )
    rows = []
    for kind, seconds in tally.seconds.items():
        row = {"requests": kind, "number": len(seconds)}
        for share in _PERCENTILES:
            row[share] = float(np.percentile(seconds, share)) * 1e3
        rows.append(row)
    print(markdown_table(rows, _COLUMNS, 0))
    print(
        f"masks: {tally.different} of {tally.pixels} pixels differ from the "
        f"predictor's, scores by at most {tally.score:.1g}"
    )
    grown = growth(memory)
    print(
        f"server memory: {memory[0]:.0f} MB after the warm-up, "
        f"{min(memory):.0f} to {max(memory):.0f}, {memory[-1]:.0f} at the end; "
        f"growth {grown:+.1%} (median of the last tenth against the first)"
    )
    for fault, number in tally.faults.most_common(20):
        print(f"FAULT, {number} times: {fault}")
    if abs(grown) > MOST_GROWTH:
        print(f"FAULT: memory is not flat within {MOST_GROWTH:.0%}")
    kept = not tally.faults and abs(grown) <= MOST_GROWTH
    print("all promises kept" if kept else "a promise was broken")
    return kept


def run() -> int:
    """Everything; returns the exit code."""
    logging.set_verbosity(logging.WARNING)
    with tempfile.TemporaryDirectory() as name:
        predictor, options, model = make_model(Path(name))
        requests = make_requests(predictor, options)
        count = sum(map(len, requests))
        values = {
            int(value)
            for sent in requests[0]
            for prediction in sent.expected
            for value in np.unique(prediction.mask)
        }
        print(
            f"{len(requests[0])} good and {len(requests[1])} hostile "
            f"requests; the predictor's masks hold {len(values)} values"
        )
        with (
            server(model) as (pid, port),
            connect(f"127.0.0.1:{port}") as channel,
        ):
            read = predict_pb2.PredictResponse.FromString
            call = channel.unary_unary(METHOD, response_deserializer=read)
            warm, before = run_clients(
                lambda n, tally: warm_up_client(n, call, *requests, tally), pid
            )
            print(
                f"warm-up: {len(warm.seen)} of {count} different requests, "
                f"memory {before[0]:.0f} to {before[-1]:.0f} MB"
            )
            until = time.monotonic() + 60 * _MINUTES.value
            tally, memory = run_clients(
                lambda n, tally: client(n, call, *requests, until, tally), pid
            )
        tally.faults.update(warm.faults)
        return 0 if report(tally, memory, count) else 1


def main(_: list[str]) -> None:
    """Command line."""
    exit_with(run)


if __name__ == "__main__":
    app.run(main)
