"""Who trains together: the workers that TF_CONFIG names."""

import dataclasses
import json
import os
from typing import Any

from keras_wsss.errors import ConfigError

MULTI_WORKER = "multi_worker"
TF_CONFIG = "TF_CONFIG"
_EXAMPLE = (
    '{"cluster": {"worker": ["host0:12345", "host1:12345"]}, '
    '"task": {"type": "worker", "index": 0}}'
)


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The processes of a run on several machines.

    Attributes:
        addresses: "host:port" of every worker, in the same order everywhere.
        index: place of this process; 0 is the chief.
    """

    addresses: tuple[str, ...]
    index: int

    @property
    def count(self) -> int:
        """Number of workers."""
        return len(self.addresses)


ALONE = Cluster(("",), 0)


def read_cluster() -> Cluster:
    """Reads the environment variable TF_CONFIG, TensorFlow's own format.

    A job "chief" of one task, where there is one, is worker 0. Other jobs
    (parameter servers, evaluators) have no place in this training.

    Raises:
        ConfigError: missing, or not of that form.
    """
    text = os.environ.get(TF_CONFIG)
    if not text:
        raise ConfigError(
            f"--strategy multi_worker needs the environment variable "
            f"{TF_CONFIG}, for example {_EXAMPLE}."
        )
    try:
        value = json.loads(text)
    except (RecursionError, ValueError) as error:
        raise ConfigError(f"{TF_CONFIG} is not valid JSON: {error}.") from None
    jobs = _field(value, "cluster", dict)
    unknown = sorted(set(jobs) - {"chief", "worker"})
    if unknown:
        raise _wrong(f"its cluster has a job '{unknown[0]}'")
    chiefs, workers = (
        _field(jobs, job, list) if job in jobs else []
        for job in ("chief", "worker")
    )
    if len(chiefs) > 1:
        raise _wrong(f"its job 'chief' has {len(chiefs)} tasks in place of 1")
    addresses = tuple(_address(value) for value in [*chiefs, *workers])
    if not addresses:
        raise _wrong("its cluster has no worker")
    if len(set(addresses)) < len(addresses):
        twice = next(a for a in addresses if addresses.count(a) > 1)
        raise _wrong(f"it names the address {twice} twice")
    task = _field(value, "task", dict)
    kind, index = _field(task, "type", str), _field(task, "index", int)
    if kind not in jobs:
        raise _wrong(f"its task is of type '{kind}', which its cluster lacks")
    if not 0 <= index < len(jobs[kind]):
        raise _wrong(
            f"its task has index {index}, but there are {len(jobs[kind])} of "
            f"type '{kind}', numbered from 0"
        )
    first = len(chiefs) if kind == "worker" else 0
    return Cluster(addresses, first + index)


def _address(value: Any) -> str:
    text = value if isinstance(value, str) else ""
    host, colon, port = text.rpartition(":")
    if not (host and colon and port.isdecimal() and 0 < int(port) < 2**16):
        raise _wrong(f"{value!r} is no address of the form host:port")
    return value


_KINDS: dict[type, str] = {dict: "an object", list: "a list", str: "a text"}


def _field(value: Any, name: str, kind: type) -> Any:
    found = value.get(name) if isinstance(value, dict) else None
    if not isinstance(found, kind) or isinstance(found, bool):
        raise _wrong(f"its '{name}' is not {_KINDS.get(kind, 'a number')}")
    return found


def _wrong(what: str) -> ConfigError:
    return ConfigError(
        f"{TF_CONFIG} cannot be used: {what}. It must be like {_EXAMPLE}."
    )
