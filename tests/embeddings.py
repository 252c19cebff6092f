"""What the tests of several methods share: views, networks whose embeddings are the pixels, float64 cosines, whole gradients."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from stopgrad.methods import When
from stopgrad.nets.backbones import Backbone

START = When(0, 100, 0.0)


def views(n: int = 6, count: int = 2, size: int = 8, seed: int = 1) -> list[Tensor]:
    """Return ``count`` views of ``n`` grey images."""
    g = torch.Generator().manual_seed(seed)
    return [torch.randn(n, 1, size, size, generator=g) for _ in range(count)]


def pixels(d: int) -> Backbone:
    """Return a network whose features are the d pixels of ``images``: a test then chooses the embeddings."""
    return Backbone(nn.Flatten(), d, 1)


def images(rows: Iterable[Iterable[float]]) -> Tensor:
    """Return rows (N, d) as images for ``pixels``."""
    return torch.tensor([list(row) for row in rows], dtype=torch.float32)[:, None, None, :]


def cos(a: Tensor, b: Tensor) -> Tensor:
    """Return the cosine of two vectors in float64, written as its definition."""
    a, b = a.double(), b.double()
    return (a * b).sum() / ((a * a).sum().sqrt() * (b * b).sum().sqrt())


def gradient(method: nn.Module, loss: Tensor) -> Tensor:
    """Return the gradient by every trainable parameter, as one vector."""
    params = [p for p in method.parameters() if p.requires_grad]
    grads = torch.autograd.grad(loss, params, allow_unused=True)
    return torch.cat([torch.zeros(p.numel()) if g is None else g.flatten() for p, g in zip(params, grads, strict=True)])


def apart(a: Tensor, b: Tensor) -> float:
    """Return the distance of two vectors, relative to the second."""
    return float((a - b).norm() / b.norm())


def shares_no_storage(slow: nn.Module, fast: nn.Module) -> bool:
    """Whether no tensor of one is one of the other's."""
    mine, other = ({t.untyped_storage().data_ptr() for t in m.state_dict().values()} for m in (slow, fast))
    return not mine & other
