"""Stopping between two steps when a signal asks for it."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


@dataclass
class Stop:
    """Whether to stop."""

    signal: str = ""
    """The signal's name; empty while none has come."""


@contextmanager
def stop_requests() -> Iterator[Stop]:
    """Turn the first SIGTERM or SIGINT into a request to stop after the step; a second one ends the process at once."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop  # Python delivers signals to the main thread only
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def request(number: int, frame: FrameType | None) -> None:
        stop.signal = signal.Signals(number).name
        for n, handler in before.items():
            signal.signal(n, handler)

    for number in before:
        signal.signal(number, request)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
