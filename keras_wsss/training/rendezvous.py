"""Workers find each other before TensorFlow starts.

TensorFlow waits for missing workers within C++, holding Python's lock: no
limit of time and no message is possible there. So they meet first at the
chief's port, while it is still free, by plain sockets.
"""

import contextlib
import errno
import hashlib
import socket
import time

from keras_wsss.errors import ConfigError
from keras_wsss.training.cluster import Cluster

_GO = b"go"
_RETRY_SECONDS = 0.2
# A stranger that connects and says nothing must not keep the others waiting.
_GREETING_SECONDS = 2.0


def meet_at_chief(cluster: Cluster, seconds: float) -> None:
    """Waits until all workers of a cluster have started.

    Args:
        cluster: who is waited for.
        seconds: how long.

    Raises:
        ConfigError: some did not come, or this worker's port is taken.
    """
    deadline = time.monotonic() + seconds
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(_open_port(cluster))
        if cluster.index:
            # Free again before TensorFlow takes it.
            listener.close()
            missing = _join(cluster, deadline)
        else:
            missing = _gather(cluster, listener, deadline, stack)
    if missing:
        names = ", ".join(f"{i} ({cluster.addresses[i]})" for i in missing)
        raise ConfigError(
            f"The {cluster.count} workers of TF_CONFIG did not all meet "
            f"within {seconds:g} s; worker {cluster.index} waited for worker "
            f"{names}. Start all of them, and check that they reach the "
            "chief's port."
        )


def _open_port(cluster: Cluster) -> socket.socket:
    """Listens at this worker's port; refuses one that is taken.

    TensorFlow would share it, and both would get half of the messages.
    """
    address = cluster.addresses[cluster.index]
    port = int(address.rpartition(":")[2])
    both = socket.has_dualstack_ipv6()
    try:
        return socket.create_server(
            ("", port),
            family=socket.AF_INET6 if both else socket.AF_INET,
            backlog=max(cluster.count, 1),
            dualstack_ipv6=both,
        )
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        reason = "another process uses it" if taken else error.strerror
        raise ConfigError(
            f"TF_CONFIG gives worker {cluster.index} the address {address}, "
            f"but port {port} of this machine cannot be opened: {reason}. "
            "Choose another one for all workers."
        ) from None


def _gather(
    cluster: Cluster, listener: socket.socket, deadline: float, stack
) -> list[int]:
    """The chief lets all go at once; gives who is missing."""
    expected = {_greeting(cluster, i): i for i in range(1, cluster.count)}
    here: dict[int, socket.socket] = {}
    while len(here) < len(expected):
        left = deadline - time.monotonic()
        if left <= 0:
            break
        listener.settimeout(left)
        with contextlib.suppress(OSError):
            connection, _ = listener.accept()
            stack.enter_context(connection)
            connection.settimeout(_GREETING_SECONDS)
            # Shorter than a packet: it comes in one piece.
            index = expected.get(connection.recv(64))
            if index is not None:
                here[index] = connection
    missing = sorted(set(expected.values()) - set(here))
    if not missing:
        for connection in here.values():
            with contextlib.suppress(OSError):
                connection.sendall(_GO)
    return missing


def _join(cluster: Cluster, deadline: float) -> list[int]:
    """Tells the chief, as often as it takes; gives who is missing."""
    host, _, port = cluster.addresses[0].rpartition(":")
    while (left := deadline - time.monotonic()) > 0:
        # Its name may not even be known yet, or it ended and comes again.
        with (
            contextlib.suppress(OSError),
            socket.create_connection((host.strip("[]"), int(port)), left) as s,
        ):
            s.sendall(_greeting(cluster, cluster.index))
            s.settimeout(max(deadline - time.monotonic(), 0.01))
            if s.recv(len(_GO)) == _GO:
                return []
        time.sleep(_RETRY_SECONDS)
    return [0]


def _greeting(cluster: Cluster, index: int) -> bytes:
    """Says who comes, and to which cluster."""
    names = " ".join(cluster.addresses)
    digest = hashlib.sha256(names.encode()).hexdigest()[:32]
    return f"{digest} {index}".encode()
