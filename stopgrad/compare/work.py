"""Doing the rows: some at a time, each in a process of its own, resumable after any stop."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from stopgrad.compare.rows import Row, executable, last_words
from stopgrad.parent import end_with_parent
from stopgrad.progress import duration

POLL = 0.2
"""Seconds between two looks at the running rows."""
STOPPED = 75


class Worker:
    """One row being done: its commands, one after the other, their words in the row's log."""

    def __init__(self, row: Row, threads: int) -> None:
        self.row = row
        self.todo = row.commands()
        self.log: Path = row.out.with_name(f"{row.out.name}.log")
        self.environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
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
        """Start the next command when one is done, and return the exit status of the row once it is done or failed; None while it works."""
        status = self.process.poll()
        if status == 0 and self.todo:
            self.process = self._start()
            return None
        return status


def work(rows: Sequence[Row], jobs: int, cores: int, tell: Callable[[str], None]) -> dict[Row, int]:
    """Do what is left of ``rows``, ``jobs`` at a time, and return the exit status of those that failed; a stop ends the rest, saved.

    A row that fails does not stop the others.
    """
    waiting = [row for row in rows if row.commands()]
    done = len(rows) - len(waiting)
    failed: dict[Row, int] = {}
    active: list[Worker] = []
    if done:
        tell(f"{done} of {len(rows)} rows are done already")
    with _stop() as stopped:
        while waiting or active:
            while waiting and len(active) < jobs and not stopped:
                active.append(Worker(waiting.pop(0), max(1, cores // jobs)))
            time.sleep(POLL)
            for worker in list(active):
                status = worker.advance()
                if status is None:
                    continue
                active.remove(worker)
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


def _end(active: list[Worker]) -> dict[Row, int]:
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
