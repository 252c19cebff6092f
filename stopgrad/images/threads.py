"""Work on many images in threads: Pillow and hashing leave the interpreter's lock."""

import os
import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

In = TypeVar("In")
Out = TypeVar("Out")

CHUNK = 32
AHEAD = 4
"""Chunks a thread may be ahead of the reader: results wait in memory."""


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def in_threads(function: Callable[[In], Out], items: Iterable[In], threads: int | None = None, chunk: int = CHUNK) -> Generator[Out, None, None]:
    """Yield ``function`` of every item, in order, by ``threads`` threads (one a core); an exception ends it and is raised here.

    At most ``AHEAD`` chunks of ``chunk`` results a thread, and one more, wait in memory.
    """
    waiting = iter(items)
    with ThreadPoolExecutor(threads or cores()) as executor:
        chunks = [executor.submit(_each, function, chunk) for chunk in islice(_chunks(waiting, chunk), AHEAD * (threads or cores()))]
        try:
            while chunks:
                results = chunks.pop(0).result()
                chunks += [executor.submit(_each, function, chunk) for chunk in islice(_chunks(waiting, chunk), 1)]
                yield from results
        finally:
            executor.shutdown(wait=True, cancel_futures=True)


def _each(function: Callable[[In], Out], chunk: list[In]) -> list[Out]:
    return [function(item) for item in chunk]


def _chunks(items: Iterator[In], size: int) -> Iterator[list[In]]:
    while chunk := list(islice(items, size)):
        yield chunk
