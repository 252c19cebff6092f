"""How the rows of a study are judged: calls of ``stopgrad evaluate``, and those of their figures that are the table's columns."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from stopgrad.config.transfer import DataSet
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


@dataclass(frozen=True, kw_only=True)
class Judging:
    """One call of ``stopgrad evaluate``."""

    protocols: tuple[str, ...]
    figures: tuple[Figure, ...]
    settings: str = ""
    """Whose; empty: the protocol's usual ones."""
    onto: DataSet | None = None
    """Judged on in place of the run's own images."""
    seeded: bool = False
    """Whether what the protocol draws (which labels are kept, the order) is drawn anew for every seed of the run."""
    seed: int | None = None
    """What is drawn by; None: by what the settings have."""

    def at(self, seed: int) -> "Judging":
        """Return it as a run of ``seed`` is judged."""
        return replace(self, seed=seed, seeded=False) if self.seeded else self

    @property
    def words(self) -> tuple[str, ...]:
        """What comes after the run."""
        words = ("--protocol", *self.protocols, *(("--settings", self.settings) if self.settings else ()))
        words += () if self.onto is None else ("--data", str(self.onto))
        return words if self.seed is None else (*words, "--set", f"seed={self.seed}")


def frozen(*protocols: str, settings: str = "") -> tuple[Judging, ...]:
    """Return the judging of the backbone as it is on the run's own images, a column a protocol."""
    return (Judging(protocols=protocols, settings=settings, figures=tuple(Figure(protocol, protocol) for protocol in protocols)),)


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
