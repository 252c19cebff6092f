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
    """NT-Xent over the views of all processes."""

    settings = SimCLRConfig

    def __init__(self, backbone: Backbone, cfg: SimCLRConfig) -> None:
        super().__init__()
        d = cfg.projector[-1]
        self.cfg = cfg
        self.backbone = backbone
        self.projector = mlp((backbone.features, *cfg.projector), *cfg.projector_bn)
        if cfg.projector_bn[1]:
            self.projector[-1].bias.requires_grad_(False)  # the official code's output BN has a scale and no offset
        self.h = mlp((d, cfg.predictor_hidden, d), True, False) if cfg.predictor_hidden else nn.Identity()
        if cfg.memory:
            self.slow = slow_copy(nn.Sequential(self.backbone, self.projector))
            self.queue = Queue(cfg.memory, d)

    def forward(self, x1: Tensor, x2: Tensor) -> Output:  # type: ignore[override]  # two views, as in the paper
        """Return NT-Xent (Eq. 1), the mean over the 2N views as anchors."""
        z1, z2 = self.projector(self.backbone(x1)), self.projector(self.backbone(x2))  # (N, d)
        anchors = F.normalize(torch.cat([self.h(z1), self.h(z2)]).float(), dim=1)  # (2N, d)
        targets = all_views(z1, z2).detach() if self.cfg.stop_gradient else all_views(z1, z2)  # of all processes
        itself, positive = places(len(z1), len(targets) // 2, z1.device)
        logits = (similarities(anchors, targets) / self.cfg.temperature).scatter(1, itself[:, None], -math.inf)
        if self.cfg.memory:
            logits = torch.cat([logits, similarities(anchors, self.queue.rows.clone()) / self.cfg.temperature], dim=1)
            self.remember(x1, x2)
        loss = F.cross_entropy(logits, positive)
        return Output(loss, (z1.detach(), z2.detach()), accuracy=hits(logits, positive), chance=math.log(logits.shape[1] - 1))

    @torch.no_grad()
    def remember(self, *views: Tensor) -> None:
        """Queue the slow encoder's keys of both views."""
        for x in views:
            self.queue.push(distributed.gather(F.normalize(self.slow(x).float(), dim=1)))

    def after_step(self, when: When) -> None:
        """The slow encoder follows (SimCLRv2 Sec. 2, as MoCo)."""
        if self.cfg.memory:
            follow(self.slow, nn.Sequential(self.backbone, self.projector), self.cfg.memory_momentum)
