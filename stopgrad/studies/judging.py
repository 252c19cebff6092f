"""How the rows of a study are judged: calls of ``stopgrad evaluate``, and those of their figures that are the table's columns."""

import base64
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from stopgrad.config.named import as_asked
from stopgrad.config.named import chosen as protocols
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
    """Empty: the one that the data set has, known once it is opened."""
    data: str = ""
    """The data set judged on; empty: the run's own images."""


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
    images: str = ""
    """Digest of the images judged on, as evaluations.jsonl has it; empty as long as they were not opened."""

    def at(self, seed: int) -> "Judging":
        """Return it as a run of ``seed`` is judged."""
        return replace(self, seed=seed, seeded=False) if self.seeded else self

    @property
    def words(self) -> tuple[str, ...]:
        """What comes after the run."""
        words = ("--protocol", *self.protocols, *(("--settings", self.settings) if self.settings else ()))
        words += () if self.onto is None else ("--data", str(self.onto))
        return (*words, *(word for pair in self._pairs for word in ("--set", pair)))

    @property
    def _pairs(self) -> tuple[str, ...]:
        return () if self.seed is None else (f"seed={self.seed}",)

    @property
    def place(self) -> str:
        """Where the images judged on lie, since a digest of names and sizes can be that of others too; empty: the run's own."""
        return "" if self.onto is None else os.path.realpath(self.onto.path)

    def asked(self, protocol: str) -> dict[str, Any]:
        """Return the settings of ``protocol`` as its lines of evaluations.jsonl say that they were asked for."""
        settings = protocols(self.protocols, self.settings or None, self._pairs)
        return next(as_asked(one) for one in settings if one.protocol == protocol)


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
    right: bytes
    """Which test images are rightly named, a bit each; empty where that is not told, or the figure is another than top1."""


Line = Mapping[str, Any]
"""A line of evaluations.jsonl."""


def told(lines: Sequence[Line], judging: Judging, figure: Figure, features: str, step: int | None) -> Told | None:
    """Return what the last of ``lines`` says that judges these features just so: by the same settings, on the same images; None without one.

    ``step``: that the network was at, where it matters.
    """
    asked = judging.asked(figure.protocol)
    for line in reversed(lines):
        same = line.get("asked") == asked and (line.get("images_sha256"), line.get("place", "")) == (judging.images, judging.place)
        if same and line.get("features") == features and step in (None, line.get("step", step)) and (found := _figure(line, figure)) is not None:
            return found
    return None


def _figure(line: Line, figure: Figure) -> Told | None:
    for one in parse(dict(line)):
        place = (one.column.data, one.column.protocol, one.column.variant)
        if place == (figure.data, figure.protocol, figure.variant):
            main = one.column.metric == figure.metric
            # top-1 beside another metric is of settings that were chosen by that one; detection's AP50 and AP75 are what they are
            if main or (figure.metric in one.figures and figure.metric not in ("top1", "top5")):
                right = base64.b64decode(line.get("right") or "") if figure.metric == "top1" else b""
                return Told(one.figures[figure.metric], one.interval if main else None, one.test_images, right)
    return None
