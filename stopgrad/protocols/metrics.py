"""Each data set's own metric beside top-1: mean per class accuracy, and mean average precision where an image may show several classes.

Intervals, 95 %: top-1 has Wilson's (scores.py). The others have bootstraps over ``DRAWS`` draws of the test images. That of mean per class
accuracy draws within every class, whose sizes stay, and takes the percentiles. That of mean average precision draws from all images and is the
basic one (percentiles reflected at the value: an image drawn twice is found twice, so that draws are precise too often, the more so the fewer
images show a class), widened to the value where that lies beyond it, as with classes of an image or two. Both are narrower than they should be
for classes of a few images, and of no width where every image is right.
"""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from stopgrad.config.transfer import SEVERAL, Metric
from stopgrad.errors import UserError
from stopgrad.keys import generator
from stopgrad.protocols.scores import Score, ranks, score

DRAWS = 1000
"""Bootstrap draws."""
_COUNTS = 1 << 22
"""Numbers of a bootstrap held at a time."""
_TENTHS = 10


def metric_of(asked: Metric | None, several: bool, who: str) -> Metric:
    """Return the metric for images that may show ``several`` classes, or one each. Raises UserError, ``who`` in front, for one of the others."""
    if asked is None:
        return "map" if several else "top1"
    if (asked in SEVERAL) != several:
        kind, there = ("may show several classes each", "map11 or map") if several else ("have one class each", "top1 or mean_per_class")
        raise UserError(f"{who}: {asked} is no metric of images that {kind}; take {there}")
    return asked


def measure(votes: Tensor, labels: Tensor, classes: int, metric: Metric) -> float:
    """Return the metric, 0..1, of ``votes`` (N, classes), one row an image, against ``labels``: (N,) int64, or (N, classes) int8."""
    if labels.ndim == 2:
        known = [ap for ap in precisions(votes, labels, metric) if ap is not None]
        return sum(known) / len(known) if known else 0.0
    return replace(score(ranks(votes, labels), labels, classes), metric=metric).value


def scored(votes: Tensor, labels: Tensor, classes: int, metric: Metric) -> Score:
    """Return the whole score of ``votes`` (N, classes), with its interval; labels as for ``measure``, all on the CPU.

    A class that is shown by no test image, or whose votes are not finite, has no precision. Raises UserError when none has one.
    """
    if labels.ndim == 1:
        return by(score(ranks(votes, labels), labels, classes), metric, labels)
    per_class = precisions(votes, labels, metric)
    if all(ap is None for ap in per_class):
        raise UserError(f"{metric}: no class has both a test image that shows it and training images to learn it from; give more labelled images")
    value = measure(votes, labels, classes, metric)
    low, high = _bounds(_resampled(votes, labels, metric))
    bounds = max(0.0, min(value, 2 * value - high)), min(1.0, max(value, 2 * value - low))
    return Score(top1=None, top5=None, n=len(votes), per_class=tuple(per_class), metric=metric, bounds=bounds)


def by(found: Score, metric: Metric, labels: Tensor) -> Score:
    """Return ``found``, of images of one class each, (N,) ``labels``, as ``metric`` counts them."""
    if metric == "top1":
        return found
    there = labels.bincount(minlength=len(found.per_class)).numpy()
    right = np.array([0.0 if share is None else share for share in found.per_class])
    classes = np.flatnonzero(there)
    drawn = generator("bootstrap", metric).binomial(there[classes], right[classes], size=(DRAWS, len(classes))) / there[classes]
    return replace(found, metric=metric, bounds=_bounds(torch.from_numpy(drawn.mean(axis=1))))


def precisions(votes: Tensor, presence: Tensor, metric: Metric) -> list[float | None]:
    """Return the average precision of every class: of ``votes`` (N, classes) against ``presence`` (N, classes) int8, whose zeros do not count.

    None where no image shows the class, or a vote is not finite.
    """
    found: list[float | None] = []
    for column, shown in zip(votes.T, presence.T, strict=True):
        counted = shown != 0
        ok = bool((shown == 1).any()) and bool(column.isfinite().all())
        once = torch.ones(1, int(counted.sum()), dtype=torch.float64)
        found.append(float(average_precision(column[counted], shown[counted] == 1, once, metric)) if ok else None)
    return found


def average_precision(votes: Tensor, present: Tensor, times: Tensor, metric: Metric) -> Tensor:
    """Return (draws,) float64, the average precision of one class where image i is there ``times`` (draws, N) times.

    Images of equal votes (N,) are found together, as in scikit-learn, so that their order decides nothing. ``present`` (N,) bool. The
    precision at a recall is the highest at any recall not below. nan in a draw without an image that shows the class.
    """
    order = votes.argsort(descending=True, stable=True)
    ends = torch.cat((votes[order].diff() != 0, torch.ones(1, dtype=torch.bool)))
    counted = times[:, order]
    right = (counted * present[order]).cumsum(1)[:, ends]  # (draws, thresholds)
    found = counted.cumsum(1)[:, ends]
    total = right[:, -1:]
    envelope = (right / found.clamp_min(1)).flip(1).cummax(1).values.flip(1)
    if metric == "map":
        return (right.diff(dim=1, prepend=torch.zeros_like(total)) * envelope).sum(1) / total[:, 0]
    # The first threshold with a recall of tenth / 10 or more, in whole numbers: 3 of 10 are three tenths.
    tenths = total * torch.arange(_TENTHS + 1, dtype=torch.float64)
    first = torch.searchsorted((right * _TENTHS).contiguous(), tenths.contiguous())
    return torch.where(total[:, 0] > 0, envelope.gather(1, first).mean(1), torch.nan)


def _resampled(votes: Tensor, presence: Tensor, metric: Metric) -> Tensor:
    """Return (draws,) the mean average precision of draws of the test images."""
    n = len(votes)
    draw = generator("bootstrap", metric)
    means = []
    columns = [k for k, ap in enumerate(precisions(votes, presence, metric)) if ap is not None]
    for start in range(0, DRAWS, max(1, _COUNTS // n)):
        draws = min(max(1, _COUNTS // n), DRAWS - start)
        times = torch.from_numpy(draw.multinomial(n, np.full(n, 1 / n), size=draws)).double()
        counted = [presence[:, k] != 0 for k in columns]
        each = [average_precision(votes[c, k], presence[c, k] == 1, times[:, c], metric) for k, c in zip(columns, counted, strict=True)]
        means.append(torch.stack(each).nanmean(0))
    return torch.cat(means)


def _bounds(drawn: Tensor) -> tuple[float, float]:
    low, high = drawn[~drawn.isnan()].quantile(torch.tensor([0.025, 0.975], dtype=drawn.dtype)).tolist()
    return low, high
