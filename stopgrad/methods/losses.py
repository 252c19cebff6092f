"""What more than one method's loss is made of. All in fp32 whatever autocast says; losses are averaged over N."""

import torch
import torch.nn.functional as F
from torch import Tensor

from stopgrad import distributed


def cosine(p: Tensor, z: Tensor) -> Tensor:
    """Minus the cosine of p and z (N, d); from −1 (aligned) to 1. SimSiam (arXiv:2011.10566) Eq. 1; BYOL's loss is 2 + 2 times this."""
    return -(F.normalize(p.float(), dim=1) * F.normalize(z.float(), dim=1)).sum(dim=1).mean()


def cross_entropy(p: Tensor, z: Tensor) -> Tensor:
    """−softmax(z) · log softmax(p) over the d channels (N, d); ln d when p is uniform. SimSiam Sec. 4.5."""
    return -(F.softmax(z.float(), dim=1) * F.log_softmax(p.float(), dim=1)).sum(dim=1).mean()


def hits(logits: Tensor, targets: Tensor) -> Tensor:
    """Share of the rows of ``logits`` (N, K) whose highest entry is at ``targets`` (N,): a scalar from 0 to 1, without gradient."""
    return (logits.detach().argmax(dim=1) == targets).float().mean()


def similarities(a: Tensor, b: Tensor) -> Tensor:
    """Products of the rows of a (N, d) and b (M, d), (N, M): autocast would take three digits off logits that temperatures multiply by 20."""
    with torch.autocast(a.device.type, enabled=False):
        return a.float() @ b.float().T


def all_views(*z: Tensor, unit: bool = True) -> Tensor:
    """Return the rows of every view in turn, of all processes: V of (n, d) to (V · size · n, d); ``unit``: normalised."""
    rows = torch.cat([distributed.gather(v) for v in z]).float()
    return F.normalize(rows, dim=1) if unit else rows


def places(local: int, images: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return where each of this process's 2·local anchors finds itself, and its other view, among ``all_views`` of 2·images."""
    own = torch.arange(local, device=device) + distributed.rank() * local
    return torch.cat([own, own + images]), torch.cat([own + images, own])
