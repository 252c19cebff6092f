"""What a figure is of: the data set judged on, the protocol, its variant and the metric. A column of every table."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

T = TypeVar("T")

PROTOCOLS = {
    "knn": "kNN",
    "lbfgs": "Linear (L-BFGS)",
    "linear": "Linear (SGD or LARS)",
    "svm": "Linear SVM",
    "operation": "Telling the operation",
    "semi": "Semi-supervised",
    "finetune": "Fine-tuning",
    "distill": "Distillation",
    "detection": "Detection",
}
"""Known protocols in the order of the tables; others follow under their own name."""
TRAINED = ("semi", "finetune", "distill", "detection")
"""Protocols that train the backbone further; under the others it is frozen."""
METRICS = {
    "top1": "top-1",
    "top5": "top-5",
    "mean_per_class": "mean per class",
    "map11": "11-point mAP",
    "map": "mAP",
    "ap": "AP",
    **{f"{region}_ap{at}": f"{region} AP{at}" for region in ("box", "mask") for at in ("", "50", "75")},
}
"""Known metrics in the order of the tables; others follow under their own name."""


@dataclass(frozen=True)
class Column:
    """What a figure is of. Figures of different columns are never compared."""

    data: str
    """The data set judged on; empty: the run's own."""
    protocol: str
    variant: str
    """What sets it apart within its protocol, such as ``1 %``; often empty."""
    metric: str
    images: str = ""
    """Which images of that name: the beginning of their fingerprint, where one name means several sets of them; else empty."""

    @property
    def place(self) -> str:
        """The data set's name, and which of that name; empty: the run's own."""
        return f"{self.data} ({self.images})" if self.images else self.data

    @property
    def title(self) -> str:
        """What it is called where its data set stands above it: the metric only where it is not top-1."""
        parts = [protocol_name(self.protocol), self.variant, metric_name(self.metric) if self.metric not in ("", "top1") else ""]
        return ", ".join(part for part in parts if part)

    @property
    def full_title(self) -> str:
        """What it is called alone."""
        return f"{self.place} · {self.title}" if self.data else self.title

    @property
    def short(self) -> str:
        """What it is called on a terminal: by the words that are typed."""
        parts = [self.place, self.protocol, self.variant, metric_name(self.metric) if self.metric not in ("", "top1") else ""]
        return " ".join(part for part in parts if part)

    @property
    def code(self) -> str:
        """What a program calls it: all that is not empty, the metric always."""
        return "/".join(part for part in (self.place, self.protocol, self.variant, self.metric) if part)

    @property
    def judging(self) -> "Column":
        """What figures of all metrics of the same judging have in common: the column without its metric."""
        return replace(self, metric="")


def by_metric(columns: Sequence[Column], words: Callable[[Column], T]) -> list[tuple[Column, T]]:
    """Return what ``words`` says of every judging: once where it says the same of all metrics that are among ``columns``, else of each metric."""
    found: list[tuple[Column, T]] = []
    for judging in dict.fromkeys(column.judging for column in columns):
        said = [(column, words(column)) for column in columns if column.judging == judging]
        found += [(judging, said[0][1])] if all(other == said[0][1] for _, other in said) else said
    return found


def metric_name(metric: str) -> str:
    """Return what readers call ``metric``."""
    return METRICS.get(metric, metric.replace("_", " "))


def beside_name(metric: str) -> str:
    """Return what ``metric`` is called beside the figure that it belongs to: AP50 beside box AP."""
    return metric_name(metric).removeprefix("box ").removeprefix("mask ")


def protocol_name(protocol: str) -> str:
    """Return what readers call ``protocol``."""
    return PROTOCOLS.get(protocol, protocol)


def ordered(columns: Iterable[Column]) -> list[Column]:
    """Return every column once: the run's own data first, other data sets in the order given, then by protocol, variant as given, and metric."""
    given = list(dict.fromkeys(columns))
    names = list(dict.fromkeys(["", *(column.data for column in given)]))
    images = list(dict.fromkeys(column.images for column in given))
    variants = list(dict.fromkeys(column.variant for column in given))
    protocols = [*PROTOCOLS, *sorted({column.protocol for column in given} - PROTOCOLS.keys())]
    metrics = ["", *METRICS, *sorted({column.metric for column in given} - METRICS.keys())]

    def place(column: Column) -> tuple[int, ...]:
        return (
            names.index(column.data),
            images.index(column.images),
            protocols.index(column.protocol),
            variants.index(column.variant),
            metrics.index(column.metric),
        )

    return sorted(given, key=place)
