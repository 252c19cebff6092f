"""What a frozen featuriser makes of prepared images.

A featuriser is a module (N, C, H, W) → (N, F): a backbone, the same backbone at random initialisation, or ``Pixels``.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stopgrad.errors import UserError
from stopgrad.images.pool import Pool
from stopgrad.views.render import render
from stopgrad.views.sample import ViewParams, centre

PART = 256
"""Images that go through a featuriser at a time."""

Batches = Iterable[tuple[Pool, Tensor]]
"""Batches of images, each a pool and rows of it (N,) int64 on the CPU."""
Fetch = Callable[[Iterable[Tensor]], Batches]
"""Turns batches of image numbers (N,) int64 into those images, batch by batch, in order: where decoding ahead finds its place."""


@dataclass(frozen=True)
class Preparation:
    """How an image is made ready for judging. Nothing in it is random."""

    size: int
    """Side of the square that the featuriser sees, pixels."""
    share: float
    """Side of the central crop, as a share of the image's shorter side."""
    mean: tuple[float, ...]
    """Taken off every channel (values 0..1)."""
    std: tuple[float, ...]
    """Divides every channel after that."""

    @classmethod
    def usual(cls, size: int, short_side: int, mean: tuple[float, ...], std: tuple[float, ...]) -> "Preparation":
        """Return the papers' way: all of images whose ``short_side`` is not above ``size``, of others Resize(256) and CenterCrop(224) to scale."""
        return cls(size, 1.0 if short_side <= size else 224 / 256, mean, std)


@dataclass(frozen=True, eq=False)
class Labelled:
    """Images of known classes."""

    fetch: Fetch
    labels: Tensor
    """(images,) int64, the class of every image, from 0; or (images, classes) int8: 1 where it shows the class, -1 not, 0 not to be counted."""
    identify: Callable[[], str] | None = None
    """Returns a hex digest of the images themselves, as they are read; None where nobody can, and features are not kept."""

    @property
    def several(self) -> bool:
        """Whether an image may show several classes."""
        return self.labels.ndim == 2

    def part(self, rows: Tensor) -> "Labelled":
        """Return images ``rows`` (int64, on the CPU) of these."""
        return Labelled(lambda order: self.fetch(rows[some] for some in order), self.labels[rows])

    @classmethod
    def resident(cls, pool: Pool, labels: Tensor) -> "Labelled":
        """Return the images of a pool, one label, or row of labels, a row."""
        assert len(pool) == len(labels), "one label an image"
        return cls(lambda order: ((pool, rows) for rows in order), labels)

    def __len__(self) -> int:
        return len(self.labels)


class Pixels(nn.Module):
    """The baseline without a network: the image averaged down to ``side`` x ``side`` (or as it is, when smaller), flat."""

    def __init__(self, channels: int, size: int, side: int = 32) -> None:
        super().__init__()
        self.side = min(side, size)
        self.channels = channels
        self.features = channels * self.side**2

    def extra_repr(self) -> str:
        """Return what tells one from another."""
        return f"channels={self.channels}, side={self.side}"

    def forward(self, images: Tensor) -> Tensor:
        """Return (N, channels · side²) of (N, channels, size, size)."""
        return F.adaptive_avg_pool2d(images, self.side).flatten(1)


def features(featuriser: nn.Module, images: Labelled, prep: Preparation, device: torch.device, part: int = PART) -> Tensor:
    """Return (N, F) float32 on the CPU, row by row all ``images``, ``part`` at a time; no more memory is taken than they need.

    The featuriser, on ``device``, keeps the mode and the BN statistics that it came with. Raises UserError for features that are not finite.
    """
    all_of_them, done = torch.empty(0), 0
    with frozen(featuriser):
        for pool, rows in images.fetch(torch.split(torch.arange(len(images)), part)):
            some = featurise(featuriser, pool, rows, prep, device)
            if not done:
                all_of_them = torch.empty(len(images), some.shape[1])
            all_of_them[done : done + len(some)] = some
            done += len(some)
    return all_of_them


def featurise(featuriser: nn.Module, pool: Pool, rows: Tensor, prep: Preparation, device: torch.device) -> Tensor:
    """Return the features (N, F) of the prepared images ``rows`` (N,) of ``pool``; for use within ``frozen``."""
    return apply(featuriser, pool, rows, centre(prep.size, pool.heights[rows], pool.widths[rows], prep.share), prep, device)


@torch.no_grad()
def apply(featuriser: nn.Module, pool: Pool, rows: Tensor, params: ViewParams, prep: Preparation, device: torch.device) -> Tensor:
    """Return the features (N, F) float32 of images ``rows`` (N,) of ``pool`` seen through ``params``. Raises UserError when one is not finite."""
    images = render(pool, rows, params, prep.mean, prep.std).to(device)
    with exact():
        found: Tensor = featuriser(images.contiguous(memory_format=torch.channels_last)).float()
    if not found.isfinite().all():
        raise UserError(
            f"the features of {type(featuriser).__name__} are not finite: the weights are damaged or training diverged; judge another checkpoint"
        )
    return found


@contextmanager
def frozen(featuriser: nn.Module) -> Iterator[None]:
    """Put ``featuriser`` in evaluation mode; afterwards every part of it is in the mode it was in."""
    training = [part for part in featuriser.modules() if part.training]
    featuriser.eval()
    try:
        yield
    finally:
        for part in training:
            part.training = True


@contextmanager
def exact() -> Iterator[None]:
    """Multiply in full fp32: TF32 or bf16 products, which may be allowed for training, change neighbours and the last digits of an accuracy."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.backends.cudnn.flags(enabled=torch.backends.cudnn.enabled, deterministic=True, allow_tf32=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)
