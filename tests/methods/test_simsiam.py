"""SimSiam against loops written from the equations, its closed forms, and where its gradients may flow."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from stopgrad.config import Run, SimSiamConfig, problems, set_value
from stopgrad.methods.simsiam import SimSiam, cosine, cross_entropy
from stopgrad.nets.backbones import build


def simsiam(run: Run, **changes: object) -> SimSiam:
    torch.manual_seed(0)
    return SimSiam(build(run.net, 1, 8), replace(run.method, **changes))  # type: ignore[arg-type]


def views(n: int = 6) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(1)
    return torch.randn(n, 1, 8, 8, generator=g), torch.randn(n, 1, 8, 8, generator=g)


def slow_cosine(p: Tensor, z: Tensor) -> float:
    total = 0.0
    for a, b in zip(p.double().tolist(), z.double().tolist(), strict=True):
        na, nb = sum(x * x for x in a) ** 0.5, sum(x * x for x in b) ** 0.5
        total -= sum(x * y for x, y in zip(a, b, strict=True)) / (na * nb)
    return total / len(p)


def slow_cross_entropy(p: Tensor, z: Tensor) -> float:
    import math

    total = 0.0
    for a, b in zip(p.double().tolist(), z.double().tolist(), strict=True):
        za, zb = sum(map(math.exp, a)), sum(map(math.exp, b))
        total -= sum(math.exp(y) / zb * math.log(math.exp(x) / za) for x, y in zip(a, b, strict=True))
    return total / len(p)


@pytest.mark.parametrize(("fast", "slow"), [(cosine, slow_cosine), (cross_entropy, slow_cross_entropy)])
def test_distances_are_their_equations(fast: object, slow: object) -> None:
    g = torch.Generator().manual_seed(0)
    p, z = torch.randn(5, 9, generator=g), torch.randn(5, 9, generator=g)
    assert float(fast(p, z)) == pytest.approx(slow(p, z), rel=1e-5)  # type: ignore[operator]


def test_closed_forms() -> None:
    p = torch.randn(4, 16, generator=torch.Generator().manual_seed(0))
    assert float(cosine(p, 3 * p)) == pytest.approx(-1, abs=1e-6)
    assert float(cosine(p, -p)) == pytest.approx(1, abs=1e-6)
    assert float(cross_entropy(torch.zeros(4, 16), p)) == pytest.approx(2.7725887, rel=1e-6)  # ln 16


@pytest.mark.parametrize("symmetrised", [True, False])
@pytest.mark.parametrize(("similarity", "slow"), [("cosine", slow_cosine), ("cross_entropy", slow_cross_entropy)])
def test_loss_is_equation_2(toy: Run, symmetrised: bool, similarity: str, slow: object) -> None:
    method = simsiam(toy, symmetrised=symmetrised, similarity=similarity).eval()  # eval: two calls give the same z
    x1, x2 = views()
    z1, z2 = method.f(x1), method.f(x2)
    p1, p2 = method.h(z1), method.h(z2)
    expected = slow(p1, z2) if not symmetrised else slow(p1, z2) / 2 + slow(p2, z1) / 2  # type: ignore[operator]
    assert float(method(x1, x2).loss.detach()) == pytest.approx(expected, rel=1e-5)


def test_two_pairs_are_the_mean_of_their_losses_and_see_other_views(toy: Run) -> None:
    method = simsiam(toy, symmetrised=False, pairs_of_views=2).eval()
    (x1, x2), (x3, x4) = views(), (torch.rand_like(views()[0]), torch.rand_like(views()[0]))
    expected = method(x1, x2).loss / 2 + method(x3, x4).loss / 2
    assert method(x1, x2, x3, x4).loss.item() == pytest.approx(expected.item(), rel=1e-6)
    run = set_value(toy, "method.pairs_of_views", "2")
    assert run.shown == toy.views * 2
    assert problems(set_value(toy, "method.pairs_of_views", "0")) == ["method.pairs_of_views: at least 1, not 0"]


def gradient(method: SimSiam, detach_by_hand: bool) -> Tensor:
    """The gradient of the first layer, with the targets detached by hand or by the method."""
    x1, x2 = views()
    if detach_by_hand:
        z1, z2 = method.f(x1), method.f(x2)
        loss = cosine(method.h(z1), z2.detach()) / 2 + cosine(method.h(z2), z1.detach()) / 2
    else:
        loss = method(x1, x2).loss
    first = next(method.backbone.parameters())
    (grad,) = torch.autograd.grad(loss, [first])
    return grad


def test_no_gradient_reaches_the_target(toy: Run) -> None:
    torch.testing.assert_close(gradient(simsiam(toy), False), gradient(simsiam(toy), True))


def test_without_stop_gradient_it_does(toy: Run) -> None:
    through, stopped = gradient(simsiam(toy, stop_gradient=False), False), gradient(simsiam(toy), True)
    assert not torch.allclose(through, stopped, rtol=1e-2)


def test_without_predictor_the_stop_gradient_halves_the_gradient(toy: Run) -> None:
    """Sec. 4.2: without h, the symmetric loss with stop-gradient has the direction of the one without, at half the size."""
    stopped = gradient(simsiam(toy, predictor="none"), False)
    through = gradient(simsiam(toy, predictor="none", stop_gradient=False), False)
    torch.testing.assert_close(2 * stopped, through, rtol=1e-4, atol=1e-6)


def test_the_predictor_is_fixed_none_or_a_group_of_its_own(toy: Run) -> None:
    names = [[n for n, _ in g.params] for g in simsiam(toy).param_groups()]
    assert all(n.startswith("h.") for n in names[1])
    assert names[1]
    assert not any(n.startswith("h.") for n in names[0])
    assert simsiam(toy).param_groups()[1].fixed_lr
    assert not simsiam(toy, predictor_fixed_lr=False).param_groups()[1].fixed_lr
    for predictor in ("fixed", "none"):
        assert simsiam(toy, predictor=predictor).param_groups()[1].params == ()


@pytest.mark.parametrize("hidden", [True, False])
@pytest.mark.parametrize("output", [True, False])
def test_bn_stands_where_it_is_asked(toy: Run, hidden: bool, output: bool) -> None:
    method = simsiam(toy, projector_bn=(hidden, output), predictor_bn=(hidden, output))
    count = lambda m: sum(isinstance(x, torch.nn.BatchNorm1d) for x in m.modules())  # noqa: E731
    assert count(method.projector) == (len(toy.method.projector) - 1) * hidden + output
    assert count(method.h) == hidden + output


def test_settings_of_the_paper_have_the_papers_shapes() -> None:
    from stopgrad.recipes import RECIPES

    run = RECIPES["simsiam/imagenet"]()
    assert isinstance(run.method, SimSiamConfig)
    small = replace(run.net, backbone="resnet18")  # the heads are what is looked at
    method = SimSiam(build(small, 3, 32), run.method)
    shapes = [tuple(m.weight.shape) for m in (*method.projector, *method.h.children()) if isinstance(m, torch.nn.Linear)]
    assert shapes == [(2048, 512), (2048, 2048), (2048, 2048), (512, 2048), (2048, 512)]
    biases = [m.bias is not None for m in (*method.projector, *method.h.children()) if isinstance(m, torch.nn.Linear)]
    assert biases == [False, False, False, False, True]
