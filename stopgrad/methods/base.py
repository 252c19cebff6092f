"""What the training loop knows of a method: four members, nothing else."""

from abc import ABC, abstractmethod
from typing import NamedTuple

from torch import Tensor, nn

from stopgrad.optim import Group


class Output(NamedTuple):
    """What a method returns for a batch: the loss, and what the monitor looks at (detached)."""

    loss: Tensor
    """Scalar."""
    z: tuple[Tensor, ...]
    """Projections, (N, d) a view."""
    p: tuple[Tensor, ...] = ()
    """Predictions, (N, d) a view; empty where there is no predictor."""


class Method(nn.Module, ABC):
    """A way to learn a backbone from views. ``backbone`` is what is handed over at the end."""

    backbone: nn.Module

    @abstractmethod
    def forward(self, *views: Tensor) -> Output:
        """Return the loss of a batch; every view is (N, C, H, W)."""

    def param_groups(self) -> list[Group]:
        """Return the trainable parameters with their rule for the learning rate."""
        return [Group(tuple((n, p) for n, p in self.named_parameters() if p.requires_grad))]

    def after_backward(self, step: int) -> None:
        """Change gradients before the optimiser's step."""

    def after_step(self, progress: float) -> None:
        """Update slow copies after the optimiser's step; ``progress`` runs from 0 to 1."""
