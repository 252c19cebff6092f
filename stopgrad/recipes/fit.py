"""What a method's module is told of one's own images, and what it answers: the parts of a run that are the method's."""

from dataclasses import dataclass
from typing import Literal

from stopgrad.config import MethodConfig, Optim, View


@dataclass(frozen=True, kw_only=True)
class Known:
    """What is chosen already, whatever the method."""

    images: int
    view: View
    """SimSiam's view at the chosen size; without blur where it is small. Colour is taken off afterwards where there is none."""
    batch: int
    epochs: int

    @property
    def small(self) -> bool:
        """Whether the views are as small as CIFAR's: its settings apply."""
        return self.view.size <= 40

    @property
    def many(self) -> bool:
        """Whether the images are of the size and number of ImageNet, or of a tenth of it: its settings apply."""
        return not self.small and self.images >= 100_000

    @property
    def steps(self) -> int:
        """Steps an epoch."""
        return max(self.images // self.batch, 1)


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A method fitted to one's own images."""

    method: MethodConfig
    views: tuple[View, ...]
    optim: Optim
    about_batch: str
    """What is published of the method at batches of this size."""
    reasons: dict[str, str]
    """Field of the run (and, after commas, others that the line speaks of) to what was chosen for it and why: set otherwise, it is not said."""
    bn: Literal["sync", "local", "split"] = "sync"
    bn_splits: int = 8


def sgd(known: Known) -> Optim:
    """Return SGD as lightly's benchmarks train SimCLR and BYOL at batches of 128 to 512."""
    return Optim(
        kind="sgd",
        lr=0.12 if known.small else 0.06,  # for 256 images: 0.06 for 128 on CIFAR-10, 0.06 for 256 on Imagenette
        momentum=0.9,
        weight_decay=5e-4,
        decay_bn_bias=True,  # all parameters, as they say nothing else
        warmup_epochs=0,
    )


SGD_REASON = "SGD as in lightly's benchmarks on CIFAR-10 and Imagenette: LARS is for the papers' batches of 4096"
