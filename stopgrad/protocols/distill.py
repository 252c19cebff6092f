"""Distillation: a student learns to say what a fine-tuned teacher says of images without labels.

SimCLRv2, arXiv:2006.10029, Sec. 2: L = − Σ_x Σ_y P_T(y|x; τ) log P_S(y|x; τ), where P(y|x; τ) is the softmax of the logits over τ. Teacher and
student see the same view; the teacher is in evaluation mode and gets no gradient.
"""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from stopgrad.config.tuning import Distill
from stopgrad.nets.classifier import Classifier
from stopgrad.protocols.features import Fetch, Preparation, frozen
from stopgrad.protocols.layerwise import groups
from stopgrad.protocols.tune import Lesson, train


def soft_cross_entropy(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Return the cross-entropy of the student's logits (N, classes) with the teacher's, both over ``temperature``: the mean over N, a scalar."""
    wanted = torch.softmax(teacher / temperature, dim=1)
    return -(wanted * torch.log_softmax(student / temperature, dim=1)).sum(dim=1).mean()


def distil(
    teacher: Classifier, student: Classifier, fetch: Fetch, images: int, prep: Preparation, settings: Distill, work: Path | None,
    tell: Callable[[str], object],
) -> float:  # fmt: skip
    """Train ``student`` in place on ``images`` images without labels, and return the mean loss of the last tenth of the steps.

    Both are on one device and give logits of the same classes. ``work`` as in ``tune.train``. Raises UserError as ``tune.train`` does.
    """
    assert student.fc.out_features == teacher.fc.out_features, "of the same classes"
    device = teacher.fc.weight.device

    def loss(logits: Tensor, views: Tensor, numbers: Tensor) -> Tensor:
        with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=settings.precision == "bf16"):
            said = teacher(views)
        return soft_cross_entropy(logits, said.float(), settings.temperature)

    rates = groups(student, 1.0, settings.head_lr, plain_fc=settings.optimiser == "lars")
    with frozen(teacher):
        lesson = Lesson(fetch=fetch, images=images, loss=loss, prep=prep)
        return train(student, rates, lesson, settings, work, lambda line: tell(f"distill ({settings.name}): {line}"))
