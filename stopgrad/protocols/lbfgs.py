"""Logistic regression on frozen features by L-BFGS: SimCLR's protocol for transfer (arXiv:2002.05709, App. B.8), without augmentation,
with the penalty chosen on held-out training images.

The objective is the mean cross-entropy + l2 / 2 · ‖W‖², biases free, on features standardised by the training images' mean and std. Where an
image may show several classes it is the mean over the images of the sum over the classes of the logistic loss, (image, class) pairs marked
as not to be counted left out.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from stopgrad.config.protocols import Lbfgs
from stopgrad.config.transfer import Metric
from stopgrad.errors import UserError
from stopgrad.keys import generator
from stopgrad.protocols.features import exact
from stopgrad.protocols.metrics import measure
from stopgrad.protocols.minimise import minimise

_LOGITS = 1 << 24
"""Logits held at a time."""
_ROWS = 1 << 14
"""Features held in float64 at a time, images."""


@dataclass(frozen=True, eq=False)
class Fit:
    """A minimum of the objective, on standardised features."""

    weight: Tensor
    """(classes, F)."""
    bias: Tensor
    """(classes,)."""
    loss: float
    """The objective there."""
    evaluations: int
    """Times the objective was computed."""

    def logits(self, x: Tensor) -> Tensor:
        """Return (N, classes) of standardised features (N, F)."""
        return F.linear(x, self.weight, self.bias)


@dataclass(frozen=True, eq=False)
class Chosen:
    """The final fit, and how its penalty was found."""

    fit: Fit
    mean: Tensor
    """(F,), of the training features."""
    std: Tensor
    """(F,), 1 where a feature is constant."""
    l2: float
    tried: tuple[tuple[float, float], ...]
    """(l2, the metric on the held-out images), in the order tried."""
    held_out: int
    """Held-out images."""

    @property
    def at_edge(self) -> bool:
        """Whether the best penalty is the greatest or smallest there was, so that a better one may lie beyond."""
        return self.l2 in (max(self.tried)[0], min(self.tried)[0])

    def logits(self, features: Tensor) -> Tensor:
        """Return (N, classes) of features (N, F) as they come."""
        return self.fit.logits((features - self.mean) / self.std)


@torch.no_grad()
def choose(features: Tensor, labels: Tensor, classes: int, settings: Lbfgs, metric: Metric = "top1") -> Chosen:
    """Return the regression on ``features`` (N, F) float32 and ``labels``, on one device, with the penalty best on held-out images.

    ``labels`` (N,) int64, or (N, classes) int8 where an image may show several; ``metric`` says what is best. Raises UserError when no class
    has the images to spare one.
    """
    order, spared = hold_out(labels, settings.held_out)
    mean, std = standard(features)
    x, y = features[order].sub_(mean).div_(std), labels[order]  # in place: the features of a large set are gigabytes
    kept = slice(spared, None)
    moments = _second_moments(x[kept])
    tried: list[tuple[float, float]] = []
    best, best_loss, worse = (-1.0, 0.0), float("inf"), 0  # (accuracy, l2)
    found: Fit | None = None
    best_fit: Fit | None = None
    for l2 in sorted(settings.l2, reverse=True):
        found = fit(x[kept], y[kept], classes, l2, settings, moments, found)
        logits = found.logits(x[:spared])
        accuracy = measure(logits.cpu(), y[:spared].cpu(), classes, metric)
        loss = objective(x[:spared], y[:spared], found.weight, found.bias, 0.0)[0]
        tried.append((l2, accuracy))
        worse = worse + 1 if accuracy < best[0] and loss > best_loss else 0
        if accuracy > best[0]:  # of equals the greater penalty stays
            best, best_fit = (accuracy, l2), found
        best_loss = min(best_loss, loss)
        if worse == settings.patience:
            break
    final = fit(x, y, classes, best[1], settings, _second_moments(x), best_fit)
    return Chosen(final, mean, std, best[1], tuple(tried), spared)


def hold_out(labels: Tensor, share: float, protocol: str = "lbfgs", chosen: str = "the penalty") -> tuple[Tensor, int]:
    """Return an order of the images (N,) int64 whose first ones, and how many, are held out: ``share`` of every class, always the same.

    Of images that may show several classes, ``labels`` (N, classes), it is a share of all. Raises UserError when that is none to
    choose what is ``chosen`` on.
    """
    if labels.ndim == 2:
        labels = labels.new_zeros(len(labels), dtype=torch.int64)
    shuffled = torch.from_numpy(generator("held out").permutation(len(labels))).to(labels.device)
    by_class = shuffled[labels[shuffled].argsort(stable=True)]
    counts = labels.bincount()
    place = torch.arange(len(labels), device=labels.device) - (counts.cumsum(0) - counts)[labels[by_class]]
    held = place < (counts * share).round()[labels[by_class]]
    if not held.any():
        most = int(counts.max())
        raise UserError(f"{protocol}: a share of {share} of {most} training images a class is none to choose {chosen} on; give more labelled images")
    return torch.cat((by_class[held], by_class[~held])), int(held.sum())


def standard(features: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and std (F,) of features (N, F), the std 1 where all that varies is rounding."""
    parts = torch.split(features, _ROWS)
    mean = torch.stack([part.double().sum(dim=0) for part in parts]).sum(dim=0) / len(features)
    std = (torch.stack([(part.double() - mean).square().sum(dim=0) for part in parts]).sum(dim=0) / len(features)).sqrt()
    constant = std <= 1e-6 * mean.abs()
    return mean.float(), std.masked_fill(constant, 1).float()


