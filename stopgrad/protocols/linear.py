"""The papers' linear evaluation: a linear classifier on frozen features of augmented images, trained by SGD or LARS.

Every epoch sees every image once, anew cropped and flipped, and nothing else. The rate is ``lr · batch / 256``, from the start.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from stopgrad.config.protocols import LINEAR, Linear
from stopgrad.config.run import View
from stopgrad.errors import UserError
from stopgrad.keys import generator
from stopgrad.progress import duration
from stopgrad.protocols.features import PART, Labelled, Preparation, apply, exact, frozen
from stopgrad.views.sample import sample, uniforms


@dataclass(frozen=True, eq=False)
class Classifier:
    """Logits are x · weightᵀ + bias."""

    weight: Tensor
    """(classes, F)."""
    bias: Tensor
    """(classes,)."""
    loss: float
    """Mean over the last epoch."""

    def logits(self, features: Tensor) -> Tensor:
        """Return (N, classes) of features (N, F)."""
        return nn.functional.linear(features, self.weight, self.bias)


def fitted(settings: Linear, images: int) -> Linear:
    """Return ``settings`` with a batch of no more than the ``images`` there are: the rate follows the batch."""
    return replace(settings, batch=min(settings.batch, images))


def steps_per_epoch(settings: Linear, images: int) -> int:
    """Return the steps of one pass over the images."""
    return math.ceil(images / settings.batch)


@torch.no_grad()
def train(
    featuriser: nn.Module,
    width: int,
    images: Labelled,
    classes: int,
    prep: Preparation,
    settings: Linear,
    device: torch.device,
    tell: Callable[[str], object],
) -> Classifier:
    """Train a linear classifier on the frozen features, ``width`` an image, of augmented ``images``; ``tell`` hears of every epoch.

    The same settings on the same images give the same views in the same order. Raises UserError when the loss is no longer finite.
    """
    (classifier,) = train_each(featuriser, width, images, classes, prep, settings, (settings.lr,), device, tell)
    if classifier is None:
        raise UserError(f"linear: the loss is not finite within {settings.epochs} epochs at lr {settings.lr:g}; take a lower lr")
    return classifier


@torch.no_grad()
def train_each(
    featuriser: nn.Module,
    width: int,
    images: Labelled,
    classes: int,
    prep: Preparation,
    settings: Linear,
    rates: Sequence[float],
    device: torch.device,
    tell: Callable[[str], object],
) -> list[Classifier | None]:
    """Return what ``train`` would give at each of the base ``rates``, bit for bit, from one pass over the features.

    None where the loss was no longer finite, from the end of that epoch on. Each rate has its own products of matrices: one product of all of
    them would be rounded otherwise, and the features take the time.
    """
    drawn = torch.from_numpy(generator("linear", settings.seed).normal(0, 0.01, (classes, width))).float().to(device)
    trained = [_Trained(replace(settings, lr=lr), drawn.clone(), torch.zeros(classes, device=device)) for lr in rates]
    step, steps = 0, settings.epochs * steps_per_epoch(settings, len(images))
    began = time.monotonic()
    with frozen(featuriser):
        for epoch in range(settings.epochs):
            going = [one for one in trained if math.isfinite(one.mean_loss)]
            if not going:
                break
            for x, labels in _epoch(featuriser, images, prep, settings, epoch, device):
                for one in going:
                    one.step(x, labels, step / steps)
                step += 1
            for one in going:
                one.end_epoch()
            said = ", ".join(f"{one.mean_loss:.3f}{f' at lr {one.settings.lr:g}' if len(rates) > 1 else ''}" for one in trained)
            left = (time.monotonic() - began) / (epoch + 1) * (settings.epochs - epoch - 1)
            tell(f"linear ({settings.name}): epoch {epoch + 1}/{settings.epochs}, loss {said}{f', {duration(left)} left' if left else ''}")
    return [Classifier(one.weight, one.bias, one.mean_loss) if math.isfinite(one.mean_loss) else None for one in trained]


class _Trained:
    """A classifier in training at one rate."""

    def __init__(self, settings: Linear, weight: Tensor, bias: Tensor) -> None:
        self.settings, self.weight, self.bias = settings, weight, bias
        self.mean_loss = 0.0
        """Over the last epoch."""
        self._velocities = torch.zeros_like(weight), torch.zeros_like(bias)
        self._losses: list[float] = []

    def step(self, x: Tensor, labels: Tensor, progress: float) -> None:
        """Make one step on features ``x`` (batch, F) and ``labels`` (batch,)."""
        loss, gradients = loss_and_gradients(x, labels, self.weight, self.bias)
        for parameter, gradient, velocity in zip((self.weight, self.bias), gradients, self._velocities, strict=True):
            update(self.settings, rate(self.settings, progress), parameter, gradient, velocity)
        self._losses.append(float(loss))

    def end_epoch(self) -> None:
        self.mean_loss = sum(self._losses) / len(self._losses)
        self._losses.clear()


def rate(settings: Linear, progress: float) -> float:
    """Return the learning rate at ``progress`` (0 to 1) of the training."""
    peak = settings.lr * settings.batch / 256
    if settings.drops:
        return float(peak * 0.1 ** sum(progress >= drop for drop in settings.drops))
    return peak * (1 + math.cos(math.pi * progress)) / 2


def loss_and_gradients(x: Tensor, labels: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Return the mean cross-entropy on ``x`` (N, F), ``labels`` (N,), and its gradients by ``weight`` (classes, F) and ``bias`` (classes,)."""
    with exact():
        chances = torch.log_softmax(x @ weight.T + bias, dim=1)  # (N, classes)
        true = labels[:, None]
        loss = -chances.gather(1, true).mean()
        chances.exp_().scatter_add_(1, true, chances.new_full(true.shape, -1.0)).div_(len(x))
        return loss, (chances.T @ x, chances.sum(dim=0))


