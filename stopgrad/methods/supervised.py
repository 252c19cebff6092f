"""Supervised training with cross-entropy: the baseline that sees the labels. N images, d features."""

import math

import torch.nn.functional as F
from torch import Tensor, nn

from stopgrad.config import SupervisedConfig
from stopgrad.errors import UserError
from stopgrad.methods.base import Method, Output, Task
from stopgrad.methods.losses import hits
from stopgrad.nets.backbones import Backbone


class Supervised(Method):
    """A linear classifier on the backbone, both trained."""

    settings = SupervisedConfig
    takes = ("labels",)

    def __init__(self, backbone: Backbone, cfg: SupervisedConfig, classes: int) -> None:
        super().__init__()
        self.cfg = cfg
        self.classes = classes
        self.backbone = backbone
        self.fc = nn.Linear(backbone.features, classes)

    @classmethod
    def make(cls, backbone: Backbone, cfg: SupervisedConfig, task: Task) -> "Supervised":
        """Raises UserError without labels."""
        if task.classes is None:
            raise UserError("supervised: needs labels, and these images have none; put every class in a folder of its own, or give a list")
        if task.classes < 2:
            raise UserError(f"supervised: needs at least 2 classes, these images have {task.classes}")
        return cls(backbone, cfg, task.classes)

    def forward(self, x: Tensor, labels: Tensor) -> Output:  # type: ignore[override]  # one view
        """Return the cross-entropy of N images."""
        logits = self.fc(self.backbone(x)).float()  # (N, classes)
        loss = F.cross_entropy(logits, labels, label_smoothing=self.cfg.smoothing)
        return Output(loss, accuracy=hits(logits, labels), chance=math.log(self.classes))
