"""MoCo. He et al., Momentum Contrast for Unsupervised Visual Representation Learning, arXiv:1911.05722, Algorithm 1.

Version 2 (arXiv:2003.04297) differs by its projector, its views and its schedule. N images, K keys in the queue, d features.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stopgrad import distributed
from stopgrad.config import MoCoConfig
from stopgrad.methods.base import Method, Output, When
from stopgrad.methods.losses import hits, similarities
from stopgrad.nets.backbones import Backbone
from stopgrad.nets.heads import mlp
from stopgrad.nets.slow import Queue, follow, slow_copy
from stopgrad.sending import send


class MoCo(Method):
    """A query finds its key among the keys that a slow encoder made of earlier batches."""

    settings = MoCoConfig

    def __init__(self, backbone: Backbone, cfg: MoCoConfig) -> None:
        super().__init__()
        self.cfg = cfg
        self.backbone = backbone
        self.projector = mlp((backbone.features, *cfg.projector), False, False)
        self.f_k = slow_copy(self.f_q)
        self.queue = Queue(cfg.queue, cfg.projector[-1])

    @property
    def f_q(self) -> nn.Sequential:
        """The query encoder."""
        return nn.Sequential(self.backbone, self.projector)

    def forward(self, x1: Tensor, x2: Tensor) -> Output:  # type: ignore[override]  # two views, as in the paper
        """Return InfoNCE (Eq. 1), of both directions where symmetric; then the keys join the queue."""
        pairs = [(x1, x2), (x2, x1)] if self.cfg.symmetric else [(x1, x2)]
        queue = self.queue.rows.clone()  # (K, d)
        losses, accuracies, made, seen = [], [], [], []
        for x_q, x_k in pairs:
            z = self.f_q(x_q)
            q, k = F.normalize(z.float(), dim=1), self.keys(x_k)  # (N, d)
            logits = torch.cat([(q * k).sum(dim=1, keepdim=True), similarities(q, queue)], dim=1) / self.cfg.temperature  # (N, 1 + K)
            labels = torch.zeros(len(q), dtype=torch.int64, device=q.device)  # the key of the same image stands first
            losses.append(F.cross_entropy(logits, labels))
            accuracies.append(hits(logits, labels))
            seen.append((z.detach(), k))
            made.append(distributed.gather(k))
        self.queue.push(torch.cat(made))
        accuracy = torch.stack(accuracies).mean()
        return Output(torch.stack(losses).mean(), seen[0], accuracy=accuracy, chance=math.log(1 + self.cfg.queue))

    @torch.no_grad()
    def keys(self, x: Tensor) -> Tensor:
        """Return the unit keys (N, d) of a view, encoded in another order than the queries so that BN cannot tell (Sec. 3.3)."""
        if not self.cfg.shuffle:
            return F.normalize(self.f_k(x).float(), dim=1)
        order = torch.randperm(len(x) * distributed.size())  # the same in every process: the loop seeds every step
        shuffled = distributed.mine(distributed.gather(x)[send([order], x.device)[0]])
        k = distributed.gather(self.f_k(shuffled))
        return F.normalize(distributed.mine(k[send([order.argsort()], x.device)[0]]).float(), dim=1)

    def after_step(self, when: When) -> None:
        """θ_k ← m·θ_k + (1 − m)·θ_q (Eq. 2)."""
        follow(self.f_k, self.f_q, self.cfg.momentum)