def update(settings: Linear, lr: float, parameter: Tensor, gradient: Tensor, velocity: Tensor) -> None:
    """Make one step of SGD with momentum on ``parameter``, in place.

    LARS (You et al., arXiv:1708.03888) as apex LARC without clipping, which the official code uses: the gradient, weight decay
    added, is scaled for every tensor by trust · ‖w‖ / (‖g‖ + decay · ‖w‖); where a norm is 0 it stays as it is.
    """
    decayed = gradient + settings.weight_decay * parameter
    if settings.optimiser == "lars":
        size, slope = parameter.norm(), gradient.norm()
        scaled = decayed * (settings.trust * size / (slope + settings.weight_decay * size).clamp_min(1e-30))
        decayed = torch.where((size > 0) & (slope > 0), scaled, gradient)
    velocity.mul_(settings.momentum).add_(decayed)
    parameter.sub_(decayed + settings.momentum * velocity if settings.nesterov else velocity, alpha=lr)


def _epoch(
    featuriser: nn.Module, images: Labelled, prep: Preparation, settings: Linear, epoch: int, device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the features (batch, F) and labels (batch,) of every step of an epoch. A batch goes through the featuriser in parts."""
    view = View(size=prep.size, scale=settings.scale, flip=settings.flip, jitter=(0.0, 0.0, 0.0, 0.0), jitter_p=0.0, grey=0.0, blur=0.0)
    order = torch.from_numpy(generator("linear order", settings.seed, epoch).permutation(len(images)))
    batches = torch.split(order, settings.batch)
    fetched = iter(images.fetch(part for batch in batches for part in torch.split(batch, PART)))  # one stream: decoding runs ahead of the step
    for step, batch in enumerate(batches, epoch * len(batches)):
        parts = []
        for u in torch.split(uniforms(settings.seed, step, 0, len(batch)), PART):
            pool, rows = next(fetched)
            parts.append(apply(featuriser, pool, rows, sample(view, u, pool.heights[rows], pool.widths[rows]), prep, device))
        yield torch.cat(parts), images.labels[batch].to(device)


def misfit(settings: Linear, loss: float, classes: int, features: Tensor) -> list[str]:
    """Return what a training loss that ended above or at a guess's says of the rate; SGD's step goes with the square of the features' length."""
    guess, length = math.log(classes), float(features.norm(dim=1).mean())
    ended, size = f"the training loss ended at {loss:.3f}, a guess has {guess:.3f}", f"features of this size (mean length {length:.2g})"
    if loss > DIVERGED * guess:
        return [f"{ended}: lr {settings.lr:g} is too high for {size}; go by another protocol"]
    if loss < LEARNED * guess:
        return []
    if loss > WORSE * guess:
        return [f"{ended}: nothing was learned, and whether lr {settings.lr:g} is too high or too low for {size} is not to be told; go by lbfgs"]
    other = "--protocol lbfgs" if settings.lr >= LINEAR["moco"].lr else "--settings moco (lr 30) or --protocol lbfgs"
    return [f"{ended}: nothing was learned; lr {settings.lr:g} is too low for {size}, or they say nothing of the classes: take {other}"]


DIVERGED, WORSE, LEARNED = 1.05, 1.005, 0.99
"""Shares of a guess's loss: above the first a classifier has diverged, above the second moved for the worse, below the third learned something."""
