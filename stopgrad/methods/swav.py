"""SwAV. Caron et al., Unsupervised Learning of Visual Features by Contrasting Cluster Assignments, arXiv:2006.09882, Algorithm 1.

The first two views are large, the others small crops (multi-crop). N images, V views, d features, K prototypes.
"""

import math
from itertools import groupby

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stopgrad import distributed
from stopgrad.config import SwAVConfig
from stopgrad.methods.base import Coming, Method, Output, When
from stopgrad.methods.losses import similarities
from stopgrad.nets.backbones import Backbone
from stopgrad.nets.heads import mlp
from stopgrad.nets.slow import Queue

LARGE = 2
"""Views that codes are made of."""


class SwAV(Method):
    """Every view predicts the cluster codes of the large views."""

    settings = SwAVConfig

    def __init__(self, backbone: Backbone, cfg: SwAVConfig) -> None:
        super().__init__()
        d = cfg.projector[-1]
        self.cfg = cfg
        self.backbone = backbone
        self.projector = mlp((backbone.features, *cfg.projector), True, False)
        self.h = mlp((d, cfg.predictor_hidden, d), True, False) if cfg.predictor_hidden else nn.Identity()
        self.prototypes = nn.Linear(d, cfg.prototypes, bias=False)  # its rows are the vectors c of the paper
        self.queues = nn.ModuleList(Queue(cfg.queue, d) for _ in range(LARGE if cfg.queue else 0))
        self.filling = False

    def before_step(self, when: When, coming: Coming) -> None:
        """Prototypes stay as they are in the first epochs, or in all; the queue begins to fill later."""
        frozen = self.cfg.freeze_epochs
        self.prototypes.requires_grad_(frozen is not None and when.epoch >= frozen)
        self.filling = when.epoch >= self.cfg.queue_from_epoch

    def forward(self, *views: Tensor) -> Output:
        """Return the swapped prediction loss (Eq. 1 and 2, Sec. 3.2), averaged over the pairs of a code and another view."""
        z = [F.normalize(v.float(), dim=1) for v in self.project(views)]  # V of (N, d)
        p = [F.normalize(self.h(v).float(), dim=1) for v in z] if self.cfg.predictor_hidden else z
        vectors = self.unit_prototypes()  # (K, d)
        codes = [self.codes(i, z[i], vectors) for i in range(LARGE)]  # (N, K)
        predicted = [F.log_softmax(similarities(v, vectors) / self.cfg.temperature, dim=1) for v in p]
        pairs = [-(codes[i] * predicted[v]).sum(dim=1).mean() for i in range(LARGE) for v in range(len(views)) if v != i]
        return Output(torch.stack(pairs).mean(), tuple(v.detach() for v in z[:LARGE]), chance=math.log(self.cfg.prototypes))

    def project(self, views: tuple[Tensor, ...]) -> list[Tensor]:
        """Return the projections of every view; views of one size share the backbone's BN statistics, all share the head's: the official code."""
        sizes = [torch.cat(list(same)) for _, same in groupby(views, key=lambda x: x.shape[-1])]
        return list(self.projector(torch.cat([self.backbone(same) for same in sizes])).chunk(len(views)))

    def unit_prototypes(self) -> Tensor:
        """Return the prototypes with norm 1: normalised in place, outside the gradient, or as part of it (SimSiam Sec. 6.2)."""
        weight = self.prototypes.weight
        if self.cfg.normalise_inside:
            return F.normalize(weight, dim=1)
        with torch.no_grad():
            weight.copy_(F.normalize(weight, dim=1))
        return weight.clone()  # the next part of the batch normalises again, in place

    def codes(self, i: int, z: Tensor, vectors: Tensor) -> Tensor:
        """Return the codes (N, K) of large view ``i``, balanced over the batch of all processes and the queue."""
        everyone = distributed.gather(z)
        rows = everyone
        if self.queues:
            queue = self.queues[i]
            assert isinstance(queue, Queue)
            if queue.full:
                rows = torch.cat([everyone, queue.rows.clone()])
            if self.filling:
                queue.push(everyone.detach())
        with torch.set_grad_enabled(not self.cfg.stop_gradient and torch.is_grad_enabled()):
            q = sinkhorn(similarities(rows, vectors), self.cfg.epsilon, self.cfg.sinkhorn)
        return distributed.mine(q[: len(everyone)])


def sinkhorn(scores: Tensor, epsilon: float, iterations: int) -> Tensor:
    """Return codes (B, K) for ``scores`` (B, K): Eq. 5 by Sinkhorn-Knopp; every row sums to 1, every column to B/K as nearly as it goes."""
    log_q = scores / epsilon  # in logarithms: exp(1/0.03) and its sums leave no digits in fp32
    for _ in range(iterations):
        log_q = log_q - torch.logsumexp(log_q, dim=0, keepdim=True)  # prototypes are used alike
        log_q = log_q - torch.logsumexp(log_q, dim=1, keepdim=True)  # every image is assigned once
    return log_q.exp()
