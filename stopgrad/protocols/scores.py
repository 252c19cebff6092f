"""What a protocol says of features: accuracies, and how sure of them the number of test images lets one be."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from stopgrad.config.transfer import Metric

Z95 = 1.959964
"""Two-sided 95 % quantile of the normal distribution."""


@dataclass(frozen=True)
class Score:
    """Accuracies on test images, 0..1."""

    top1: float | None
    """None of images that may show several classes each."""
    top5: float | None
    """None with five classes or fewer, of which any five hold the true one, and where there is no top1."""
    n: int
    """Test images, at least 1."""
    per_class: tuple[float | None, ...]
    """top1, or average precision, of each class; None where it has no test image."""
    metric: Metric = "top1"
    right: bytes = b""
    """Which images have their class at the first place: a bit each, of every byte the highest first; empty where there is no top1."""
    bounds: tuple[float, float] | None = None
    """The 95 % bootstrap interval of ``value`` (metrics.py), where it is not top1."""

    @property
    def value(self) -> float:
        """The main figure: top1, or the mean over the classes that have test images."""
        if self.metric == "top1":
            assert self.top1 is not None
            return self.top1
        known = [share for share in self.per_class if share is not None]
        return sum(known) / len(known)

    def interval(self) -> tuple[float, float]:
        """Return the 95 % interval of ``value``: what another draw of test images could have said. Training seeds are not in it.

        Of top1 it is Wilson's (1927), of the others ``bounds``.
        """
        if self.bounds is not None:
            return self.bounds
        centre = (self.value + Z95**2 / (2 * self.n)) / (1 + Z95**2 / self.n)
        half = Z95 / (1 + Z95**2 / self.n) * math.sqrt(self.value * (1 - self.value) / self.n + (Z95 / (2 * self.n)) ** 2)
        return max(0.0, centre - half), min(1.0, centre + half)


def ranks(votes: Tensor, labels: Tensor) -> Tensor:
    """Return (N,) int64, the place of the true class among ``votes`` (N, classes), finite; 0 is first. Of equal votes the lower class goes first."""
    assert votes.isfinite().all(), "votes that are not finite have no order"
    true = votes.gather(1, labels[:, None])
    equal_before = (votes == true) & (torch.arange(votes.shape[1], device=votes.device) < labels[:, None])
    return ((votes > true) | equal_before).sum(dim=1)


def score(ranks: Tensor, labels: Tensor, classes: int) -> Score:
    """Return the accuracies that ``ranks`` (N,) of the true classes ``labels`` (N,) mean; N at least 1."""
    first = ranks == 0
    right = labels[first].bincount(minlength=classes).tolist()
    there = labels.bincount(minlength=classes).tolist()
    n = len(labels)
    return Score(
        top1=sum(right) / n,
        top5=int((ranks < 5).sum()) / n if classes > 5 else None,
        n=n,
        per_class=tuple(r / t if t else None for r, t in zip(right, there, strict=True)),
        right=np.packbits(first.cpu().numpy()).tobytes(),
    )
