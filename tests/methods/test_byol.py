"""BYOL against its squared distance, its rising momentum, and where its gradients may flow."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stopgrad.methods import When
from stopgrad.methods.byol import BYOL
from stopgrad.nets.backbones import build
from tests.embeddings import apart, cos, gradient, images, pixels, shares_no_storage, views
from tests.toys import BYOL as SETTINGS
from tests.toys import toy_run


def byol(**changes: Any) -> BYOL:
    """A method whose target differs from its online network, as it does after the first steps."""
    torch.manual_seed(0)
    method = BYOL(build(toy_run().net, 1, 8), replace(SETTINGS, **changes))
    with torch.no_grad():
        for p in [] if method.target is None else method.target.parameters():
            p.add_(0.1 * torch.randn(p.shape))
    return method


def distance(q: Tensor, z: Tensor) -> Tensor:
    """Eq. 2: the mean over images of ‖q̄ − z̄′‖² of unit vectors, in float64."""
    a, b = (v / v.norm(dim=1, keepdim=True) for v in (q.double(), z.double()))
    return torch.stack([((x - y) ** 2).sum() for x, y in zip(a, b, strict=True)]).mean()


def cosines(q: Tensor, z: Tensor) -> Tensor:
    return torch.stack([cos(a, b) for a, b in zip(q, z, strict=True)]).mean()


def test_loss_is_equation_2_both_ways() -> None:
    method = byol()
    x1, x2 = views()
    assert method.target is not None
    q1, q2, t1, t2 = method.q(method.online(x1)), method.q(method.online(x2)), method.target(x1), method.target(x2)
    loss = method(x1, x2).loss.item()
    assert loss == pytest.approx((distance(q1, t2) + distance(q2, t1)).item(), rel=1e-5)
    assert loss == pytest.approx((4 - 2 * cosines(q1, t2) - 2 * cosines(q2, t1)).item(), rel=1e-5)


def test_the_loss_goes_from_0_where_views_agree_to_8_where_they_oppose() -> None:
    method = byol(projector=(3,), predictor_hidden=None)
    method.backbone, method.projector = pixels(3), nn.Sequential()
    method.target = nn.Sequential(method.backbone)
    x = images([[1, 2, 3], [0, -1, 5]])
    assert method(x, 7 * x).loss.item() == pytest.approx(0, abs=1e-6)
    assert method(x, -x).loss.item() == pytest.approx(8, rel=1e-6)


@pytest.mark.parametrize(("step", "expected"), [(0, 0.96), (250, 0.96 + 0.04 * (1 - 2**-0.5) / 2), (500, 0.98), (999, 1.0)])
def test_the_momentum_rises_on_a_cosine(step: int, expected: float) -> None:
    """From a target of zeros and an online network of ones, the target becomes 1 − τ."""
    method = byol(momentum=0.96)
    assert method.target is not None
    with torch.no_grad():
        for p in method.target.parameters():
            p.zero_()
        for p in method.online.parameters():
            p.fill_(1)
    method.after_step(When(step, 1000, 0.0))
    for p in method.target.parameters():
        torch.testing.assert_close(p, torch.full_like(p, 1 - expected), rtol=1e-5, atol=2e-7)


def by_hand(method: BYOL, x1: Tensor, x2: Tensor, targets: nn.Module, detach: bool) -> Tensor:
    """The gradient when the targets are detached by hand, or not."""
    t1, t2 = targets(x1), targets(x2)
    t1, t2 = (t1.detach(), t2.detach()) if detach else (t1, t2)
    q1, q2 = method.q(method.online(x1)), method.q(method.online(x2))
    return gradient(method, 4 - 2 * cosines(q1, t2) - 2 * cosines(q2, t1))


def test_no_gradient_reaches_the_target() -> None:
    """Even one that could take it: here the target is the online network itself."""
    method = byol()
    method.target = method.online
    x1, x2 = views()
    stopped, through = (by_hand(method, x1, x2, method.online, detach) for detach in (True, False))
    assert apart(gradient(method, method(x1, x2).loss), stopped) < 1e-4
    assert apart(through, stopped) > 0.05


def test_the_target_is_a_copy_of_the_online_network_without_gradient() -> None:
    torch.manual_seed(0)
    method = BYOL(build(toy_run().net, 1, 8), SETTINGS)
    x, _ = views()
    assert method.target is not None
    torch.testing.assert_close(method.target(x), method.online(x), rtol=0, atol=0)
    assert not any(p.requires_grad for p in method.target.parameters())
    assert shares_no_storage(method.target, method.online)


@pytest.mark.parametrize("stop", [True, False])
def test_without_momentum_the_online_network_is_the_target(stop: bool) -> None:
    method = byol(momentum=None, stop_gradient=stop)
    x1, x2 = views()
    z1, z2 = method.online(x1), method.online(x2)
    like_simsiam = -cosines(method.q(z1), z2) - cosines(method.q(z2), z1)
    assert method(x1, x2).loss.item() == pytest.approx((4 + 2 * like_simsiam).item(), rel=1e-5)
    stopped, through = (by_hand(method, x1, x2, method.online, detach) for detach in (True, False))
    assert apart(gradient(method, method(x1, x2).loss), stopped if stop else through) < 1e-4
    assert apart(through, stopped) > 0.05
    method.after_step(When(0, 10, 0.0))  # there is nothing to follow
    assert not any(n.startswith("target.") for n, _ in method.named_parameters())


def test_the_predictor_has_a_rate_of_its_own() -> None:
    rest, predictor = byol(momentum=None, predictor_lr=10.0).param_groups()
    assert (rest.scale, predictor.scale) == (1, 10)
    assert not rest.fixed_lr
    assert not predictor.fixed_lr
    assert {n for n, _ in predictor.params} == {"q.0.weight", "q.1.weight", "q.1.bias", "q.3.weight", "q.3.bias"}
    assert not any(n.startswith("q.") for n, _ in rest.params)


def test_heads_have_bn_on_their_hidden_layers_only() -> None:
    method = byol()
    for head in (method.projector, method.q):
        assert [type(m) for m in head.children()] == [nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Linear]


def pushed_apart(anchors: Tensor, targets: Tensor, alpha: float) -> Tensor:
    """α ln Σ exp(s/α) of every view over all others, in float64; the mean."""
    n = len(anchors)
    sums = [sum(torch.exp(cos(anchors[i], targets[k]) / alpha) for k in range(n) if k != i) for i in range(n)]
    return alpha * torch.stack([torch.log(torch.as_tensor(total)) for total in sums]).mean()


@pytest.mark.parametrize("beta", [0.5, 1.0])
def test_beta_weighs_the_negatives(beta: float) -> None:
    method = byol(beta=beta, temperature=0.3)
    x1, x2 = views()
    assert method.target is not None
    q, t = [torch.cat([part(x) for x in (x1, x2)]) for part in (lambda x: method.q(method.online(x)), method.target)]
    plain = distance(q[:6], t[6:]) + distance(q[6:], t[:6])
    assert method(x1, x2).loss.item() == pytest.approx((plain + 4 * beta * pushed_apart(q, t, 0.3)).item(), rel=1e-5)


def test_with_negatives_and_without_predictor_and_target_it_is_simclr() -> None:
    """Up to a factor 4α and the constant 4: Eq. 1 of SimCLR."""
    method = byol(beta=1.0, temperature=0.3, predictor_hidden=None, momentum=None, stop_gradient=False)
    x1, x2 = views()
    z = torch.cat([method.online(x1), method.online(x2)])
    units = z / z.norm(dim=1, keepdim=True)
    logits = (units @ units.T / 0.3).fill_diagonal_(-math.inf)
    nt_xent = torch.nn.functional.cross_entropy(logits, torch.arange(12).roll(6))
    output = method(x1, x2)
    assert output.loss.item() == pytest.approx(4 + 4 * 0.3 * nt_xent.item(), rel=1e-5)
    assert apart(gradient(method, output.loss), gradient(method, 4 * 0.3 * nt_xent)) < 1e-4


def test_what_is_said_of_a_loss_with_negatives() -> None:
    plain, with_negatives = SETTINGS, replace(SETTINGS, beta=0.5)
    assert (plain.negatives, plain.one_part, plain.lowest_loss) == (False, False, 0)
    assert (with_negatives.negatives, with_negatives.one_part, with_negatives.lowest_loss) == (True, True, None)
    x1, x2 = views()
    assert {byol(beta=beta)(x1, x2).chance for beta in (0.0, 0.5, 1.0)} == {None}, "a part of it is constant, and would hide that it learns"


@pytest.mark.parametrize(("layers", "kinds"), [(1, "Linear"), (3, "Linear BatchNorm1d ReLU Linear BatchNorm1d ReLU Linear")])
def test_the_predictor_has_its_layers(layers: int, kinds: str) -> None:
    method = byol(predictor_layers=layers)
    assert [type(m).__name__ for m in method.q.children()] == kinds.split()
    assert replace(SETTINGS, predictor_layers=0).problems(2, 10) == ["method.predictor_layers: at least 1, not 0"]
