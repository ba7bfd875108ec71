"""TF_CONFIG: who trains together, and one sentence for what is wrong."""

import json
import socket
import threading

import pytest
from worker_runs import free_ports

from keras_wsss.errors import ConfigError
from keras_wsss.training.cluster import Cluster, read_cluster
from keras_wsss.training.rendezvous import meet_at_chief
from keras_wsss.training.workers import Timeouts, Workers

WORKERS = {"worker": ["a:1", "b:2"]}


def task(index, kind="worker"):
    return {"type": kind, "index": index}


def set_config(monkeypatch, cluster, its_task):
    value = {"cluster": cluster, "task": its_task}
    monkeypatch.setenv("TF_CONFIG", json.dumps(value))


def test_workers_in_order(monkeypatch):
    set_config(monkeypatch, WORKERS, task(1))
    assert read_cluster() == Cluster(("a:1", "b:2"), 1)
    assert read_cluster().count == 2


@pytest.mark.parametrize(
    ("its_task", "index"), [(task(0, "chief"), 0), (task(1), 2)]
)
def test_a_chief_is_worker_0(monkeypatch, its_task, index):
    set_config(monkeypatch, {**WORKERS, "chief": ["c:3"]}, its_task)
    assert read_cluster() == Cluster(("c:3", "a:1", "b:2"), index)


def test_missing(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(ConfigError, match="needs the environment variable"):
        read_cluster()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "TF_CONFIG is not valid JSON"),
        ("[" * 100_000, "TF_CONFIG is not valid JSON"),
        ("[]", "its 'cluster' is not an object"),
        ('{"cluster": {"worker": "a:1"}}', "its 'worker' is not a list"),
        ('{"cluster": {"worker": []}}', "its cluster has no worker"),
        ('{"cluster": {"ps": ["a:1"]}}', "its cluster has a job 'ps'"),
        ('{"cluster": {"worker": ["a"]}}', "'a' is no address"),
        ('{"cluster": {"worker": [7]}}', "7 is no address"),
        ('{"cluster": {"worker": ["a:70000"]}}', "'a:70000' is no address"),
        ('{"cluster": {"worker": ["a:1", "a:1"]}}', "address a:1 twice"),
        ('{"cluster": {"chief": ["a:1", "b:1"]}}', "'chief' has 2 tasks"),
        ('{"cluster": {"worker": ["a:1"]}}', "its 'task' is not an object"),
    ],
)
def test_malformed(monkeypatch, text, reason):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(ConfigError) as caught:
        read_cluster()
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("its_task", "reason"),
    [
        (task(2), "its task has index 2, but there are 2 of type 'worker'"),
        (task(-1), "index -1"),
        (task("0"), "its 'index' is not a number"),
        (task(True), "its 'index' is not a number"),
        (task(0, "chief"), "of type 'chief', which its cluster lacks"),
        ({"index": 0}, "its 'type' is not a text"),
    ],
)
def test_wrong_task(monkeypatch, its_task, reason):
    set_config(monkeypatch, WORKERS, its_task)
    with pytest.raises(ConfigError, match=reason):
        read_cluster()


def test_port_in_use():
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError) as caught:
            meet_at_chief(Cluster((f"localhost:{port}",), 0), 1)
    assert f"port {port} of this machine" in str(caught.value)
    assert "another process uses it" in str(caught.value)
    meet_at_chief(Cluster((f"localhost:{port}",), 0), 1)  # free now


def addresses(count):
    return tuple(f"127.0.0.1:{port}" for port in free_ports(count))


def test_workers_meet_also_when_a_stranger_calls_first():
    names = addresses(3)
    order = []

    def come(index):
        meet_at_chief(Cluster(names, index), 30)
        order.append(index)

    threads = [threading.Thread(target=come, args=(i,)) for i in (2, 0, 1)]
    for thread in threads[:2]:
        thread.start()
    host, port = names[0].split(":")
    while True:  # the chief's thread may not listen yet
        try:
            stranger = socket.create_connection((host, int(port)), 30)
            break
        except ConnectionRefusedError:
            continue
    stranger.sendall(b"GET / HTTP/1.1")
    assert not order
    threads[2].start()
    for thread in threads:
        thread.join(30)
    stranger.close()
    assert sorted(order) == [0, 1, 2]


@pytest.mark.parametrize(("index", "missing"), [(0, "1 "), (1, "0 ")])
def test_one_that_stays_alone_says_whom_it_waited_for(index, missing):
    names = addresses(2)
    with pytest.raises(ConfigError) as caught:
        meet_at_chief(Cluster(names, index), 0.5)
    assert "2 workers of TF_CONFIG did not all meet within 0.5 s" in str(
        caught.value
    )
    assert f"waited for worker {missing}({names[1 - index]})" in str(
        caught.value
    )


def test_workers_of_another_cluster_are_not_let_in():
    names = addresses(2)
    other = Cluster((names[0], "elsewhere:1"), 0)
    refused = []

    def wait():
        try:
            meet_at_chief(other, 1)
        except ConfigError as error:
            refused.append(error)

    chief = threading.Thread(target=wait)
    chief.start()
    with pytest.raises(ConfigError, match="did not all meet"):
        meet_at_chief(Cluster(names, 1), 0.8)
    chief.join(30)
    assert refused


def test_timeouts_that_are_too_short():
    with pytest.raises(ConfigError, match="--worker_timeout 5; use"):
        Timeouts(lost=5)


def test_one_process_alone_agrees_with_itself():
    import tensorflow as tf

    workers = Workers(tf.distribute.get_strategy())
    assert workers.is_chief
    assert workers.shard == (0, 1)
    assert workers.any_asked(True) is True
    assert workers.any_asked(False) is False
    with workers.together():
        workers.meet()
        workers.same("anything", "text", "nothing")
