"""Workers that train together: meeting points, agreement, loss of one."""

import contextlib
import dataclasses
import faulthandler
import hashlib
import logging
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Iterator

import tensorflow as tf

from keras_wsss.errors import ConfigError, UserError
from keras_wsss.training.cluster import ALONE, MULTI_WORKER, Cluster
from keras_wsss.training.devices import make_strategy
from keras_wsss.training.rendezvous import meet_at_chief

_EXIT_LOST = 2
# Of the time that a silent worker has: the rest is for noticing and ending.
_HEARTBEAT_SHARE = 0.75
_POLL_SECONDS = 1.0
_GRACE_SECONDS = 3.0
_PROBE_MILLISECONDS = 2000
_LEADER = "/job:worker/replica:0/task:0"


class WorkerLostError(UserError):
    """Another worker ended or cannot be reached any more."""


@dataclasses.dataclass(frozen=True)
class Timeouts:
    """How long workers wait for each other.

    Attributes:
        start: seconds for all workers to appear.
        lost: seconds after which a worker that went silent ends the others;
            at least 10.
    """

    start: float = 600.0
    lost: float = 60.0

    def __post_init__(self):
        if self.start <= 0 or self.lost < 10:
            raise ConfigError(
                f"--start_timeout is {self.start:g} and --worker_timeout "
                f"{self.lost:g}; use more than 0 and at least 10 seconds."
            )


DEFAULT_TIMEOUTS = Timeouts()


