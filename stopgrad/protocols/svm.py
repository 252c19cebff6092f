"""Linear SVMs on frozen features, one class against the rest: the VOC07 benchmark of VISSL (Goyal et al., arXiv:1905.01235).

Features are brought to length 1. A class's objective is liblinear's (Fan et al., JMLR 9, 2008; L2-regularised L2-loss):
‖w‖² / 2 + C · Σ weight · max(0, 1 − y · wᵀx)², and its bias is, as there, the weight of a constant feature of 1, and regularised like the others.
All of it is in float64. Where an image may show several classes each has its own C, the best by its average precision over the folds, and pairs
marked as not to be counted take no part. Where an image has one class all classes share the C with the best metric, and the highest decision wins.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from stopgrad.config.transfer import Metric, Svm
from stopgrad.errors import UserError
from stopgrad.keys import generator
from stopgrad.protocols.metrics import measure, precisions
from stopgrad.protocols.minimise import minimise

LOOSE = 100.0
"""How much earlier fits end that only rank the costs; the final ones end at the tolerance."""


@dataclass(frozen=True, eq=False)
class Svms:
    """The machines of all classes, and how their costs were found."""

    weight: Tensor
    """(classes, F + 1) float64, the bias last; nan for a class that all training images show, or none."""
    costs: tuple[float | None, ...]
    """C of every class; None without a machine."""
    tried: dict[float, float]
    """C and the mean over folds, and classes where each has its own, of the metric on what was held out."""
    unfinished: int
    """Fits that ended before their gradient was small."""

    def decisions(self, features: Tensor) -> Tensor:
        """Return (N, classes) float64 of features (N, F): above 0 is for the class; nan without a machine."""
        return extended(features) @ self.weight.T

    def doubts(self, labels: Tensor) -> list[str]:
        """Return what a reader should know of the number on test images of ``labels``, a line each."""
        learned = [c for c in self.costs if c is not None]
        without = len(self.costs) - len(learned)
        lines = [f"{without} of {len(self.costs)} classes have no training image, or no other, and are never said"] if without else []
        if labels.ndim == 2:
            shown = (labels == 1).any(0).tolist()
            left = sum(c is None or not there for c, there in zip(self.costs, shown, strict=True))
            lines = [f"{left} of {len(shown)} classes lack training or test images that show them, and are left out of the mean"] if left else []
        edges = sum(c in (min(self.tried), max(self.tried)) for c in learned)
        if edges:
            lines.append(f"the best C is at the edge of those tried for {edges} of {len(learned)} classes; a better one may lie beyond")
        if self.unfinished:
            lines.append(f"{self.unfinished} fits were ended before their gradient was small; raise evaluations")
        return lines


@torch.no_grad()
def train(features: Tensor, labels: Tensor, classes: int, settings: Svm, metric: Metric, tell: Callable[[str], object]) -> Svms:
    """Train on ``features`` (N, F) and ``labels``, (N,) int64 or (N, classes) int8, on one device; ``tell`` hears of every cost.

    Which images are held out for a fold depends on the labels alone. Raises UserError when no class has
    both images to learn from and others to be held out.
    """
    signs = labels.double() if labels.ndim == 2 else F.one_hot(labels, classes).double() * 2 - 1  # (N, classes)
    able = ((signs > 0).any(0) & (signs < 0).any(0)).nonzero()[:, 0]
    if not len(able) or (labels.ndim == 1 and len(able) < 2):
        raise UserError("svm: the training images must show at least two classes, each in some of them; give more labelled images")
    if len(labels) < settings.folds:
        raise UserError(f"svm: {settings.folds} folds of {len(labels)} images; take --set folds=2, or give more labelled images")
    fitting = _Fitting(extended(features), signs[:, able], settings)
    folds = _folds(labels if labels.ndim == 1 else signs[:, able], settings.folds)
    costs = sorted(set(settings.costs))
    figures = []  # (costs, classes or 1)
    starts: list[Tensor | None] = [None] * settings.folds
    for c in costs:
        each, path = [], fitting.path(c)
        for fold in range(settings.folds):
            held = folds == fold
            w = starts[fold] = fitting.fit(path, ~held, starts[fold], tolerance=LOOSE * settings.tolerance)
            votes = (fitting.x @ w.T).cpu()
            each.append(_figures(votes, labels.cpu(), signs[:, able].cpu(), held.cpu(), ~held.cpu(), metric, able.cpu(), classes))
        figures.append(torch.stack(each).nanmean(0))
        tell(f"svm: C {c:g}, {metric} on what was held out {float(figures[-1].nanmean()):.1%}")
    return _final(fitting, torch.stack(figures), costs, able, classes)


def extended(features: Tensor) -> Tensor:
    """Return (N, F + 1) float64: features (N, F) at length 1, and the constant feature."""
    x = F.normalize(features.double(), dim=1)
    return torch.cat((x, x.new_ones(len(x), 1)), dim=1)


class _Fitting:
    """Fits on images that stay the same.

    A minimum is a sum of images, so that with fewer of them than features it is searched among those: in an orthonormal basis of their span.
    """

    def __init__(self, x: Tensor, signs: Tensor, settings: Svm) -> None:
        self._basis = torch.linalg.qr(x.T).Q if len(x) < x.shape[1] else None  # (F + 1, r)
        self.x = x if self._basis is None else x @ self._basis
        self.signs, self.settings = signs, settings
        self.moments = self.x.T @ self.x / len(x)
        self.weights = torch.where(signs > 0, settings.positive_weight, 1.0) * signs.abs()
        self.unfinished = 0

    def path(self, c: float) -> "_Path":
        """Return how to search at cost ``c``, as in lbfgs.py: in V = W · L, where L · Lᵀ is the Hessian with every image within the margin."""
        one, l2 = torch.eye(len(self.moments), dtype=self.x.dtype, device=self.x.device), 1 / (c * len(self.x))
        root = torch.linalg.cholesky(2 * self.moments + l2 * one)
        return _Path(l2, root, torch.linalg.solve_triangular(root, one, upper=False))

    def weights_of(self, found: Tensor) -> Tensor:
        """Return (classes, F + 1) of weights in the basis (classes, r)."""
        return found if self._basis is None else found @ self._basis.T

    def fit(
        self, path: "_Path", taking: Tensor, start: Tensor | None, columns: Tensor | slice = slice(None), tolerance: float | None = None
    ) -> Tensor:
        """Return the weights (classes, r) of ``columns``, in the basis, from the images that are ``taking`` part, (N, classes) or (N, 1) bool.

        ``tolerance`` None: that of the settings.
        """
        signs, weights = self.signs[:, columns], self.weights[:, columns] * taking

        def at(v: Tensor) -> tuple[float, Tensor]:
            value, slope = objective(self.x, signs, weights, v @ path.inverse, path.l2)
            return value, slope @ path.inverse.T

        v = self.x.new_zeros(signs.shape[1], self.x.shape[1]) if start is None else start @ path.root
        found = minimise(at, v, self.settings.evaluations, tolerance or self.settings.tolerance)
        self.unfinished += found.evaluations == self.settings.evaluations
        return found.at @ path.inverse


class _Path(NamedTuple):
    """How the weights are searched."""

    l2: float
    """1 / (C · N)."""
    root: Tensor
    """L."""
    inverse: Tensor
    """Of L."""


def objective(x: Tensor, signs: Tensor, weights: Tensor, w: Tensor, l2: float) -> tuple[float, Tensor]:
    """Return the sum over the classes of the objective over C · N, where l2 = 1 / (C · N), and its gradient by ``w`` (classes, F + 1).

    ``x`` (N, F + 1); ``signs`` and ``weights`` (N, classes): 1 for an image of the class and -1 for another, and what each weighs.
    """
    short = (1 - signs * (x @ w.T)).clamp_min(0)
    by_short = weights * short
    value = l2 / 2 * float(w.square().sum()) + float((by_short * short).sum()) / len(x)
    return value, l2 * w - 2 / len(x) * (by_short * signs).T @ x


def _folds(labels: Tensor, folds: int) -> Tensor:
    """Return the fold, from 0, of every image (N, 1) by classes (N,), or of every image for each class (N, classes) by signs; shares are kept."""
    columns = labels[:, None] if labels.ndim == 1 else labels
    found = torch.empty_like(columns, dtype=torch.int64)
    shuffled = torch.from_numpy(generator("folds").permutation(len(columns))).to(columns.device)
    for k in range(columns.shape[1]):
        order = shuffled[columns[shuffled, k].argsort(stable=True)]
        found[order, k] = torch.arange(len(order), device=order.device) % folds
    return found


def _figures(votes: Tensor, labels: Tensor, signs: Tensor, held: Tensor, taken: Tensor, metric: Metric, able: Tensor, classes: int) -> Tensor:
    """Return the metric on what was held out: (1,), or (classes,) where each counts by itself; nan where there is nothing to learn or to find."""
    if labels.ndim == 1:
        rows = held[:, 0]
        all_votes = votes.new_full((int(rows.sum()), classes), -torch.inf)
        all_votes[:, able] = votes[rows]
        return torch.tensor([measure(all_votes.nan_to_num(), labels[rows], classes, metric)], dtype=torch.float64)
    learned = ((signs > 0) & taken).any(0)
    found = precisions(votes, torch.where(held, signs, 0), metric)
    each = [ap if ap is not None and there else torch.nan for ap, there in zip(found, learned.tolist(), strict=True)]
    return torch.tensor(each, dtype=torch.float64)


def _final(fitting: _Fitting, figures: Tensor, costs: list[float], able: Tensor, classes: int) -> Svms:
    """Fit on all images at the best costs: ``figures`` (costs, classes or 1). A class with none of its own goes by the mean of the others."""
    mean = figures.nanmean(1)  # (costs,)
    if mean.isnan().all():
        raise UserError("svm: no class has as many images as it takes to hold one out and learn from another; give more labelled images")
    own = torch.where(figures.isnan(), mean[:, None], figures).expand(-1, len(able))
    best = own.argmax(0)  # the first, and so the smallest, of equals
    everyone = torch.ones_like(fitting.signs[:, :1], dtype=torch.bool)
    found = torch.empty(len(able), fitting.x.shape[1], dtype=fitting.x.dtype, device=fitting.x.device)
    chosen: list[float | None] = [None] * classes
    for place in sorted(set(best.tolist())):
        columns = (best == place).nonzero()[:, 0].to(able.device)
        found[columns] = fitting.fit(fitting.path(costs[place]), everyone, None, columns)
        for k in able[columns].tolist():
            chosen[k] = costs[place]
    known = fitting.weights_of(found)
    weight = known.new_full((classes, known.shape[1]), torch.nan)
    weight[able] = known
    return Svms(weight, tuple(chosen), dict(zip(costs, mean.tolist(), strict=True)), fitting.unfinished)
