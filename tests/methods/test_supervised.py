"""The supervised baseline: cross-entropy with label smoothing, written as its formula."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from stopgrad.config import SupervisedConfig
from stopgrad.errors import UserError
from stopgrad.methods import Task, initialise
from stopgrad.methods.supervised import Supervised
from tests.embeddings import views
from tests.toys import toy_run

RUN = toy_run("supervised")
LABELS = torch.tensor([0, 2, 1, 2, 2, 0])


def supervised(smoothing: float) -> Supervised:
    method = initialise(replace(RUN, method=SupervisedConfig(smoothing=smoothing)), Task(images=60, batch=12, classes=3))
    assert isinstance(method, Supervised)
    return method


def smoothed(logits: Tensor, smoothing: float) -> float:
    """−Σ_k y_k log softmax_k, the true class with 1 − ε + ε/K and every other with ε/K."""
    total = 0.0
    for row, label in zip(logits.double().tolist(), LABELS.tolist(), strict=True):
        whole = sum(math.exp(x) for x in row)
        for k, x in enumerate(row):
            total -= ((1 - smoothing) * (k == label) + smoothing / 3) * math.log(math.exp(x) / whole)
    return total / len(LABELS)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_loss_is_the_smoothed_cross_entropy(smoothing: float) -> None:
    method, (x,) = supervised(smoothing), views(count=1)
    expected = smoothed(method.fc(method.backbone(x)), smoothing)
    assert method(x, labels=LABELS).loss.item() == pytest.approx(expected, rel=1e-5)


def test_accuracy_is_the_share_of_right_classes_and_chance_that_of_equal_logits() -> None:
    method, (x,) = supervised(0.1), views(count=1)
    with torch.no_grad():
        method.fc.weight.zero_()
        method.fc.bias.copy_(torch.tensor([0.0, 0.0, 1.0]))  # always the last class, which three of six have
    output = method(x, labels=LABELS)
    assert output.accuracy is not None
    assert float(output.accuracy) == 3 / 6
    with torch.no_grad():
        method.fc.bias.zero_()
    assert method(x, labels=LABELS).loss.item() == pytest.approx(output.chance, rel=1e-6)


def test_the_backbone_learns_too() -> None:
    method, (x,) = supervised(0.1), views(count=1)
    method(x, labels=LABELS).loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in method.parameters())
    assert any(p.grad is not None and p.grad.any() for p in method.backbone.parameters())


def test_it_needs_labels() -> None:
    with pytest.raises(UserError, match="supervised: needs labels"):
        initialise(RUN, Task(images=60, batch=12))
