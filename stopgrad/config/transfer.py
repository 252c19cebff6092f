"""Transfer by frozen features: the data sets' own metrics, what is judged on, and the settings of the linear SVM. Imports no torch."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, get_args

from stopgrad.errors import UserError

Metric = Literal["top1", "mean_per_class", "map11", "map"]
"""top1: share of right images. mean_per_class: mean of each class's. map11: mean over the classes of the average precision, interpolated at
the recalls 0, .1, …, 1 (VOC 2007); map: of the area under the same envelope (VOC since 2010)."""
SEVERAL: tuple[Metric, ...] = ("map11", "map")
"""The metrics of images that may show several classes each; the others need one class an image."""

METRICS: dict[str, Metric] = {
    "food": "top1",
    "cifar10": "top1",
    "cifar100": "top1",
    "birdsnap": "top1",
    "sun397": "top1",
    "cars": "top1",
    "aircraft": "mean_per_class",
    "voc07": "map11",
    "dtd": "top1",
    "pets": "mean_per_class",
    "caltech101": "mean_per_class",
    "flowers": "mean_per_class",
}
"""The twelve data sets of arXiv:2002.05709, App. B.8, in its order, each with its metric."""


@dataclass(frozen=True, kw_only=True)
class Svm:
    """A linear SVM a class, one against the rest, on l2-normalised frozen features (protocols/svm.py)."""

    protocol: ClassVar[str] = "svm"

    costs: tuple[float, ...] = (0.01, 0.1, 1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 50.0, 100.0, 1000.0)
    """Values of C tried, each cross-validated on the training images; of equally good ones the smallest is taken."""
    folds: int = 3
    """Of the cross-validation."""
    positive_weight: float = 1.0
    """What an image of the class weighs beside one without it."""
    tolerance: float = 1e-8
    """A fit is finished when no entry of the (preconditioned) gradient is above this; the objective is a mean over the images."""
    evaluations: int = 2000
    """Times that L-BFGS computes the objective at most, a fit."""

    def __post_init__(self) -> None:
        if not self.costs or not all(0 < c < math.inf for c in self.costs) or not 0 < self.positive_weight < math.inf:
            raise UserError(f"svm: costs and positive_weight must be above 0, not {self.costs} and {self.positive_weight}")
        if not self.tolerance > 0:
            raise UserError(f"svm: tolerance is {self.tolerance}; take one above 0")
        if self.folds < 2:
            raise UserError(f"svm: folds is {self.folds}; take at least two")


SVM = {
    # VISSL's VOC07 benchmark (svm_trainer.py and its configuration): class weights 2 and 1, three folds, these eleven costs.
    "voc07": Svm(positive_weight=2.0),
    "plain": Svm(),
}


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """Labelled images to judge on."""

    name: str
    """A short word: the column of the table."""
    path: str
    """Anything that images may come from."""
    metric: Metric | None = None
    """None: top1, or map where an image may show several classes."""

    def __str__(self) -> str:
        """Return it as it is typed."""
        return f"{self.name}{f':{self.metric}' if self.metric else ''}={self.path}"


def data_set(text: str, option: str = "--data") -> DataSet:
    """Return what ``PATH``, ``NAME=PATH`` or ``NAME:METRIC=PATH`` means; a name of ``METRICS``, however it is written, brings its metric.

    Without a name it is the last part of the path. Raises UserError, naming the ``option``, for an
    unknown metric and an empty name or path.
    """
    before, equals, path = text.partition("=")
    if not equals or Path(text).exists():  # a path may hold the sign itself
        equals = ""
        before, path = "", text
    name, colon, asked = before.partition(":")
    if not path or (equals and not name):
        raise UserError(f"{option} {text}: needs a path, or a name and a path, as in pets=PATH or pets:mean_per_class=PATH")
    name = name or Path(path).name or path
    if colon and asked not in get_args(Metric):
        raise UserError(f"{option} {text}: no metric {asked!r}; there are {', '.join(get_args(Metric))}")
    metric = next((m for m in get_args(Metric) if m == asked), METRICS.get(re.sub(r"[^a-z0-9]", "", name.lower())))
    return DataSet(name=name, path=path, metric=metric)


def data_sets(texts: Sequence[str], option: str = "--data") -> list[DataSet]:
    """Return ``data_set`` of each. Raises UserError also for none, and for two of one name."""
    found = [data_set(text, option) for text in texts]
    names = [one.name for one in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UserError(f"{option}: {twice[0]} names two data sets; name them apart, as in {twice[0]}-a=PATH {twice[0]}-b=PATH")
    if not found:
        raise UserError(f"{option}: name at least one data set, as in pets=PATH")
    return found
