"""SimCLR. Chen et al., A Simple Framework for Contrastive Learning of Visual Representations, arXiv:2002.05709, Algorithm 1.

Its second version (arXiv:2006.10029) is the same with three layers of projector and, at choice, keys of earlier batches as
further negatives. N images, 2N views, d features.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stopgrad import distributed
from stopgrad.config import SimCLRConfig
from stopgrad.methods.base import Method, Output, When
from stopgrad.methods.losses import all_views, hits, places, similarities
from stopgrad.nets.backbones import Backbone
from stopgrad.nets.heads import mlp
from stopgrad.nets.slow import Queue, follow, slow_copy


class SimCLR(Method):
    """NT-Xent, or another loss of Table 2, over the views of all processes."""

    settings = SimCLRConfig

    def __init__(self, backbone: Backbone, cfg: SimCLRConfig) -> None:
        super().__init__()
        d = cfg.projector[-1] if cfg.projector else backbone.features
        self.cfg = cfg
        self.backbone = backbone
        self.projector = mlp((backbone.features, *cfg.projector), *cfg.projector_bn) if cfg.projector else nn.Sequential()
        if cfg.centred:
            self.projector[-1].bias.requires_grad_(False)  # the official code's output BN has a scale and no offset
        self.h = mlp((d, cfg.predictor_hidden, d), True, False) if cfg.predictor_hidden else nn.Identity()
        if cfg.memory:
            self.slow = slow_copy(nn.Sequential(self.backbone, self.projector))
            self.queue = Queue(cfg.memory, d)

    def forward(self, x1: Tensor, x2: Tensor) -> Output:  # type: ignore[override]  # two views, as in the paper
        """Return the mean of the loss over the 2N views as anchors."""
        z1, z2 = self.projector(self.backbone(x1)), self.projector(self.backbone(x2))  # (N, d)
        anchors = self.scaled(torch.cat([self.h(z1), self.h(z2)]).float())  # (2N, d)
        targets = all_views(z1, z2, unit=self.cfg.normalise)  # of all processes
        itself, positive = places(len(z1), len(targets) // 2, z1.device)
        s = similarities(anchors, targets.detach() if self.cfg.stop_gradient else targets).scatter(1, itself[:, None], -math.inf)
        if self.cfg.memory:
            s = torch.cat([s, similarities(anchors, self.queue.rows.clone())], dim=1)
            self.remember(x1, x2)
        return Output(self.loss(s, positive), (z1.detach(), z2.detach()), accuracy=hits(s, positive), chance=self.chance(s.shape[1] - 1))

    def scaled(self, z: Tensor) -> Tensor:
        """Return ``z`` (M, d) with rows of norm 1; as they are without ``normalise`` (Table 5)."""
        return F.normalize(z, dim=1) if self.cfg.normalise else z

    def loss(self, s: Tensor, positive: Tensor) -> Tensor:
        """Return the mean over the anchors of their loss (Table 2), of which each negative has an equal part.

        ``s`` (M, K) are an anchor's similarities, −inf to itself; ``positive`` (M,) is where its other view stands. Semi-hard negatives are
        those with s⁺ − m < s⁻ < s⁺; an anchor that has none has no part of the loss for negatives.
        """
        cfg = self.cfg
        if cfg.loss == "nt-xent":  # Eq. 1
            return F.cross_entropy(s / cfg.temperature, positive)
        s_p = s.gather(1, positive[:, None])  # (M, 1)
        negatives = (s > -math.inf).scatter(1, positive[:, None], False)
        if cfg.semi_hard:
            negatives &= (s < s_p) & (s > s_p - cfg.margin)
        if cfg.loss == "margin":
            return mean_over(F.relu(s - s_p + cfg.margin), negatives).mean()
        return (F.softplus(-s_p / cfg.temperature)[:, 0] + mean_over(F.softplus(s / cfg.temperature), negatives)).mean()

    def chance(self, candidates: int) -> float | None:
        """Return the least loss of outputs that tell nothing apart; None where it says nothing: equal outputs have no semi-hard negatives."""
        if self.cfg.semi_hard:
            return None
        if self.cfg.loss == "margin":
            return self.cfg.margin or None  # the mean of max(m + s⁻ − s⁺, 0) is no less than m + the mean of s⁻ − s⁺
        return math.log(candidates) if self.cfg.loss == "nt-xent" else 2 * math.log(2)  # −log σ(s) − log σ(−s) is least at s = 0

    @torch.no_grad()
    def remember(self, *views: Tensor) -> None:
        """Queue the slow encoder's keys of both views."""
        for x in views:
            self.queue.push(distributed.gather(self.scaled(self.slow(x).float())))

    def after_step(self, when: When) -> None:
        """The slow encoder follows (SimCLRv2 Sec. 2, as MoCo)."""
        if self.cfg.memory:
            follow(self.slow, nn.Sequential(self.backbone, self.projector), self.cfg.memory_momentum)


def mean_over(terms: Tensor, chosen: Tensor) -> Tensor:
    """Return the mean of the ``chosen`` (M, K) ``terms`` (M, K) in every row, (M,); 0 in a row of none."""
    return terms.masked_fill(~chosen, 0).sum(dim=1) / chosen.sum(dim=1).clamp(min=1)
