"""How the rows of a study are judged: calls of ``stopgrad evaluate``, and those of their figures that are the table's columns."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from stopgrad.report.evaluations import parse

RANDOM = "random initialisation"
"""The row of the untrained backbone, which findings may be read against."""


@dataclass(frozen=True)
class Figure:
    """A column of the table."""

    name: str
    """Its head; no other column of the study has it."""
    protocol: str
    variant: str = ""
    metric: str = "top1"
    """Empty: the one that the data set has."""
    data: str = ""
    """The data set judged on; empty: the run's own images."""

    @property
    def key(self) -> tuple[str, ...]:
        """What it is found by."""
        return self.data, self.protocol, self.variant, self.metric


@dataclass(frozen=True)
class Judging:
    """One call of ``stopgrad evaluate``."""

    words: tuple[str, ...]
    """After the run: protocols, settings, data."""
    figures: tuple[Figure, ...]
    seeded: bool = False
    """Whether what the protocol draws (which labels are kept, the order) is drawn anew for every seed of the run."""

    def at(self, seed: int) -> "Judging":
        """Return it as a run of ``seed`` is judged."""
        return replace(self, words=(*self.words, "--set", f"seed={seed}"), seeded=False) if self.seeded else self


def frozen(*protocols: str, settings: str = "") -> tuple[Judging, ...]:
    """Return the judging of the backbone as it is on the run's own images, a column a protocol."""
    words = ("--protocol", *protocols, *(("--settings", settings) if settings else ()))
    return (Judging(words, tuple(Figure(protocol, protocol) for protocol in protocols)),)


@dataclass(frozen=True)
class Told:
    """What a figure of evaluations.jsonl says."""

    value: float
    """0..1."""
    interval: tuple[float, float] | None
    """The ends of its 95 % interval, where it has one."""
    test_images: int | None


Found = Mapping[tuple[str, tuple[str, ...]], Told]
"""By (features, ``Figure.key``)."""


def found_in(lines: Iterable[dict[str, Any]]) -> Found:
    """Return every figure of ``lines`` of evaluations.jsonl; of several of the same the last."""
    found: dict[tuple[str, tuple[str, ...]], Told] = {}
    for line in lines:
        for one in parse(line):
            place = (one.column.data, one.column.protocol, one.column.variant)
            for metric, value in one.figures.items():
                found[one.features, (*place, metric)] = Told(value, one.interval if metric == one.column.metric else None, one.test_images)
            found[one.features, (*place, "")] = found[one.features, (*place, one.column.metric)]
    return found
