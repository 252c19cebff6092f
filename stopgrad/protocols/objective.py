"""What fine-tuning learns by and chooses by: where every image has one class, and where it may show several.

One class: the cross-entropy of a softmax. Several: a sigmoid a class, the mean of the classes' cross-entropies over the entries that count, those
that VOC calls difficult not among them. The papers do not say whether it is the mean or the sum over the classes; the mean is our choice, and
with it rates are 1/classes of what the sum would make of them. Images held out are told by the metric of the data set.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from stopgrad.config.transfer import Metric
from stopgrad.config.tuning import Finetune
from stopgrad.errors import UserError
from stopgrad.protocols.features import Labelled
from stopgrad.protocols.lbfgs import hold_out
from stopgrad.protocols.metrics import measure


def sigmoid_cross_entropy(logits: Tensor, presence: Tensor) -> Tensor:
    """Return the mean of log(1 + exp(−y · logit)) over the entries y of ``presence`` (N, classes) int8 that are 1 or -1; 0 where all are 0.

    ``logits`` (N, classes); the others have neither part in the mean nor a gradient.
    """
    losses = -F.logsigmoid(presence * logits) * presence.abs()
    return losses.sum() / presence.count_nonzero().clamp_min(1)


def loss_of(labels: Tensor, smoothing: float) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """Return the loss, as ``tune.Lesson`` has it, of images of ``labels``, as ``features.Labelled`` has them, on the device of the logits."""

    def one(logits: Tensor, views: Tensor, numbers: Tensor) -> Tensor:
        return F.cross_entropy(logits, labels[numbers.to(labels.device)], label_smoothing=smoothing)

    def several(logits: Tensor, views: Tensor, numbers: Tensor) -> Tensor:
        return sigmoid_cross_entropy(logits, labels[numbers.to(labels.device)])

    return one if labels.ndim == 1 else several


def counted_of(labels: Tensor) -> Callable[[Tensor], float]:
    """Return of how many terms that loss is the mean, by the numbers of the images: images, or entries that count."""
    if labels.ndim == 1:
        return len
    entries = labels.count_nonzero(1).cpu()
    return lambda numbers: int(entries[numbers].sum())


def refuse_smoothing(who: str, settings: Finetune) -> None:
    """Raise UserError, ``who`` in front, where labels of several classes an image were to be smoothed."""
    if settings.smoothing:
        raise UserError(f"{who}: smoothing: is for images of one class each, and these may show several; take smoothing=0")


def value_of(logits: Tensor, labels: Tensor, metric: Metric) -> float:
    """Return the ``metric``, 0..1, of ``logits`` (N, classes) on held-out images of ``labels``, both on the CPU.

    Classes that none of them shows are left out of a mean average precision.
    """
    if metric == "top1":
        return float((logits.argmax(1) == labels).float().mean())
    return measure(logits, labels, logits.shape[1], metric)


def refuse_unlearnable(who: str, images: Labelled, classes: int, settings: Finetune, cells: int) -> None:
    """Raise UserError, ``who`` in front, where nothing is to be learned from the labels, or the best of ``cells`` not to be told."""
    if images.several:
        _refuse_several(who, images.labels, settings, cells)
        return
    if classes < 2:
        raise UserError(f"{who}: needs at least 2 classes, these images have {classes}")
    counts = images.labels.bincount()
    if (there := int(counts.count_nonzero())) < 2:
        raise UserError(f"{who}: the {len(images)} training images are of {there} class; give images of at least 2")
    if cells > 1 and round(int(counts.max()) * settings.held_out) == 0:
        raise UserError(
            f"{who}: chooses among {cells} rates and decays, and a share of {settings.held_out:g} of {int(counts.max())} images a class is none to "
            "choose on; give more labels, or one value each (lr=0.05)"
        )


def doubts(labels: Tensor, classes: int, held: Tensor) -> list[str]:
    """Return what a reader should know of training images of ``labels``, of which rows ``held`` (n,) chose, a line each."""
    if labels.ndim == 1:
        missing = classes - int(labels.bincount().count_nonzero())
        return [f"{missing} of {classes} classes have no labelled image, and are never named"] if missing else []
    said, shown = [], labels == 1
    if missing := classes - int(shown.any(0).count_nonzero()):
        said.append(f"{missing} of {classes} classes are shown by no training image: nothing is learned of them, and they count in the mean")
    if len(held) and (unseen := int((shown.any(0) & ~shown[held].any(0)).count_nonzero())):
        said.append(f"{unseen} of {classes} classes are shown by no held-out image, and had no part in the choice")
    return said


def _refuse_several(who: str, presence: Tensor, settings: Finetune, cells: int) -> None:
    refuse_smoothing(who, settings)
    if not _told_apart(presence):
        raise UserError(f"{who}: the {len(presence)} training images show no class in some and not in others; give more labelled images")
    if cells == 1:
        return
    if round(len(presence) * settings.held_out) == 0:
        none = f"a share of {settings.held_out:g} of {len(presence)} images is none to choose on"
    else:
        order, spared = hold_out(presence, settings.held_out)
        if _told_apart(presence[order[:spared]], presence[order[spared:]]):
            return
        none = f"no class is in some and not in others both of the {spared} held out and of the rest"
    raise UserError(f"{who}: chooses among {cells} rates and decays, and {none}; give more labels, or one value each (lr=0.05)")


def _told_apart(*parts: Tensor) -> bool:
    """Return whether a class is shown by some images of each of ``parts`` (N, classes), and not shown by others."""
    both = torch.stack([(part == 1).any(0) & (part == -1).any(0) for part in parts])  # (parts, classes)
    return bool(both.all(0).any())
