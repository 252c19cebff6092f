"""Losses that more than one method uses. All in fp32 whatever autocast says, all averaged over N."""

import torch.nn.functional as F
from torch import Tensor


def cosine(p: Tensor, z: Tensor) -> Tensor:
    """Minus the cosine of p and z (N, d); from −1 (aligned) to 1. SimSiam (arXiv:2011.10566) Eq. 1; BYOL's loss is 2 + 2 times this."""
    return -(F.normalize(p.float(), dim=1) * F.normalize(z.float(), dim=1)).sum(dim=1).mean()


def cross_entropy(p: Tensor, z: Tensor) -> Tensor:
    """−softmax(z) · log softmax(p) over the d channels (N, d); ln d when p is uniform. SimSiam Sec. 4.5."""
    return -(F.softmax(z.float(), dim=1) * F.log_softmax(p.float(), dim=1)).sum(dim=1).mean()


def hits(logits: Tensor, targets: Tensor) -> Tensor:
    """Share of the rows of ``logits`` (N, K) whose highest entry is at ``targets`` (N,): a scalar from 0 to 1, without gradient."""
    return (logits.detach().argmax(dim=1) == targets).float().mean()
