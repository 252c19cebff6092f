"""Published accuracies on CIFAR-10 with ResNet-18 (CIFAR stem), for the tables of ``stopgrad compare``. Per cent, each with its source.

They are comparable with ours only where batch, epochs and protocol are the same; even then stems, views and heads differ a little
(each source's own), and lightly's are the best over all epochs.
"""

from dataclasses import dataclass

from stopgrad.config import Run

LIGHTLY = "lightly benchmarks: kNN, k 200, T 0.1, best epoch"
PAPER = "SimSiam paper, Fig. D.1: linear"
DEMO = "MoCo's CIFAR notebook: kNN, k 200, T 0.1"


@dataclass(frozen=True)
class Published:
    """One number."""

    method: str
    epochs: int
    batch: int
    protocol: str
    """knn or linear."""
    top1: float
    source: str
    symmetric: bool | None = None
    """MoCo only: whether its loss was symmetric; None: not said, or another method."""


def _lightly(epochs: int, batch: int, **accuracies: float) -> list[Published]:
    return [Published(method, epochs, batch, "knn", top1, LIGHTLY) for method, top1 in accuracies.items()]


CIFAR10 = (
    *_lightly(200, 128, simsiam=81.9, simclr=84.7, moco=83.8, byol=86.9, swav=81.2),
    *_lightly(200, 512, simsiam=76.4, simclr=84.8, moco=84.7, byol=86.8, swav=84.2),
    *_lightly(800, 512, simsiam=90.4, simclr=87.9, moco=89.9, byol=91.0, swav=88.4),
    Published("simsiam", 800, 512, "linear", 91.8, PAPER),
    Published("simclr", 800, 512, "linear", 91.1, PAPER),
    *(Published("moco", e, 512, "knn", top1, DEMO, symmetric=False) for e, top1 in ((200, 82.6), (400, 86.3), (800, 88.7))),
    *(Published("moco", e, 512, "knn", top1, DEMO, symmetric=True) for e, top1 in ((200, 85.3), (400, 88.5), (800, 89.7))),
)

CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def published(classes: tuple[str, ...], images: int, run: Run) -> list[Published]:
    """Return what was published at this setting: data (by its classes and number of images), backbone, method, epochs and batch."""
    if (classes, images, run.net.backbone, run.net.stem, run.net.width) != (CIFAR10_CLASSES, 50_000, "resnet18", "cifar", 64):
        return []
    wanted = (run.method.name, run.train.epochs, run.train.batch)
    symmetric = (None, getattr(run.method, "symmetric", None))
    return [p for p in CIFAR10 if (p.method, p.epochs, p.batch) == wanted and p.symmetric in symmetric]