class Workers:
    """One process alone, or this one among the workers of a cluster.

    Everything that has "all workers" in its description must be called by
    all of them, in the same order.

    Args:
        strategy: distribution strategy.
        cluster: who trains together.
        timeouts: how long they wait for each other.
    """

    def __init__(
        self,
        strategy: tf.distribute.Strategy,
        cluster: Cluster = ALONE,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
    ):
        self.strategy = strategy
        self.index, self.count = cluster.index, cluster.count
        self._addresses = cluster.addresses
        self._patience = timeouts.lost * _HEARTBEAT_SHARE
        self._asked: tf.Tensor | None = None
        self._sum = tf.function(self._summed, autograph=False)

    @property
    def is_chief(self) -> bool:
        """Whether this process writes files and prints."""
        return self.index == 0

    @property
    def shard(self) -> tuple[int, int]:
        """(index, count) of this process."""
        return self.index, self.count

    @property
    def local_replicas(self) -> int:
        """Devices of this process."""
        return self.strategy.num_replicas_in_sync // self.count

    def meet(self) -> None:
        """Waits until all workers are here."""
        if self.count > 1:
            self.everyones(0).numpy()

    def any_asked(self, flag: bool) -> bool:
        """Whether any of all workers gave a true flag.

        With several workers it is about the flags of the call before, so
        that none has to wait for the slowest: all hear of it in the same
        call.
        """
        if self.count == 1:
            return flag
        before, self._asked = self._asked, self.everyones(flag)
        return before is not None and bool(before > 0)

    def same(self, what: str, text: str, remedy: str) -> None:
        """Makes sure that all workers have the same text.

        Args:
            what: what it is, for the message.
            text: compared with that of the chief.
            remedy: last part of the message.

        Raises:
            ConfigError: some differ; all workers raise it.
        """
        if self.count == 1:
            return
        digest = hashlib.sha256(text.encode()).digest()
        values = self.everyones(
            int.from_bytes(digest[:7], "big"), each=True
        ).numpy()
        others = [i for i, v in enumerate(values) if v != values[0]]
        if others:
            raise ConfigError(
                f"Worker {others[0]} ({self._addresses[others[0]]}) has "
                f"{what} that differs from the chief's; {remedy}."
            )

    def everyones(self, value: int, each: bool = False) -> tf.Tensor:
        """Values of all workers: int64 [count] if `each`, else their sum."""
        length = self.count if each else 1
        place = self.index if each else 0

        def rows(context) -> tf.Tensor:
            # One of the devices of this worker speaks for it.
            mine = context.replica_id_in_sync_group % self.local_replicas == 0
            return tf.one_hot(
                place, length, int(value) * mine, 0, dtype=tf.int64
            )

        values = self.strategy.experimental_distribute_values_from_function(
            rows
        )
        total = self._sum(values)
        return total if each else total[0]

    def _summed(self, values):
        def add(value):
            # The sum asks where its operand lies: an input lies nowhere yet.
            here = tf.identity(value)
            replica = tf.distribute.get_replica_context()
            return replica.all_reduce(tf.distribute.ReduceOp.SUM, here)

        summed = self.strategy.run(add, (values,))
        return self.strategy.experimental_local_results(summed)[0]

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Within it, the loss of a worker ends this one with one sentence.

        A worker that computes or waits for a collective operation gets
        `WorkerLostError`. One that does anything else for longer, such as
        building its share of the feature cache, is ended by a thread, with
        exit code 2: TensorFlow's runtime cannot go on without the cluster.
        """
        if self.count == 1:
            yield
            return
        closed = threading.Event()
        watch = threading.Thread(
            target=self._watch, args=(closed,), daemon=True
        )
        watch.start()
        try:
            yield
        except tf.errors.OpError as error:
            if not _is_loss(error):
                raise
            raise WorkerLostError(self._sentence(_named(error))) from None
        finally:
            closed.set()
            # A thread within TensorFlow must not live on while Python ends.
            watch.join()

    def _watch(self, closed: threading.Event) -> None:
        silent_since: float | None = None
        while not closed.wait(_POLL_SECONDS):
            now = time.monotonic()
            lost, silent = self._lost()
            silent_since = (silent_since or now) if silent else None
            waited = now - silent_since if silent_since is not None else 0.0
            if waited > self._patience:
                lost = 0
            # Time for the main thread to notice by itself and clean up.
            if lost is not None and not closed.wait(_GRACE_SECONDS):
                print(f"error: {self._sentence(lost)}", file=sys.stderr)
                sys.stderr.flush()
                os._exit(_EXIT_LOST)

    def _lost(self) -> tuple[int | None, bool]:
        """Index of a lost worker or None; whether the chief is silent.

        The coordination service, which hears of all, runs in the chief; the
        others look after the chief alone. They do not ask the service, as
        that would block the whole process while a silent chief is asked.
        """
        from tensorflow.python.eager import context as eager_context

        context = eager_context.context()
        if self.is_chief:
            states = context.get_task_states([("worker", self.count)])
            lost = [i for i, state in enumerate(states) if state is not None]
            return (lost[0] if lost else None), False
        try:
            context.check_collective_ops_peer_health(
                _LEADER, timeout_in_ms=_PROBE_MILLISECONDS
            )
        except tf.errors.FailedPreconditionError:
            return 0, False  # another process has taken its place
        except tf.errors.OpError:
            return None, True
        return None, False

    def _sentence(self, lost: int | None) -> str:
        who = "Another worker"
        if lost is not None:
            who = f"Worker {lost} ({self._addresses[lost]})"
        return (
            f"{who} ended or cannot be reached any more, so worker "
            f"{self.index} ends too; repeat the command on all workers to go "
            "on from the last checkpoint."
        )


def make_workers(
    strategy_name: str, cluster: Cluster, timeouts: Timeouts
) -> Workers:
    """Workers of a strategy, see `make_strategy`; "multi_worker" connects.

    Raises:
        ConfigError: see `connect`, or an unknown strategy.
    """
    if strategy_name == MULTI_WORKER:
        return connect(cluster, timeouts)
    return Workers(make_strategy(strategy_name))


def connect(cluster: Cluster, timeouts: Timeouts) -> Workers:
    """Waits for all workers of a cluster; before TensorFlow is first used.

    Raises:
        ConfigError: they did not come, or a port is taken.
        WorkerLostError: one ended again.
    """
    # Not public, but the only way to say how long TensorFlow's coordination
    # service waits: its own limits are 10 s for a silent worker and an hour
    # for one that never comes.
    from tensorflow.compiler.xla.tsl.protobuf import coordination_config_pb2
    from tensorflow.python.eager import context as eager_context

    meet_at_chief(cluster, timeouts.start)
    # It tells of every collective operation that it builds.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    eager_context.context().configure_coordination_service(
        service_type="standalone",
        service_leader=_LEADER,
        cluster_register_timeout_in_ms=int(1000 * timeouts.start),
        heartbeat_timeout_in_ms=int(1000 * timeouts.lost * _HEARTBEAT_SHARE),
        coordinated_jobs=[
            coordination_config_pb2.CoordinatedJob(
                name="worker", num_tasks=cluster.count
            )
        ],
    )
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({"worker": list(cluster.addresses)}),
        task_type="worker",
        task_id=cluster.index,
        rpc_layer="grpc",
    )
    # One that ends just now would keep the others here for ever, in C++.
    faulthandler.dump_traceback_later(timeouts.start, exit=True)
    try:
        strategy = tf.distribute.MultiWorkerMirroredStrategy(resolver)
        workers = Workers(strategy, cluster, timeouts)
        workers.meet()
    except tf.errors.OpError:
        raise WorkerLostError(
            "Another worker ended while the workers of TF_CONFIG met: "
            f"{', '.join(cluster.addresses)}. Repeat the command on all."
        ) from None
    finally:
        faulthandler.cancel_dump_traceback_later()
        _restore_sigterm()
    return workers


def _restore_sigterm() -> None:
    """Takes back what TensorFlow does at SIGTERM: note it, and go on.

    Outside the training loop, which saves first, it has to end the process.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))


def _named(error: tf.errors.OpError) -> int | None:
    """Index of the worker that the coordination service calls unhealthy."""
    found = re.search(r"unhealthy.*?task:(\d+)", str(error), re.DOTALL)
    return int(found[1]) if found else None


def _is_loss(error: tf.errors.OpError) -> bool:
    kinds = (
        tf.errors.AbortedError,
        tf.errors.CancelledError,
        tf.errors.DeadlineExceededError,
        tf.errors.UnavailableError,
    )
    return isinstance(error, kinds) or "ollective" in str(error)
