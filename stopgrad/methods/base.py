"""What the training loop knows of a method: four members, nothing else."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Literal, NamedTuple, Self

from torch import Tensor, nn

from stopgrad.config import MethodConfig
from stopgrad.nets.backbones import Backbone
from stopgrad.optim import Group


class Output(NamedTuple):
    """What a method returns for its slice of a batch: the loss, and what the monitor looks at (detached)."""

    loss: Tensor
    """Scalar: the mean over the slice."""
    z: tuple[Tensor, ...] = ()
    """Projections, (N, d) a view; of the whole views only. Empty: the method has none to watch."""
    p: tuple[Tensor, ...] = ()
    """Predictions, (N, d) a view; empty where there is no predictor."""
    accuracy: Tensor | None = None
    """Share of the images whose right answer (positive, class) scores highest, 0 to 1."""
    chance: float | None = None
    """The least loss of outputs that tell no image from another (of a softmax: ln K, as when all are equal): one that stays there learns nothing."""


class Task(NamedTuple):
    """What a method may need to know of the images when it is made."""

    images: int
    batch: int
    classes: int | None = None
    """Number of classes; None without labels."""

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in one pass over the images."""
        return self.images // self.batch


class When(NamedTuple):
    """A place in the schedule."""

    step: int
    """From 0."""
    steps: int
    epoch: float
    """step / steps an epoch."""

    @property
    def progress(self) -> float:
        """Share of the schedule that is done, 0 to 1."""
        return self.step / self.steps


Views = list[Tensor]
Coming = Callable[[int], Iterator[Views]]
"""``coming(k)`` renders the views of the next k steps, this one first; fewer where the schedule ends."""


class Method(nn.Module, ABC):
    """A way to learn a backbone from views. ``backbone`` is what is handed over at the end."""

    settings: ClassVar[type[MethodConfig]]
    """The class of its settings, which carries its name."""
    takes: ClassVar[tuple[Literal["labels", "images"], ...]] = ()
    """What ``forward`` is given by name beside the views: labels (N,) int64, numbers of the images (N,) int64."""
    backbone: Backbone

    @classmethod
    def make(cls, backbone: Backbone, cfg: Any, task: Task) -> Self:
        """Return the method for a task. Raises UserError when the images do not suit it."""
        return cls(backbone, cfg)  # a method that knows nothing of the task takes two arguments

    @abstractmethod
    def forward(self, *views: Tensor) -> Output:
        """Return the loss of a slice of a batch; every view is (N, C, H, W)."""

    def param_groups(self) -> list[Group]:
        """Return the trainable parameters with their rule for the learning rate."""
        return [Group(tuple((n, p) for n, p in self.named_parameters() if p.requires_grad))]

    def before_step(self, when: When, coming: Coming) -> None:
        """Set what depends on the place in the schedule, and on images to come."""

    def after_step(self, when: When) -> None:
        """Update slow copies after the optimiser's step."""


def apart(method: nn.Module, prefix: str, fixed_lr: bool = False, scale: float = 1.0) -> list[Group]:
    """Return the trainable parameters in two groups: those under ``prefix``, which have a learning rate of their own, and the rest."""
    named = [(n, p) for n, p in method.named_parameters() if p.requires_grad]
    rest = tuple((n, p) for n, p in named if not n.startswith(prefix))
    return [Group(rest), Group(tuple((n, p) for n, p in named if n.startswith(prefix)), fixed_lr=fixed_lr, scale=scale)]
