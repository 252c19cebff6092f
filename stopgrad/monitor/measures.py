"""Measures of a representation that need no labels.

Sources: std, SimSiam Fig. 2; effective rank (RankMe), Garrido et al., arXiv:2210.02885, Eq. 1; alignment and uniformity,
Wang & Isola, arXiv:2005.10242, Eqs. 1 and 2 (α = 2, t = 2).
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def output_std(z: Tensor) -> Tensor:
    """Mean over channels of the std over images of z/‖z‖, times √d; z (N, d). 1 when isotropic, 0 when all outputs are equal."""
    return F.normalize(z.float(), dim=1).std(dim=0).mean() * math.sqrt(z.shape[1])


def effective_rank(z: Tensor) -> Tensor:
    """RankMe: the exponential of the entropy of the normalised singular values of z (N, d); from 1 to min(N, d). Not centred."""
    singular = torch.linalg.svdvals(z.float())
    share = singular / singular.sum().clamp_min(torch.finfo(torch.float32).tiny) + 1e-7
    return torch.exp(-(share * share.log()).sum())


def alignment(a: Tensor, b: Tensor) -> Tensor:
    """Mean squared distance of the unit vectors of two views (N, d): 0 when views agree, 2 when they are orthogonal."""
    return (F.normalize(a.float(), dim=1) - F.normalize(b.float(), dim=1)).square().sum(dim=1).mean()


def told_apart(a: Tensor, b: Tensor) -> Tensor:
    """Share of pairs in which an image's own other view is the nearer one: to a view in a (N, d), its own in b (N, d) and another image's.

    0.5 at chance, 1 when every image is recognised; a tie counts half. Where all of a or of b share an offset it does not matter.
    """
    similarity = F.normalize(a.float(), dim=1) @ F.normalize(b.float(), dim=1).T
    own = similarity.diagonal()[:, None]
    n = similarity.shape[0]
    nearer = (own > similarity).sum() + 0.5 * ((own == similarity).sum() - n)  # less its own with itself
    return nearer / (n * (n - 1))


def uniformity(z: Tensor) -> Tensor:
    """Logarithm of the mean of exp(−2‖x − y‖²) over pairs of unit vectors of z (N, d): 0 at collapse, near −4 when uniform and d is large."""
    z = F.normalize(z.float(), dim=1)
    n = z.shape[0]
    gaussian = torch.exp(4 * (z @ z.T - 1))  # ‖x − y‖² = 2 − 2xᵀy
    return torch.log(((gaussian.sum() - gaussian.diagonal().sum()) / (n * (n - 1))).clamp_min(torch.finfo(torch.float32).tiny))
