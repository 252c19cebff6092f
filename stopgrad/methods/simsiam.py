"""SimSiam. Chen & He, Exploring Simple Siamese Representation Learning, arXiv:2011.10566. Algorithm 1.

f = projector(backbone(x)), h = predictor, D = distance; N images, d features.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from stopgrad.config import SimSiamConfig
from stopgrad.methods.base import Method, Output, apart
from stopgrad.methods.losses import cosine, cross_entropy
from stopgrad.nets.backbones import Backbone
from stopgrad.nets.heads import mlp
from stopgrad.optim import Group

DISTANCES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"cosine": cosine, "cross_entropy": cross_entropy}


class SimSiam(Method):
    """Algorithm 1, with the parts that the paper's tables vary as values of ``cfg``."""

    settings = SimSiamConfig

    def __init__(self, backbone: Backbone, cfg: SimSiamConfig) -> None:
        super().__init__()
        d = cfg.projector[-1]
        self.cfg = cfg
        self.backbone = backbone
        self.projector = mlp((backbone.features, *cfg.projector), *cfg.projector_bn, output_affine=cfg.output_affine)
        self.h = nn.Identity() if cfg.predictor == "none" else mlp((d, cfg.predictor_hidden, d), *cfg.predictor_bn)
        self.h.requires_grad_(cfg.predictor == "trained")
        self.D = DISTANCES[cfg.similarity]
        self.sg: Callable[[Tensor], Tensor] = Tensor.detach if cfg.stop_gradient else nn.Identity()
        self.weights = (1 / 2, 1 / 2) if cfg.symmetrised else (1.0, 0.0)

    def f(self, x: Tensor) -> Tensor:
        """Return the projections of a view, (N, d)."""
        z: Tensor = self.projector(self.backbone(x))
        return z

    def forward(self, *views: Tensor) -> Output:
        """Return the loss of Eq. 2 for two views of N images, or its mean over several pairs of views (Sec. 4.6)."""
        pairs = [self.pair(x1, x2) for x1, x2 in zip(views[::2], views[1::2], strict=True)]
        return pairs[0] if len(pairs) == 1 else pairs[0]._replace(loss=torch.stack([pair.loss for pair in pairs]).mean())

    def pair(self, x1: Tensor, x2: Tensor) -> Output:
        """Return the loss of one pair of views."""
        z1, z2 = self.f(x1), self.f(x2)  # projections, (N, d)
        p1, p2 = self.h(z1), self.h(z2)  # predictions, (N, d)
        a, b = self.weights
        loss = a * self.D(p1, self.sg(z2)) + b * self.D(p2, self.sg(z1))
        return Output(loss, (z1.detach(), z2.detach()), (p1.detach(), p2.detach()))

    def param_groups(self) -> list[Group]:
        """The predictor stands apart: its rate may stay constant (Table 1c)."""
        return apart(self, "h.", fixed_lr=self.cfg.predictor_fixed_lr)
