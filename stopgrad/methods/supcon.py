"""SupCon. Khosla et al., Supervised Contrastive Learning, arXiv:2004.11362. N images, 2N views, d features."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from stopgrad import distributed
from stopgrad.config import SupConConfig
from stopgrad.errors import UserError
from stopgrad.methods.base import Method, Output, Task
from stopgrad.methods.losses import all_views, places, similarities
from stopgrad.nets.backbones import Backbone
from stopgrad.nets.heads import mlp


class SupCon(Method):
    """Views of one class are positives of each other, all other views negatives."""

    settings = SupConConfig
    takes = ("labels",)

    def __init__(self, backbone: Backbone, cfg: SupConConfig) -> None:
        super().__init__()
        self.cfg = cfg
        self.backbone = backbone
        self.projector = mlp((backbone.features, *cfg.projector), *cfg.projector_bn)

    @classmethod
    def make(cls, backbone: Backbone, cfg: SupConConfig, task: Task) -> "SupCon":
        """Raises UserError without labels."""
        if task.classes is None:
            raise UserError("supcon: needs labels, and these images have none; simclr is the same without labels")
        return cls(backbone, cfg)

    def forward(self, x1: Tensor, x2: Tensor, labels: Tensor) -> Output:  # type: ignore[override]  # two views, as in the paper
        """Return Eq. 2 (L_out) or Eq. 3 (L_in), averaged over the 2N views as anchors i."""
        r1, r2 = (F.normalize(self.backbone(x).float(), dim=1) for x in (x1, x2))  # both the encoder's and
        z1, z2 = self.projector(r1), self.projector(r2)  # the projector's output have norm 1 (Sec. 3.1)
        a, i = all_views(z1, z2), F.normalize(torch.cat([z1, z2]).float(), dim=1)  # all views; this process's anchors
        classes = distributed.gather(labels).repeat(2)
        itself = places(len(z1), len(a) // 2, a.device)[0][:, None]
        positives = (labels.repeat(2)[:, None] == classes).scatter(1, itself, False)  # P(i), never empty: the other view
        log_share = (similarities(i, a) / self.cfg.temperature).scatter(1, itself, -math.inf).log_softmax(dim=1)
        if self.cfg.form == "out":
            each = -log_share.masked_fill(~positives, 0).sum(dim=1) / positives.sum(dim=1)
        else:
            each = positives.sum(dim=1).log() - log_share.masked_fill(~positives, -math.inf).logsumexp(dim=1)
        scale = self.cfg.temperature / self.cfg.base_temperature
        return Output(scale * each.mean(), (z1.detach(), z2.detach()), chance=scale * math.log(len(a) - 1))
