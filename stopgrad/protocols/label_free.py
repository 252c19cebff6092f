"""Scores of features that need no labels: α-ReQ and LiDAR. RankMe, alignment and uniformity are the monitor's (monitor/measures.py).

Sources: α-ReQ, Agrawal et al., NeurIPS 2022, fitted as in Stringer et al. 2019; LiDAR, Thilak et al., arXiv:2312.04000.
"""

import torch
from torch import Tensor

FIT_FROM, FIT_TO = 5, 50
"""Places of the eigenvalues, from 1, over which the power law is fitted: the first are few and stand apart, the last are noise."""
WITHIN, EMPTY = 1e-4, 1e-8
"""δ added to the covariance within classes, and ε to every eigenvalue."""


def alpha_req(features: Tensor) -> float:
    """Return α of λ_j ∝ j^(−α), λ the eigenvalues of the covariance of ``features`` (N, d), N above 1; NaN where too few of the middle are above 0.

    Least squares of log λ over log j with weights 1/j. Small: as spread as noise; large: few directions.
    """
    centred = features.double() - features.double().mean(dim=0)
    eigenvalues = torch.linalg.svdvals(centred).square() / (len(features) - 1)
    there = eigenvalues > eigenvalues[0] * 1e-12
    j = torch.arange(1, len(eigenvalues) + 1, dtype=torch.float64)
    middle = there & (j >= FIT_FROM) & (j <= FIT_TO)
    if int(middle.sum()) < 3:
        return float("nan")
    x, y, weight = j[middle].log(), eigenvalues[middle].log(), 1 / j[middle]
    weight = weight / weight.sum()
    x, y = x - (weight * x).sum(), y - (weight * y).sum()
    return -float((weight * x * y).sum() / (weight * x * x).sum())


def lidar(features: Tensor) -> float:
    """Return LiDAR of ``features`` (n, q, d), q views of each of n images: how many directions tell images apart; from 1 to min(d, n − 1).

    The exponential of the entropy of the eigenvalues of linear discriminant analysis in which every image is a class of its own.
    """
    n, q, d = features.shape
    own = features.double().mean(dim=1)
    apart, around = own - own.mean(dim=0), (features.double() - own[:, None]).reshape(n * q, d)
    between = apart.T @ apart / (n - 1)
    within = around.T @ around / (n * (q - 1)) + WITHIN * torch.eye(d, dtype=torch.float64)
    whitening = torch.linalg.inv(torch.linalg.cholesky(within))  # W = L L^T: L^-1 B L^-T has the eigenvalues of W^-1/2 B W^-1/2
    eigenvalues = torch.linalg.eigvalsh(whitening @ between @ whitening.T).clamp_min(0) + EMPTY
    share = eigenvalues / eigenvalues.sum()
    return float(torch.exp(-(share * share.log()).sum()))
