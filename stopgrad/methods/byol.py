"""BYOL. Grill et al., Bootstrap Your Own Latent, arXiv:2006.07733. Section 3.

Online θ: f, g, q (backbone, projector, predictor); target ξ: f, g, following slowly. N images, d features.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stopgrad.config import BYOLConfig
from stopgrad.methods.base import Method, Output, When, apart
from stopgrad.methods.losses import all_views, cosine, places, similarities
from stopgrad.nets.backbones import Backbone
from stopgrad.nets.heads import mlp
from stopgrad.nets.slow import follow, slow_copy
from stopgrad.optim import Group


class BYOL(Method):
    """The online network predicts the target's projection of the other view."""

    settings = BYOLConfig

    def __init__(self, backbone: Backbone, cfg: BYOLConfig) -> None:
        super().__init__()
        d = cfg.projector[-1]
        self.cfg = cfg
        self.backbone = backbone
        self.projector = mlp((backbone.features, *cfg.projector), True, False)
        hidden = (cfg.predictor_layers - 1) * (cfg.predictor_hidden,) if cfg.predictor_hidden else ()
        self.q = mlp((d, *hidden, d), True, False) if cfg.predictor_hidden else nn.Identity()
        self.target = slow_copy(self.online) if cfg.momentum is not None else None
        self.sg: Callable[[Tensor], Tensor] = Tensor.detach if cfg.stop_gradient else nn.Identity()

    @property
    def online(self) -> nn.Sequential:
        """f and g of θ."""
        return nn.Sequential(self.backbone, self.projector)

    def forward(self, x1: Tensor, x2: Tensor) -> Output:  # type: ignore[override]  # two views, as in the paper
        """Return Eq. 2, the squared distance of unit vectors, plus the same with the views swapped: from 0 to 8, not averaged."""
        z1, z2 = self.online(x1), self.online(x2)  # (N, d)
        q1, q2 = self.q(z1), self.q(z2)
        t1, t2 = self.targets(x1, z1), self.targets(x2, z2)
        loss = (2 + 2 * cosine(q1, t2)) + (2 + 2 * cosine(q2, t1))
        if not self.cfg.beta:
            return Output(loss, (z1.detach(), z2.detach()), (q1.detach(), q2.detach()))
        pushed = self.negatives(torch.cat([q1, q2]), all_views(t1, t2))
        # No chance is told: 4 is a part of this loss whatever is learned, and its share of that at chance would say little.
        return Output(loss + 4 * self.cfg.beta * pushed, (z1.detach(), z2.detach()), (q1.detach(), q2.detach()))

    def negatives(self, q: Tensor, targets: Tensor) -> Tensor:
        """Return α ln Σ exp(s/α) over all views but itself, the mean over the anchors q (2n, d).

        The paper's link to contrastive methods: with weight β = 1 beside minus the similarity of the positive this is α times SimCLR's loss.
        """
        itself, _ = places(len(q) // 2, len(targets) // 2, q.device)
        s = similarities(F.normalize(q.float(), dim=1), targets) / self.cfg.temperature
        return self.cfg.temperature * s.scatter(1, itself[:, None], -math.inf).logsumexp(dim=1).mean()

    def targets(self, x: Tensor, z: Tensor) -> Tensor:
        """Return the target's projection of a view; without a momentum encoder, the online one (App. J of v3)."""
        if self.target is None:
            return self.sg(z)
        with torch.no_grad():
            projected: Tensor = self.target(x)
        return projected

    def param_groups(self) -> list[Group]:
        """The predictor's learning rate may be a multiple of the rest's (v3: 10 without the momentum encoder)."""
        return apart(self, "q.", scale=self.cfg.predictor_lr)

    def after_step(self, when: When) -> None:
        """ξ ← τξ + (1 − τ)θ, with τ = 1 − (1 − τ_base)(cos(πk/K) + 1)/2 (Sec. 3.2)."""
        if self.target is not None and self.cfg.momentum is not None:
            follow(self.target, self.online, 1 - (1 - self.cfg.momentum) * (math.cos(math.pi * when.progress) + 1) / 2)
