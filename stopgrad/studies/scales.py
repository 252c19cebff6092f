"""At what size a study is done: which data it expects, how its runs are judged, and the bases that most studies share."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from stopgrad.images.place import BUNDLED
from stopgrad.studies.judging import Judging, frozen
from stopgrad.studies.study import Base, Bases, Scale, Study, always


@dataclass(frozen=True, kw_only=True)
class Size:
    """What all runs of a scale share."""

    about: str
    data: str | None
    """The images where none are named; None: they must be."""
    expected: str
    """What the images should be for the numbers to stand beside the paper's."""
    judged: tuple[Judging, ...]
    """How, where the study or its row does not say; the first figure is what findings are judged by."""
    changes: Mapping[str, str] = field(default_factory=dict)


SIZES: Mapping[Scale, Size] = {
    "paper": Size(
        about="the published setting: ImageNet, ResNet-50, days on several GPUs",
        data=None,
        expected="ImageNet",
        judged=frozen("linear", "knn", settings="simsiam"),
    ),
    "gpu": Size(
        about="CIFAR-10 and a ResNet-18: minutes a run on one GPU",
        data=None,
        expected="CIFAR-10 (the folder of its binary files)",
        judged=frozen("lbfgs", "knn"),
    ),
    "small": Size(
        about="the bundled images and a slim ResNet-10: about a minute a run on one core",
        data=BUNDLED,
        expected="the bundled images",
        judged=frozen("lbfgs", "knn"),
        changes={
            "train.threads": "1",  # how many would be fastest depends on what else runs, and decides the last digits
            "train.monitor_every": "2",  # five looks at kNN
        },
    ),
}

GPU_EPOCHS = {"train.epochs": "100"}
SMALL_EPOCHS = {"train.epochs": "10"}

SIMSIAM: Bases = {
    "paper": Base("simsiam/imagenet"),
    "gpu": Base("simsiam/cifar10", changes=GPU_EPOCHS),
    "small": Base("demo", changes=SMALL_EPOCHS),
}
"""SimSiam as its recipes have it."""


def of_method(method: str, paper: str, paper_changes: Mapping[str, str], small: Mapping[str, str] | None = None) -> Bases:
    """Return ``method`` on SimSiam's data, view and backbone at the smaller scales, by its own published recipe at the paper's."""
    return {
        "paper": Base(paper, changes=paper_changes),
        "gpu": Base("simsiam/cifar10", method, GPU_EPOCHS),
        "small": Base("demo", method, {**SMALL_EPOCHS, **(small or {})}),
    }


def with_values(bases: Bases, changes: Mapping[Scale, Mapping[str, str]]) -> Bases:
    """Return ``bases`` with further values, by scale."""
    return {scale: replace(base, changes={**base.changes, **changes.get(scale, {})}) for scale, base in bases.items()}


def judged_as(whose: str, *studies: Study) -> tuple[Study, ...]:
    """Return ``studies`` with a paper's own linear evaluation where they are at its scale."""
    return tuple(replace(study, judged={**study.judged, "paper": frozen("linear", "knn", settings=whose)}) for study in studies)


DECAYED = always(SIMSIAM, {"method.predictor_fixed_lr": "false"})
"""SimSiam as in its Fig. 2 and Table 1: every learning rate decays."""
CONSTANT = always(SIMSIAM, {"method.predictor_fixed_lr": "true"})
"""SimSiam as in its ablations after Sec. 4.2: the predictor's rate does not decay (Table 1c)."""
