"""The rate of the linear protocol, chosen as BYOL does (arXiv:2006.07733, App. C.1): on training images held out, never on test images."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from stopgrad.config.protocols import Linear
from stopgrad.config.transfer import Metric
from stopgrad.errors import UserError
from stopgrad.protocols.features import Labelled, Preparation
from stopgrad.protocols.lbfgs import hold_out
from stopgrad.protocols.linear import fitted, train_each
from stopgrad.protocols.metrics import measure


@dataclass(frozen=True)
class Swept:
    """The rate that was best, and how it was found."""

    lr: float
    tried: tuple[tuple[float, float | None], ...]
    """(base rate, the metric on the held-out images), in the order of the settings; None where the loss was not finite."""
    held_out: int
    """Held-out images."""

    @property
    def at_edge(self) -> bool:
        """Whether the best rate is the greatest or smallest there was, so that a better one may lie beyond."""
        return self.lr in (max(self.tried)[0], min(self.tried)[0])


def sweep(
    featuriser: nn.Module,
    features: Tensor,
    images: Labelled,
    classes: int,
    prep: Preparation,
    settings: Linear,
    metric: Metric,
    device: torch.device,
    tell: Callable[[str], object],
) -> Swept:
    """Return the best of ``settings.sweep``: all are trained in one pass on nine tenths of the images, say, and judged on the others.

    ``features`` (N, F) float32 are those of all training ``images``, prepared. Of equally good rates the smallest is taken. Raises UserError
    when no image can be held out, and when no rate gave a finite loss.
    """
    order, spared = hold_out(images.labels, settings.held_out, "linear", "the rate")
    held, kept = order[:spared], order[spared:]
    taken = fitted(settings, len(kept))
    found = train_each(featuriser, features.shape[1], images.part(kept), classes, prep, taken, settings.sweep, device, tell)
    queries, true = features[held].to(device), images.labels[held]
    tried = []
    for lr, classifier in zip(settings.sweep, found, strict=True):
        value = None if classifier is None else measure(classifier.logits(queries).cpu(), true, classes, metric)
        tried.append((lr, value))
    known = [(value, -lr) for lr, value in tried if value is not None]
    if not known:
        raise UserError(f"linear: the loss is not finite at any lr of the sweep, {settings.sweep}; take lower ones")
    return Swept(-max(known)[1], tuple(tried), spared)
