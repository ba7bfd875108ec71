"""SIGTERM as a wish to end, which a loop hears between two steps."""

import signal
import threading


class StopSignal:
    """Notes SIGTERM instead of dying of it, while it is entered.

    Cluster managers send SIGTERM and grant some seconds before they kill. A
    second one ends the process at once. Signals can be caught in the main
    thread only; in another one nothing changes.

    Attributes:
        requested: whether the process was asked to end.
    """

    def __init__(self):
        self.requested = False
        self._before = None

    def __enter__(self) -> "StopSignal":
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGTERM, self._note)
        return self

    def __exit__(self, *error: object) -> None:
        self._restore()

    def _note(self, number: int, frame: object) -> None:
        self.requested = True
        self._restore()

    def _restore(self) -> None:
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)
            self._before = None
