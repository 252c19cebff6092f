"""Alternating measurement: machines drift, so cases take turns and are compared by the ratios within a turn."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import torch

T = TypeVar("T")


@dataclass(frozen=True)
class Spread:
    """Median, smallest and largest of a few measurements."""

    median: float
    smallest: float
    largest: float

    def text(self, digits: int = 0) -> str:
        """Return ``median (smallest..largest)``."""
        return f"{self.median:,.{digits}f} ({self.smallest:,.{digits}f}..{self.largest:,.{digits}f})"


@dataclass(frozen=True)
class Case:
    """Something that takes turns with others."""

    seconds: Callable[[], float]
    """Does the work and returns the seconds that it took."""
    amount: int
    """How many images or views are made by it."""


@dataclass(frozen=True)
class Row:
    """What was measured of a case."""

    case: str
    rate: Spread | None
    """Images or views a second; None: what it needs is not installed."""
    times: Spread | None
    """How many times as fast as the case that all are compared with; None for that case itself."""


def spread(values: list[float]) -> Spread:
    """Return the spread of ``values``."""
    return Spread(statistics.median(values), min(values), max(values))


def seconds(work: Callable[[], object], device: torch.device, clock: Callable[[], float] = time.perf_counter) -> float:
    """Return the time ``work`` takes, its GPU kernels included."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    began = clock()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return clock() - began


def timed(work: Callable[[], object], amount: int, device: torch.device) -> Case:
    """Return ``work`` as a case. On the CPU time is the processor's, so that neighbours on the machine matter less; on a GPU the clock's."""
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    return Case(lambda: seconds(work, device, clock), amount)


def alternate(cases: Mapping[str, Callable[[], T]], turns: int, warm: int = 1) -> dict[str, list[T]]:
    """Return what every case returned in every turn, after ``warm`` turns that are not counted; odd turns run backwards."""
    found: dict[str, list[T]] = {name: [] for name in cases}
    for turn in range(turns + warm):
        for name in list(cases)[:: 1 if turn % 2 else -1]:
            result = cases[name]()
            if turn >= warm:
                found[name].append(result)
    return found


def ratios(times: Mapping[str, list[float]], of: str, to: str) -> Spread:
    """Return how many times as fast ``of`` is as ``to``, turn by turn."""
    return spread([b / a for a, b in zip(times[of], times[to], strict=True)])


def compare(cases: Mapping[str, Case | None], base: str, turns: int) -> list[Row]:
    """Return a row a case, all but ``base`` compared with it; None in the place of a case: it cannot run here."""
    there = {name: case for name, case in cases.items() if case is not None}
    taken = alternate({name: case.seconds for name, case in there.items()}, turns)
    each = {name: [t / there[name].amount for t in times] for name, times in taken.items()}
    rates = {name: spread([1 / t for t in times]) for name, times in each.items()}
    return [Row(name, rates.get(name), ratios(each, name, base) if name in each and name != base else None) for name in cases]
