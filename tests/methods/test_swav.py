"""SwAV against Sinkhorn as published and loops written from its loss; its prototypes, its queue, and where its gradients may flow."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stopgrad.methods import When
from stopgrad.methods.swav import SwAV, sinkhorn
from stopgrad.nets.backbones import build
from tests.embeddings import START, apart, cos, gradient, views
from tests.toys import SWAV, toy_run


def swav(**changes: Any) -> SwAV:
    torch.manual_seed(0)
    return SwAV(build(toy_run().net, 1, 8), replace(SWAV, **changes))


def crops(n: int = 6, small: int = 2) -> list[Tensor]:
    return [*views(n), *views(n, count=small, size=4, seed=2)]


def published_sinkhorn(scores: Tensor, epsilon: float, iterations: int) -> Tensor:
    """The official code's, in plain numbers: Q (K, B), rows to 1/K and columns to 1/B in turn, at last columns to 1."""
    q = torch.exp(scores.double() / epsilon).T
    k, b = q.shape
    q = q / q.sum()
    for _ in range(iterations):
        q = q / q.sum(dim=1, keepdim=True) / k
        q = q / q.sum(dim=0, keepdim=True) / b
    return (q * b).T


def scores(images: int = 12, prototypes: int = 5, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.rand(images, prototypes, generator=torch.Generator().manual_seed(0), dtype=dtype) * 2 - 1


@pytest.mark.parametrize("iterations", [1, 3, 10])
@pytest.mark.parametrize("epsilon", [0.05, 0.5])
def test_sinkhorn_is_the_published_one(epsilon: float, iterations: int) -> None:
    torch.testing.assert_close(sinkhorn(scores(), epsilon, iterations), published_sinkhorn(scores(), epsilon, iterations), rtol=1e-9, atol=1e-12)


def test_codes_are_shares_and_prototypes_are_used_alike() -> None:
    few, many = sinkhorn(scores(), 0.05, 1), sinkhorn(scores(), 0.05, 500)
    for codes in (few, many):
        torch.testing.assert_close(codes.sum(dim=1), torch.ones(12, dtype=torch.float64))
    torch.testing.assert_close(many.sum(dim=0), torch.full((5,), 12 / 5, dtype=torch.float64), rtol=1e-3, atol=0)
    assert (few.sum(dim=0) - 12 / 5).abs().max() > 0.1


def test_sinkhorn_survives_an_epsilon_at_which_plain_fp32_overflows() -> None:
    codes = sinkhorn(scores(dtype=torch.float32), 0.005, 3)
    torch.testing.assert_close(codes.double(), published_sinkhorn(scores(dtype=torch.float32), 0.005, 3), rtol=1e-3, atol=1e-6)


def projections(method: SwAV, xs: list[Tensor]) -> list[Tensor]:
    """Views of one size pass the backbone together, all pass the head together: BN statistics as in the official code."""
    large, small = torch.cat(xs[:2]), xs[2:]
    features = [method.backbone(large)] + ([method.backbone(torch.cat(small))] if small else [])
    return list(method.projector(torch.cat(features)).chunk(len(xs)))


def swapped(method: SwAV, z: list[Tensor], detach: bool = True) -> Tensor:
    """The mean over large views i and other views v of −Σ_k q_k log softmax_k(zᵀc/τ), in float64 loops; codes q of i, prediction of v."""
    c = method.prototypes.weight
    losses = []
    for i in (0, 1):
        similarities = torch.stack([torch.stack([cos(row, prototype) for prototype in c]) for row in z[i]])
        codes = published_sinkhorn(similarities, method.cfg.epsilon, method.cfg.sinkhorn)
        codes = codes.detach() if detach else codes
        for v, predictor in enumerate(z):
            if v == i:
                continue
            for code, row in zip(codes, method.h(F.normalize(predictor, dim=1)), strict=True):
                weights = [torch.exp(cos(row, prototype) / method.cfg.temperature) for prototype in c]
                losses.append(-sum(q * torch.log(w / sum(weights)) for q, w in zip(code, weights, strict=True)))
    return torch.stack([torch.as_tensor(loss) for loss in losses]).mean()


@pytest.mark.parametrize("small", [0, 2])
@pytest.mark.parametrize("predictor", [None, 8])
def test_loss_is_the_swapped_prediction(small: int, predictor: int | None) -> None:
    method = swav(predictor_hidden=predictor).eval()  # eval: a predictor with BN gives the same whatever passes beside
    xs = crops(small=small)
    expected = swapped(method, projections(method, xs)).item()
    assert method(*xs).loss.item() == pytest.approx(expected, rel=1e-5)


def test_views_of_one_size_share_bn_statistics() -> None:
    method, xs = swav(), crops()
    expected = swapped(method, projections(method, xs)).item()
    assert method(*xs).loss.item() == pytest.approx(expected, rel=1e-5)


def test_equal_prototypes_give_their_logarithm() -> None:
    """The loss of a collapsed run, whatever the codes."""
    method = swav()
    with torch.no_grad():
        method.prototypes.weight.copy_(torch.ones(10, 8))
    output = method(*crops())
    assert output.loss.item() == pytest.approx(math.log(10), rel=1e-5)
    assert output.chance == pytest.approx(math.log(10))


@pytest.mark.parametrize("stop", [True, False])
def test_the_gradient_reaches_the_codes_unless_stopped(stop: bool) -> None:
    method, xs = swav(stop_gradient=stop, normalise_inside=True), crops()  # the cosines of the reference normalise inside
    stopped, through = (gradient(method, swapped(method, projections(method, xs), detach)) for detach in (True, False))
    assert apart(gradient(method, method(*xs).loss), stopped if stop else through) < 1e-3
    assert apart(through, stopped) > 0.05


def test_prototypes_stay_in_the_first_epochs() -> None:
    method = swav(freeze_epochs=2)
    for epoch, moves in ((0.0, False), (1.9, False), (2.0, True)):
        method.before_step(When(0, 10, epoch), lambda k: iter(()))
        method.zero_grad()
        method(*crops()).loss.backward()
        assert (method.prototypes.weight.grad is not None) == moves
    assert "prototypes.weight" in {n for group in swav(freeze_epochs=2).param_groups() for n, _ in group.params}


def test_prototypes_fixed_at_random_stay_for_ever() -> None:
    method = swav(freeze_epochs=None)
    before = method.unit_prototypes().clone()
    for epoch in (0.0, 400.0):
        method.before_step(When(0, 10, epoch), lambda k: iter(()))
        method(*crops()).loss.backward()
        assert method.prototypes.weight.grad is None
    torch.testing.assert_close(method.unit_prototypes(), before)
    assert replace(method.cfg, freeze_epochs=10.0).problems(2, 10) == [
        "method.freeze_epochs: below train.epochs (10), or no prototype ever learns; if that is meant, none"
    ]


@pytest.mark.parametrize("inside", [True, False])
def test_prototypes_are_normalised_before_every_step_or_inside_the_gradient(inside: bool) -> None:
    method = swav(normalise_inside=inside)
    with torch.no_grad():
        method.prototypes.weight.mul_(3)
    before = method.prototypes.weight.clone()
    method(*crops()).loss.backward()
    weight, grad = method.prototypes.weight.detach(), method.prototypes.weight.grad
    assert grad is not None
    torch.testing.assert_close(weight, before.detach() if inside else F.normalize(before.detach(), dim=1))
    along = (weight * grad).sum(dim=1).abs().max() / (weight.norm() * grad.norm())
    assert (along < 1e-6) == inside  # a loss that does not see the length has no gradient along it


def test_both_ways_of_normalising_have_one_loss() -> None:
    assert swav(normalise_inside=True)(*crops()).loss.item() == pytest.approx(swav()(*crops()).loss.item(), rel=1e-6)


def test_the_queue_is_used_only_once_it_is_full() -> None:
    """Twelve rows and six images a batch: the third batch is the first whose codes are balanced over earlier ones."""
    with_queue, without = swav(queue=12), swav()
    with_queue.before_step(START, lambda k: iter(()))
    for batch in range(3):
        xs = views(6, seed=batch)
        same = with_queue(*xs).loss.item() == pytest.approx(without(*xs).loss.item(), rel=1e-6)
        assert same == (batch < 2)


def test_codes_are_balanced_over_batch_and_queue() -> None:
    method = swav(queue=12)
    method.before_step(START, lambda k: iter(()))
    xs = [views(6, seed=batch) for batch in range(3)]
    z = [[F.normalize(v, dim=1) for v in projections(method, x)] for x in xs]
    for x in xs[:2]:
        method(*x)
    vectors = method.unit_prototypes()
    for view in (0, 1):
        rows = torch.cat([batch[view] for batch in z])  # earlier batches of the same view
        expected = published_sinkhorn(rows @ vectors.T, 0.05, 3)[12:]
        codes = method.codes(view, z[2][view], vectors)
        torch.testing.assert_close(codes.double(), expected, rtol=1e-3, atol=1e-5)


def test_the_queue_begins_to_fill_at_its_epoch() -> None:
    method = swav(queue=12, queue_from_epoch=3.0)
    for epoch, seen in ((2.9, 0), (3.0, 6)):
        method.before_step(When(0, 10, epoch), lambda k: iter(()))
        method(*views())
        assert [int(queue.seen) for queue in method.queues.children() if isinstance(queue.seen, Tensor)] == [seen, seen]


def test_the_projector_has_bn_on_its_hidden_layer_and_prototypes_no_bias() -> None:
    method = swav()
    assert [type(m) for m in method.projector] == [nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Linear]
    assert method.prototypes.bias is None
