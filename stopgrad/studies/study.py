"""What a study is: a base at every scale, rows that each change named values, and what the paper found, as something that can be checked."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from stopgrad.config.transfer import DataSet
from stopgrad.studies.judging import Judging
from stopgrad.studies.values import Value

Scale = Literal["paper", "gpu", "small"]
"""paper: the published setting. gpu: CIFAR-10 and a ResNet-18. small: the bundled images, for two cores."""
Kind = Literal["collapses", "no collapse", "diverges", "above", "below", "near"]


@dataclass(frozen=True)
class Base:
    """What rows begin with: a recipe, or its data, view, backbone and length with another method, and the values that this scale needs."""

    recipe: str
    method: str | None = None
    changes: Mapping[str, str] = field(default_factory=dict)
    """What fits it to the scale's images and length; other images and recipes bring their own."""
    always: Mapping[str, Value] = field(default_factory=dict)
    """What makes the study what it is, and therefore holds for other images and recipes too."""


Bases = Mapping[Scale, Base]


def always(bases: Bases, values: Mapping[str, Value], at: Mapping[Scale, Mapping[str, Value]] | None = None) -> Bases:
    """Return ``bases`` with further values that always hold, some of them at some scales."""
    return {scale: replace(base, always={**base.always, **values, **(at or {}).get(scale, {})}) for scale, base in bases.items()}


@dataclass(frozen=True)
class Finding:
    """What a paper found of a row, to be looked for here."""

    kind: Kind
    other: str = ""
    """above, below, near: the row that it is compared with; RANDOM, the untrained backbone."""
    points: float = 0.0
    """near: the difference, in points, that is taken for none."""
    of: str = ""
    """above, below, near: the figure that is compared; empty: the study's first."""

    @property
    def words(self) -> str:
        """The finding as a predicate of its row."""
        match self.kind:
            case "no collapse":
                return "does not collapse"
            case "near":
                return f"within {self.points:g} points of {self.other}" + self._where
            case "above" | "below":
                return f"{self.kind} {self.other}" + self._where
            case _:
                return self.kind

    @property
    def _where(self) -> str:
        return f" ({self.of})" if self.of else ""


COLLAPSES, NO_COLLAPSE, DIVERGES = Finding("collapses"), Finding("no collapse"), Finding("diverges")


def above(other: str, of: str = "") -> Finding:
    """Return the finding that a row is better than ``other``, by the figure ``of``."""
    return Finding("above", other, of=of)


def below(other: str, of: str = "") -> Finding:
    """Return the finding that a row is worse than ``other``, by the figure ``of``."""
    return Finding("below", other, of=of)


def near(other: str, points: float = 2.0) -> Finding:
    """Return the finding that a row is as accurate as ``other``, up to ``points``."""
    return Finding("near", other, points)


@dataclass(frozen=True)
class Row:
    """One row: its base with exactly ``changes``, path to value."""

    changes: Mapping[str, Value] = field(default_factory=dict)
    at: Mapping[Scale, Mapping[str, Value]] = field(default_factory=dict)
    """What stands in place of ``changes`` at a scale where other values mean the same."""
    base: Bases | None = None
    """The row's own base, where it is another method's; None: the study's."""
    published: float | Mapping[str, float] | None = None
    """The paper's numbers, per cent, by the name of their figure; one alone is of the study's first."""
    findings: tuple[Finding, ...] = ()
    after_head: bool = False
    """Whether it is judged on the outputs of the projector, not on the backbone's."""
    scales: tuple[Scale, ...] = ("paper", "gpu", "small")
    """Where the row is done."""
    judged: Mapping[Scale, tuple[Judging, ...]] = field(default_factory=dict)
    """How it is judged where not as the study's other rows."""

    def changed(self, scale: Scale) -> Mapping[str, Value]:
        """Return what the row changes at ``scale``."""
        return self.at.get(scale, self.changes)


@dataclass(frozen=True, kw_only=True)
class Study:
    """One table or figure of a paper."""

    name: str
    question: str
    """In one sentence, for somebody who has not read the paper."""
    source: str
    """The paper, and the place in it."""
    base: Bases
    rows: Mapping[str, Row]
    """The first is what the others are read against."""
    judged: Mapping[Scale, tuple[Judging, ...]] = field(default_factory=dict)
    """How its rows are judged; where nothing is said, as the scale has it."""
    onto: Callable[[Scale, DataSet], tuple[Judging, ...]] | None = None
    """How rows are judged on each of the data sets of ``--onto``, in place of their own images; raises UserError for one of an unknown kind."""
    untrained: Mapping[str, float] = field(default_factory=dict)
    """The paper's numbers of the untrained backbone, by the name of their figure."""
    curves: bool = False
    """Whether the figure is of what happens while training: loss, std and kNN against the steps."""
    grid: tuple[str, str] | None = None
    """Two fields whose values span a map of the accuracy, with what collapsed in it."""
    each_with_each: tuple[str, ...] = ()
    """Names that span such a map: a row is named after one of them, or after two ("A + B"), and then stands in both of their cells."""
    scores: bool = False
    """Whether label-free scores of every run are taken too, and held against its accuracy."""
    images: str = ""
    """The images that the paper's numbers are of, where these are not the scale's."""
    remark: str = ""
    """What a reader of the paper's numbers must know."""

    def rows_at(self, scale: Scale) -> Mapping[str, Row]:
        """Return the rows that are done at ``scale``."""
        return {name: row for name, row in self.rows.items() if scale in row.scales}

    @property
    def reference(self) -> str:
        """The name of the row that the others are read against."""
        return next(iter(self.rows))

    def base_of(self, row: str, scale: Scale) -> Base:
        """Return what ``row`` begins with at ``scale``."""
        return (self.rows[row].base or self.base)[scale]
