"""Whether frozen features still say how a view was made: SimCLR (arXiv:2002.05709), Sec. 4.2 and Table 3.

Every image is seen once, cropped and with its colours changed as in SimCLR's training, and with the operation in question or without. A network
of one hidden layer learns from the training images' features which form it was, and is tested on those of the test images.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from stopgrad.config.protocols import Operation
from stopgrad.config.run import View
from stopgrad.errors import UserError
from stopgrad.keys import generator, seed_of
from stopgrad.protocols.features import PART, Labelled, Preparation, apply, exact, frozen
from stopgrad.views.sample import ViewParams, sample, uniforms

FORMS = {"grey": 2, "rotate": 4, "noise": 2, "sobel": 2}
"""Operation to the number of its forms."""


@dataclass(frozen=True, eq=False)
class Seen:
    """Images, each seen once."""

    features: Tensor
    """(images, F) float32 on the CPU."""
    forms: Tensor
    """(images,) int64, which form of the operation each was seen in."""


def view_of(settings: Operation, size: int, channels: int) -> View:
    """Return the views. Raises UserError where these images have no such forms."""
    if settings.of == "grey" and channels != 3:
        there = f"images of {channels} channel{'s' if channels > 1 else ''} are grey already"
        raise UserError(f"operation ({settings.name}): {there}; take --settings rotation, noise or sobel")
    brightness, contrast, saturation, hue = settings.jitter
    colours = (saturation, hue) if channels == 3 else (0.0, 0.0)
    grey = 0.2 if channels == 3 else 0.0
    view = View(size=size, scale=settings.scale, flip=0.5, jitter=(brightness, contrast, *colours), jitter_p=0.8, grey=grey, blur=0.0)
    asked: dict[str, Any] = {settings.of: settings.share}
    return replace(view, **asked)


def forms(settings: Operation, params: ViewParams) -> Tensor:
    """Return (N,) int64, the form of the operation in each view."""
    if settings.of == "grey":
        return params.grey.long()
    assert params.further is not None
    match settings.of:
        case "rotate":
            return params.further.turns.long()
        case "noise":
            return (params.further.noise > 0).long()
        case "sobel":
            return params.further.sobel.long()


def seen(featuriser: nn.Module, images: Labelled, prep: Preparation, settings: Operation, part: int, device: torch.device) -> Seen:
    """Return the features of one view of every image; ``part`` tells the draws of training and test images apart."""
    features, made = [], []
    with frozen(featuriser):
        for step, (pool, rows) in enumerate(images.fetch(torch.split(torch.arange(len(images)), PART))):
            view = view_of(settings, prep.size, pool.channels)
            params = sample(view, uniforms(settings.seed, step, part, len(rows), view.further), pool.heights[rows], pool.widths[rows])
            features.append(apply(featuriser, pool, rows, params, prep, device).cpu())
            made.append(forms(settings, params))
    return Seen(torch.cat(features), torch.cat(made))


def most_common(made: Tensor, count: int) -> float:
    """Return the share of the most common form: what a guess has."""
    return int(made.bincount(minlength=count).max()) / len(made)


def told_apart(own: Seen, settings: Operation, device: torch.device, tell: Callable[[str], object]) -> nn.Module:
    """Return a network that tells the forms from features: standardised, a hidden layer, ReLU; Adam on the mean cross-entropy.

    The same features and settings give the same network on the same device.
    """
    x, y = own.features.to(device), own.forms.to(device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of("operation", settings.seed))
        network = nn.Sequential(Standardised(x), nn.Linear(x.shape[1], settings.hidden), nn.ReLU(), nn.Linear(settings.hidden, FORMS[settings.of]))
    network.to(device)
    optimizer = torch.optim.Adam(network.parameters())
    batches, step = math.ceil(len(x) / settings.batch), 0
    with exact():
        for epoch in range(settings.epochs):
            order = torch.from_numpy(generator("operation order", settings.seed, epoch).permutation(len(x)))
            for rows in torch.split(order.to(device), settings.batch):
                for group in optimizer.param_groups:
                    group["lr"] = settings.lr * (1 + math.cos(math.pi * step / (settings.epochs * batches))) / 2
                optimizer.zero_grad()
                loss = nn.functional.cross_entropy(network(x[rows]), y[rows])
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                step += 1
    tell(f"operation ({settings.name}): loss {loss.item():.3f} after {settings.epochs} epochs")
    return network.requires_grad_(False)


class Standardised(nn.Module):
    """Features less their mean, divided by their standard deviation: those of the training images. One that is constant becomes 0."""

    def __init__(self, features: Tensor) -> None:
        super().__init__()
        spread = features.std(dim=0)
        self.mean = nn.Buffer(features.mean(dim=0))
        self.scale = nn.Buffer(torch.where(spread > 0, 1 / spread.clamp_min(1e-30), 0.0))

    def forward(self, x: Tensor) -> Tensor:
        """(N, F) to (N, F)."""
        return (x - self.mean) * self.scale
