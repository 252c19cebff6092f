"""Weighted k nearest neighbours on frozen features: Wu et al., Unsupervised Feature Learning via Non-Parametric Instance Discrimination,
arXiv:1805.01978, Sec. 3.4, as the papers' CIFAR monitors use it (k = 200, T = 0.1).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from stopgrad.config.protocols import Knn
from stopgrad.errors import UserError
from stopgrad.protocols.features import exact
from stopgrad.protocols.scores import Score, ranks, score


@torch.no_grad()
def knn(
    bank: Tensor,
    bank_labels: Tensor,
    queries: Tensor,
    query_labels: Tensor,
    classes: int,
    settings: Knn,
    chunk: tuple[int, int] = (256, 4096),
) -> Score:
    """Classify ``queries`` (N, F) by their neighbours in ``bank`` (M, F); labels (N,) and (M,) int64, all four on one device.

    Of equally similar neighbours the earlier in the bank is nearer, of equal votes the lower class wins: the score is a function of
    the features. ``chunk``, queries and bank rows compared at a time, bounds the memory. Raises UserError when the bank is smaller than k.
    """
    if settings.k > len(bank):
        raise UserError(f"knn: k is {settings.k}, but there are {len(bank)} labelled training images; take a k from 1 to {len(bank)}")
    placed = []
    for some, true in zip(torch.split(queries, chunk[0]), torch.split(query_labels.cpu(), chunk[0]), strict=True):
        cosines, rows = nearest(some, bank, settings.k, chunk[1])
        # On the CPU, in the order of nearness, in float64: a GPU adds in whatever order, and rounding decides ties.
        weights = ((cosines - cosines[:, :1]).double() / settings.temperature).exp().cpu()  # over the nearest's: never 0 for all
        votes = torch.zeros(len(some), classes, dtype=torch.float64).scatter_add_(1, bank_labels[rows].cpu(), weights)
        placed.append(ranks(votes, true))
    return score(torch.cat(placed), query_labels.cpu(), classes)


def nearest(queries: Tensor, bank: Tensor, k: int, chunk: int) -> tuple[Tensor, Tensor]:
    """Return cosines and bank rows (N, k), nearest first, of the k rows of ``bank`` (M, F) most similar to each of ``queries`` (N, F).

    Vectors of any length: they are brought to 1 ``chunk`` rows at a time, since a second bank of ImageNet's size (10 GB) would not fit.
    Cosine and row are packed into one integer that sorts as the pair does, so that ties fall the same way however the bank is cut.
    """
    queries = F.normalize(queries.float(), dim=1)
    best = torch.empty(len(queries), 0, dtype=torch.int64, device=queries.device)
    for start in range(0, len(bank), chunk):
        with exact():
            cosines = queries @ F.normalize(bank[start : start + chunk].float(), dim=1).T
        keys = torch.cat((best, _keys(cosines, start)), dim=1)
        best = keys.topk(min(k, keys.shape[1]), dim=1).values
    return _cosines(best), _LAST - (best & _LAST)


_LAST = 0xFFFFFFFF


def _keys(cosines: Tensor, start: int) -> Tensor:
    """Pack fp32 cosines (N, M) and their columns' rows, from ``start``: greater for a greater cosine, then for a lower row."""
    bits = (cosines + 0.0).view(torch.int32)  # + 0.0: the two zeros are one number and must be one pattern
    bits ^= (bits >> 31) & 0x7FFFFFFF  # as integers, negative floats are ordered the wrong way round
    rows = torch.arange(start, start + cosines.shape[1], device=cosines.device)
    return (bits.long() << 32) | (_LAST - rows)


def _cosines(keys: Tensor) -> Tensor:
    bits = (keys >> 32).int()
    return (bits ^ ((bits >> 31) & 0x7FFFFFFF)).view(torch.float32)
