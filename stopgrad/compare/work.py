"""Doing the rows: some at a time, each in a process of its own, resumable after any stop."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Generic, Protocol, TypeVar

from stopgrad.compare.rows import executable, last_words
from stopgrad.parent import end_with_parent
from stopgrad.progress import duration

POLL = 0.2
"""Seconds between two looks at the running rows."""
STOPPED = 75


class Doable(Protocol):
    """A row: a run directory and what is still to be done for it."""

    @property
    def out(self) -> Path: ...

    def commands(self) -> list[tuple[str, ...]]:
        """Return the words after ``stopgrad`` of every command that is left; none when the row is done."""


R = TypeVar("R", bound=Doable)


class Worker(Generic[R]):
    """One row being done: its commands, one after the other, their words in the row's log."""

    def __init__(self, row: R, slot: Mapping[str, str]) -> None:
        self.row = row
        self.slot = slot
        self.todo = row.commands()
        self.log: Path = row.out.with_name(f"{row.out.name}.log")
        self.environment = {**os.environ, **slot}
        self.began = time.monotonic()
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        with open(self.log, "ab") as log:
            return subprocess.Popen(
                executable(self.todo.pop(0)),
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self.environment,
                start_new_session=True,
                preexec_fn=end_with_parent,
            )

    def advance(self) -> int | None:
        """Start the next command when one is done, and return the exit status of the row once it is done or failed; None while it works.

        A command that fails and leaves nothing to do has ended the row: a run that diverges may be what its row shows.
        """
        status = self.process.poll()
        if status == 0 and self.todo:
            self.process = self._start()
            return None
        return 0 if status and status > 0 and not self.row.commands() else status


def work(rows: Sequence[R], jobs: int, cores: int, tell: Callable[[str], None], gpus: Sequence[str] = ()) -> dict[R, int]:
    """Do what is left of ``rows``, ``jobs`` at a time, and return the exit status of those that failed; a stop ends the rest, saved.

    A row that fails does not stop the others. ``gpus``: names for CUDA_VISIBLE_DEVICES, over which the rows are spread; none: left as it is.
    """
    waiting = [row for row in rows if row.commands()]
    done = len(rows) - len(waiting)
    failed: dict[R, int] = {}
    active: list[Worker[R]] = []
    threads = {"OMP_NUM_THREADS": str(max(1, cores // jobs))}
    free: list[Mapping[str, str]] = [threads | ({"CUDA_VISIBLE_DEVICES": gpus[i % len(gpus)]} if gpus else {}) for i in range(jobs)]
    if done:
        tell(f"{done} of {len(rows)} rows are done already")
    with _stop() as stopped:
        while waiting or active:
            while waiting and free and not stopped:
                active.append(Worker(waiting.pop(0), free.pop(0)))
            time.sleep(POLL)
            for worker in list(active):
                status = worker.advance()
                if status is None:
                    continue
                active.remove(worker)
                free.append(worker.slot)
                done += status == 0
                took = duration(time.monotonic() - worker.began)
                how = "done" if status == 0 else f"failed with status {status}: {last_words(worker.log)}"
                tell(f"{done} of {len(rows)}: {worker.row.out.name} {how} ({took})")
                if status:
                    failed[worker.row] = status
            if stopped:
                failed |= _end(active)
                return failed
    return failed


def _end(active: list[Worker[R]]) -> dict[R, int]:
    """Ask the running rows to save and stop, and wait for them."""
    for worker in active:
        worker.process.send_signal(signal.SIGTERM)
    for worker in active:
        worker.process.wait()
    return {worker.row: STOPPED for worker in active}


@contextmanager
def _stop() -> Iterator[list[int]]:
    """Collect SIGTERM, SIGINT and SIGHUP instead of ending at once: the rows must be told."""
    received: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        received.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