def fit(x: Tensor, labels: Tensor, classes: int, l2: float, settings: Lbfgs, moments: Tensor, start: Fit | None) -> Fit:
    """Minimise the objective on ``x`` (N, F), standardised, from ``start`` or 0. ``moments`` (F, F) are the second moments of ``x``.

    Features that say much the same make L-BFGS slow. So it searches in V = W · L, where L · Lᵀ = moments / classes + l2 is the Hessian
    near W = 0 (but for the coupling of the classes; where an image may show several, moments / 4 + l2): another path to the same minimum.
    """
    root = _root(moments, l2, classes if labels.ndim == 1 else 4)
    inverse = torch.linalg.solve_triangular(root, torch.eye(len(root), dtype=root.dtype, device=root.device), upper=False).to(x.dtype)
    scale = classes**0.5  # the biases' own

    def at(v: Tensor) -> tuple[float, Tensor]:
        loss, by_weight, by_bias = objective(x, labels, v[:, :-1] @ inverse, v[:, -1] * scale, l2)
        return loss, torch.cat((by_weight @ inverse.T, by_bias[:, None] * scale), dim=1)

    with exact():
        v = x.new_zeros(classes, x.shape[1] + 1)
        if start is not None:
            v = torch.cat((start.weight @ root.to(x.dtype), start.bias[:, None] / scale), dim=1)
        found = minimise(at, v, settings.evaluations, settings.tolerance)
        return Fit(found.at[:, :-1] @ inverse, found.at[:, -1] * scale, found.value, found.evaluations)


def objective(x: Tensor, labels: Tensor, weight: Tensor, bias: Tensor, l2: float) -> tuple[float, Tensor, Tensor]:
    """Return the objective and its gradients by ``weight`` (classes, F) and ``bias`` (classes,) on ``x`` (N, F); labels as for ``choose``."""
    loss = x.new_zeros((), dtype=torch.float64)
    by_weight, by_bias = torch.zeros_like(weight), torch.zeros_like(bias)
    part = max(1, _LOGITS // len(bias))
    for some, true in zip(torch.split(x, part), torch.split(labels, part), strict=True):
        # Classes first: a product with few columns is several times slower than one with few rows.
        logits = weight @ some.T + bias[:, None]  # (classes, part)
        of_part, slopes = _logistic(logits, true.T.to(x.dtype)) if true.ndim == 2 else _cross_entropy(logits, true)
        loss += of_part
        by_weight += slopes @ some
        by_bias += slopes.sum(dim=1)
    penalty = l2 / 2 * float(weight.double().square().sum())
    return float(loss) / len(x) + penalty, by_weight / len(x) + l2 * weight, by_bias / len(x)


def _cross_entropy(logits: Tensor, true: Tensor) -> tuple[Tensor, Tensor]:
    """Return the sum of the cross-entropies, float64, and its gradient by ``logits`` (classes, N), of which it takes the memory."""
    chances = torch.log_softmax(logits, dim=0)
    loss = -chances.gather(0, true[None]).sum(dtype=torch.float64)
    return loss, chances.exp_().scatter_add_(0, true[None], chances.new_full((1, len(true)), -1.0))


def _logistic(logits: Tensor, presence: Tensor) -> tuple[Tensor, Tensor]:
    """Return the sum of the logistic losses, float64, of ``logits`` (classes, N) against 1, -1 or 0, and its gradient by them."""
    towards = presence * logits
    loss = -(F.logsigmoid(towards) * presence.abs()).sum(dtype=torch.float64)
    return loss, -presence * torch.sigmoid(-towards)


def _second_moments(x: Tensor) -> Tensor:
    with exact():
        return x.T @ x / len(x)


def _root(moments: Tensor, l2: float, classes: int) -> Tensor:
    """Return the Cholesky factor, float64, of moments / classes + l2, damped so that the moments' rounding cannot make it indefinite."""
    hessian = moments.double() / classes
    hessian.diagonal().add_(l2 + 1e-6 * float(hessian.diagonal().sum()))
    root: Tensor = torch.linalg.cholesky(hessian)
    return root
