"""What a row sets: texts, and values that are read off the base and therefore mean the same at every scale and for every recipe."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from stopgrad.config import Run, to_json
from stopgrad.errors import UserError


class Relative(ABC):
    """A value that depends on the run that it changes."""

    builds_on_field: ClassVar[bool] = False
    """Whether it is made of what the field itself has, so that another value of it for all rows is well asked for."""

    @abstractmethod
    def text(self, path: str, run: Run) -> str | None:
        """Return what ``--set`` reads at ``path`` of ``run``; None where that holds already by itself and nothing is to be set."""


Value = str | Relative


@dataclass(frozen=True)
class Times(Relative):
    """A number that is so many times the base's."""

    builds_on_field = True
    factor: float

    def text(self, path: str, run: Run) -> str:
        value = _at(path, run)
        assert isinstance(value, int | float), f"{path} is no number"
        return str(max(1, round(value * self.factor))) if isinstance(value, int) else f"{value * self.factor:.6g}"


@dataclass(frozen=True)
class ByRoot(Relative):
    """The factor of the square-root rule of the rate that gives, at the base's batch, the rate of its linear rule."""

    builds_on_field = True

    def text(self, path: str, run: Run) -> str:
        if run.optim.lr_rule != "linear":
            raise UserError(f"optim.lr_rule: is {run.optim.lr_rule}, and the row is about leaving the linear one; take a recipe with that")
        return f"{run.optim.lr * math.sqrt(run.train.batch) / 256:.6g}"


@dataclass(frozen=True)
class OfTraining(Relative):
    """Epochs that are such a share of the whole training."""

    share: float

    def text(self, path: str, run: Run) -> str:
        return f"{run.train.epochs * self.share:g}"


@dataclass(frozen=True)
class Layers(Relative):
    """Widths of a head's layers: the base's, but for what is said here."""

    builds_on_field = True
    last: int | Times | None = None
    """Width of the last layer, or a multiple of the base's."""
    hidden: int | None = None
    """How many layers come before it, each as wide as the base's first."""

    def text(self, path: str, run: Run) -> str:
        widths = list(_at(path, run))
        if not widths:
            raise UserError(f"{path}: has no layers whose widths the row could change")
        last = round(widths[-1] * self.last.factor) if isinstance(self.last, Times) else self.last or widths[-1]
        before = widths[:-1] if self.hidden is None else widths[:1] * self.hidden
        return ",".join(map(str, [*before, last]))


@dataclass(frozen=True)
class Off(Relative):
    """An operation that no view has."""

    def text(self, path: str, run: Run) -> str | None:
        _, _, name = path.partition(".")
        return "0" if any(getattr(view, name) for view in run.views) else None


@dataclass(frozen=True)
class Crops(Relative):
    """Two views as large as the base's first, and further ones of half their side."""

    builds_on_field = True
    further: int = 0

    def text(self, path: str, run: Run) -> str | None:
        size = run.views[0].size
        wanted = [size, size, *[size // 2] * self.further]
        more = f"+{self.further}x{size // 2}" if self.further else ""
        return None if [view.size for view in run.views] == wanted else f"2x{size}{more}"


def settles(value: Value) -> bool:
    """Return whether a field is ``value`` whatever else it was set to."""
    return not (isinstance(value, Relative) and value.builds_on_field)


def texts(changes: Mapping[str, Value], run: Run) -> dict[str, str]:
    """Return ``changes`` of ``run`` as texts, path to what ``--set`` reads."""
    found = {path: value.text(path, run) if isinstance(value, Relative) else value for path, value in changes.items()}
    return {path: text for path, text in found.items() if text is not None}


def as_typed(value: Any) -> str:
    """Return a value of a run, as JSON has it, as the text that ``--set`` reads as the same."""
    if isinstance(value, list):
        return ",".join(map(as_typed, value)) or "none"
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _at(path: str, run: Run) -> Any:
    value: Any = to_json(run)
    for key in path.split("."):
        value = value[key]
    return value
