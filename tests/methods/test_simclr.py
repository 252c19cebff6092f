"""SimCLR against a double loop written from Eq. 1, its closed forms, its memory, and where its gradients may flow."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stopgrad.methods import When
from stopgrad.methods.simclr import SimCLR
from stopgrad.nets.backbones import build
from stopgrad.optim import Optimizer
from tests.embeddings import START, apart, cos, gradient, images, pixels, views
from tests.toys import SIMCLR, toy_run


def simclr(**changes: Any) -> SimCLR:
    torch.manual_seed(0)
    return SimCLR(build(toy_run().net, 1, 8), replace(SIMCLR, **changes))


def of_pixels(d: int, **changes: Any) -> SimCLR:
    method = simclr(projector=(d,), **changes)
    method.backbone, method.projector = pixels(d), nn.Sequential()
    method.slow = nn.Sequential(method.backbone)
    return method


def nt_xent(anchors: Tensor, targets: Tensor, temperature: float, memory: Tensor) -> Tensor:
    """Eq. 1 for every view i and its other view j, in float64: −log of the share of exp(s_ij/τ) among all but i itself; then the mean."""
    total, n = torch.zeros((), dtype=torch.float64), len(anchors) // 2
    for i in range(2 * n):
        j = i + n if i < n else i - n
        others = [cos(anchors[i], targets[k]) for k in range(2 * n) if k != i] + [cos(anchors[i], key) for key in memory]
        total = total - torch.log(torch.exp(cos(anchors[i], targets[j]) / temperature) / sum(torch.exp(s / temperature) for s in others))
    return total / (2 * n)


def embeddings(method: SimCLR, x1: Tensor, x2: Tensor) -> Tensor:
    return torch.cat([method.projector(method.backbone(x)) for x in (x1, x2)])


def predictions(method: SimCLR, z: Tensor) -> Tensor:
    return torch.cat([method.h(part) for part in z.chunk(2)])


NO_MEMORY = torch.empty(0, 8)


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_loss_is_equation_1(temperature: float) -> None:
    method = simclr(temperature=temperature)
    x1, x2 = views()
    z = embeddings(method, x1, x2)
    assert method(x1, x2).loss.item() == pytest.approx(nt_xent(z, z, temperature, NO_MEMORY).item(), rel=1e-5)


def test_with_a_predictor_predictions_find_projections() -> None:
    method = simclr(predictor_hidden=8)
    x1, x2 = views()
    z = embeddings(method, x1, x2)
    assert method(x1, x2).loss.item() == pytest.approx(nt_xent(predictions(method, z), z, 0.5, NO_MEMORY).item(), rel=1e-5)


@pytest.mark.parametrize("memory", [0, 5])
def test_equal_embeddings_give_the_logarithm_of_the_candidates(memory: int) -> None:
    method = of_pixels(8, memory=memory)
    x = torch.ones(6, 1, 1, 8)
    if memory:
        method.queue.rows.copy_(F.normalize(torch.ones(memory, 8), dim=1))
    output = method(x, x)
    assert output.loss.item() == pytest.approx(math.log(2 * 6 - 1 + memory), rel=1e-6)
    assert output.chance == pytest.approx(math.log(2 * 6 - 1 + memory))


def test_keys_of_the_memory_are_negatives() -> None:
    method = simclr(memory=20)
    x1, x2 = views()
    z, rows = embeddings(method, x1, x2), method.queue.rows.clone()
    assert method(x1, x2).loss.item() == pytest.approx(nt_xent(z, z, 0.5, rows).item(), rel=1e-5)


def test_the_memory_takes_the_slow_keys_of_both_views() -> None:
    method = simclr(memory=20)
    with torch.no_grad():
        next(method.backbone.parameters()).mul_(-1)  # the fast encoder's keys would be others
    x1, x2 = views()
    expected = F.normalize(torch.cat([method.slow(x1), method.slow(x2)]), dim=1)
    kept = method.queue.rows[12:].clone()
    method(x1, x2)
    torch.testing.assert_close(method.queue.rows, torch.cat([expected, kept]))


def test_accuracy_counts_the_anchors_that_find_their_other_view() -> None:
    """Of e0, e1 and e0, v, only v does not: it is nearer to e0 than to e1."""
    method = of_pixels(3)
    output = method(images([[1, 0, 0], [0, 1, 0]]), images([[1, 0, 0], [0.8, 0.6, 0]]))
    assert output.accuracy is not None
    assert float(output.accuracy) == 3 / 4


@pytest.mark.parametrize("predictor", [8, None])
@pytest.mark.parametrize("stop", [True, False])
def test_the_gradient_reaches_the_targets_unless_stopped(predictor: int | None, stop: bool) -> None:
    method = simclr(predictor_hidden=predictor, stop_gradient=stop)
    x1, x2 = views()
    by_hand = []
    for detach in (True, False):
        z = embeddings(method, x1, x2)
        by_hand.append(gradient(method, nt_xent(predictions(method, z), z.detach() if detach else z, 0.5, NO_MEMORY)))
    stopped, through = by_hand
    assert apart(gradient(method, method(x1, x2).loss), stopped if stop else through) < 1e-4
    assert apart(through, stopped) > 0.05


def test_the_slow_encoder_follows() -> None:
    method = simclr(memory=6, memory_momentum=0.9)
    fast = nn.Sequential(method.backbone, method.projector)
    before = [p.clone() for p in method.slow.parameters()]
    with torch.no_grad():
        for p in fast.parameters():
            p.add_(torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel())))
    method.after_step(START)
    for slow, old, new in zip(method.slow.parameters(), before, fast.parameters(), strict=True):
        torch.testing.assert_close(slow, 0.9 * old + 0.1 * new)


def test_the_output_has_a_scale_and_no_offset() -> None:
    """The official code's last BN has none; ours keeps a bias that must stay 0 through training."""
    method = simclr()
    optimizer = Optimizer(method.param_groups(), toy_run().optim)
    for step in range(3):
        method.before_step(When(step, 3, 0.0), lambda k: iter(()))
        method(*views(seed=step)).loss.backward()
        optimizer.step(0.1, 0.1)
        optimizer.zero_grad()
    last = method.projector[-1]
    assert isinstance(last, nn.BatchNorm1d)
    assert not last.bias.any()
    assert not torch.allclose(last.weight, torch.ones(8), atol=1e-4)
    hidden = method.projector[1]
    assert isinstance(hidden, nn.BatchNorm1d)
    assert hidden.bias.any()
