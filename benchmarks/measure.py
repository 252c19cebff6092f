"""Alternating measurement: machines drift, so cases take turns and are compared by the ratios within a turn."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Spread:
    """Median, smallest and largest of a few measurements."""

    median: float
    smallest: float
    largest: float

    def text(self, digits: int = 0) -> str:
        """Return ``median (smallest..largest)``."""
        return f"{self.median:,.{digits}f} ({self.smallest:,.{digits}f}..{self.largest:,.{digits}f})"


def spread(values: list[float]) -> Spread:
    """Return the spread of ``values``."""
    return Spread(statistics.median(values), min(values), max(values))


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """Return the time ``work`` takes, its GPU kernels included."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    began = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def alternate(cases: Mapping[str, Callable[[], object]], turns: int, device: torch.device) -> dict[str, list[float]]:
    """Return the seconds of every case in every turn, after one turn that is not counted; odd turns run backwards."""
    times: dict[str, list[float]] = {name: [] for name in cases}
    for turn in range(turns + 1):
        order = list(cases) if turn % 2 else list(cases)[::-1]
        for name in order:
            taken = seconds(cases[name], device)
            if turn:
                times[name].append(taken)
    return times


def ratios(times: Mapping[str, list[float]], of: str, to: str) -> Spread:
    """Return how many times as fast ``of`` is as ``to``, turn by turn."""
    return spread([b / a for a, b in zip(times[of], times[to], strict=True)])
