"""SGD against torch.optim.SGD, LARS against loops written from the rule, the schedule against its closed form."""

import math

import pytest
import torch
from torch import Tensor, nn

from stopgrad.config import Optim
from stopgrad.optim import Group, Optimizer, lr_at, peak_lr


def settings(**changes: object) -> Optim:
    values: dict[str, object] = {"kind": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 1e-2, "decay_bn_bias": True, "warmup_epochs": 0.0}
    return Optim(**(values | changes))  # type: ignore[arg-type]


def net(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(5, 7), nn.BatchNorm1d(7), nn.Linear(7, 3)).double()


def backward(model: nn.Module, step: int) -> None:
    x = torch.randn(6, 5, generator=torch.Generator().manual_seed(step), dtype=torch.float64)
    model.zero_grad()
    model(x).square().mean().backward()


def test_sgd_is_torch_sgd() -> None:
    ours, theirs = net(), net()
    optimizer = Optimizer([Group(tuple(ours.named_parameters()))], settings())
    oracle = torch.optim.SGD(theirs.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-2)
    for step in range(5):
        for group in oracle.param_groups:
            group["lr"] = 0.1 / (step + 1)
        backward(ours, step)
        backward(theirs, step)
        optimizer.step(0.1 / (step + 1), 0.1)
        oracle.step()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)


def test_lars_is_its_rule_written_as_loops() -> None:
    cfg = settings(kind="lars", decay_bn_bias=False, weight_decay=0.1)
    model = net()
    optimizer = Optimizer([Group(tuple(model.named_parameters()))], cfg)
    w = {n: p.detach().clone() for n, p in model.named_parameters()}
    v: dict[str, Tensor] = {n: torch.zeros_like(p) for n, p in w.items()}
    for step in range(4):
        backward(model, step)
        for name, p in model.named_parameters():
            assert p.grad is not None
            g, ratio = p.grad.clone(), 1.0
            if p.ndim > 1:
                g = g + 0.1 * w[name]
                ratio = 0.001 * float(w[name].norm()) / float(g.norm())
            v[name] = 0.9 * v[name] + 0.5 * ratio * g
            w[name] = w[name] - v[name]
        optimizer.step(0.5, 9.0)
    for name, p in model.named_parameters():
        torch.testing.assert_close(p.detach(), w[name], rtol=1e-10, atol=1e-12)


def test_lars_leaves_the_ratio_at_one_for_a_zero_weight() -> None:
    weight = nn.Parameter(torch.zeros(2, 2))
    optimizer = Optimizer([Group((("w", weight),))], settings(kind="lars", weight_decay=0.0))
    weight.grad = torch.ones(2, 2)
    optimizer.step(0.5, 0.5)
    torch.testing.assert_close(weight.detach(), torch.full((2, 2), -0.5))


def test_a_fixed_group_takes_the_peak_rate() -> None:
    a, b = nn.Parameter(torch.ones(1, 1)), nn.Parameter(torch.ones(1, 1))
    optimizer = Optimizer([Group((("a", a),)), Group((("b", b),), fixed_lr=True)], settings(weight_decay=0.0))
    a.grad, b.grad = torch.ones(1, 1), torch.ones(1, 1)
    optimizer.step(0.25, 0.5)
    assert (a.item(), b.item()) == (0.75, 0.5)


def test_gradient_norm_sees_every_element() -> None:
    model = net()
    optimizer = Optimizer([Group(tuple(model.named_parameters()))], settings())
    backward(model, 0)
    assert float(optimizer.gradient_norm()) == pytest.approx(
        math.sqrt(sum(float(p.grad.square().sum()) for p in model.parameters() if p.grad is not None))
    )
    grad = next(model.parameters()).grad
    assert grad is not None
    grad[0, 0] = math.nan
    assert not math.isfinite(float(optimizer.gradient_norm()))


def test_state_goes_back_by_name() -> None:
    model, other = net(), net(1)
    optimizer = Optimizer([Group(tuple(model.named_parameters()))], settings())
    backward(model, 0)
    optimizer.step(0.1, 0.1)
    restored = Optimizer([Group(tuple(other.named_parameters()))], settings())
    restored.load({k: v.clone() for k, v in optimizer.state().items()})
    for name, v in restored.state().items():
        torch.testing.assert_close(v, optimizer.state()[name], rtol=0, atol=0)


def test_the_schedule() -> None:
    cfg = settings(lr=0.05, warmup_epochs=2.0)
    assert peak_lr(cfg, 512) == pytest.approx(0.1)
    rates = [lr_at(cfg, 512, s, 100, 10) for s in range(100)]
    assert rates[0] == 0.0
    assert rates[10] == pytest.approx(0.05)
    assert rates[20] == pytest.approx(0.1)
    assert rates[60] == pytest.approx(0.05)
    assert rates[99] == pytest.approx(0.05 * (1 + math.cos(math.pi * 79 / 80)))
    assert lr_at(settings(lr=0.05), 512, 0, 100, 10) == pytest.approx(0.1)


def test_the_square_root_rule() -> None:
    """SimCLR App. B.1: 0.075·√4096 is what 0.3·4096/256 is."""
    assert peak_lr(settings(lr=0.075, lr_rule="sqrt"), 4096) == pytest.approx(4.8)
    assert peak_lr(settings(lr=0.3), 4096) == pytest.approx(4.8)
    assert peak_lr(settings(lr=0.075, lr_rule="sqrt"), 1024) == pytest.approx(2.4)


def test_the_warm_up_begins_at_a_share_of_the_peak_and_the_cosine_ends_at_one() -> None:
    """SwAV: from 0.3 to 4.8, then down to 0.0048."""
    cfg = settings(lr=0.3, warmup_epochs=2.0, warmup_from=0.0625, floor=0.001)
    rates = [lr_at(cfg, 4096, s, 100, 10) for s in range(101)]
    assert rates[0] == pytest.approx(0.3)
    assert rates[10] == pytest.approx((0.3 + 4.8) / 2)
    assert rates[20] == pytest.approx(4.8)
    assert rates[60] == pytest.approx((4.8 + 0.0048) / 2)
    assert rates[100] == pytest.approx(0.0048)
    assert rates[20:] == sorted(rates[20:], reverse=True)


def test_the_rate_drops_at_given_epochs() -> None:
    cfg = settings(lr=0.5, warmup_epochs=1.0, schedule="steps", drop=0.2, drop_epochs=(3.0, 4.5))
    rates = [lr_at(cfg, 512, s, 60, 10) for s in range(60)]
    assert rates[5] == pytest.approx(0.5)  # half-way through the warm-up
    assert rates[10:30] == [1.0] * 20
    assert rates[30:45] == pytest.approx([0.2] * 15)
    assert rates[45:] == pytest.approx([0.04] * 15)


def test_nesterov_is_torchs() -> None:
    ours, theirs, plain = net(), net(), net()
    optimizer = Optimizer([Group(tuple(ours.named_parameters()))], settings(nesterov=True))
    without = Optimizer([Group(tuple(plain.named_parameters()))], settings())
    oracle = torch.optim.SGD(theirs.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-2, nesterov=True)
    for step in range(5):
        for model in (ours, theirs, plain):
            backward(model, step)
        optimizer.step(0.1, 0.1)
        without.step(0.1, 0.1)
        oracle.step()
    for a, b, c in zip(ours.parameters(), theirs.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)
        assert not torch.allclose(a, c, rtol=1e-3)


@pytest.mark.parametrize("kind", ["sgd", "lars"])
def test_a_group_may_scale_its_rate(kind: str) -> None:
    """Ten times the rate is ten times the step, the fixed rate's as well."""
    ones = {name: nn.Parameter(torch.ones(2, 2, dtype=torch.float64)) for name in ("plain", "scaled", "fixed")}
    groups = [
        Group((("plain", ones["plain"]),)),
        Group((("scaled", ones["scaled"]),), scale=10.0),
        Group((("fixed", ones["fixed"]),), fixed_lr=True, scale=10.0),
    ]
    optimizer = Optimizer(groups, settings(kind=kind))
    for p in ones.values():
        p.grad = torch.full_like(p, 0.3)
    optimizer.step(0.01, 0.02)
    step = {name: 1 - p.detach() for name, p in ones.items()}
    torch.testing.assert_close(step["scaled"], 10 * step["plain"])
    torch.testing.assert_close(step["fixed"], 20 * step["plain"])
    assert step["plain"].min() > 0


@pytest.mark.parametrize("everything", [True, False])
def test_lars_adapts_bn_and_biases_only_with_decay_bn_bias(everything: bool) -> None:
    """Adapted, a first step has the length lr·trust·‖w‖ whatever the gradient; left alone, lr·g without decay."""
    model = net()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.5)  # no weight at 0, whose ratio would be 1
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    optimizer = Optimizer([Group(tuple(model.named_parameters()))], settings(kind="lars", decay_bn_bias=everything))
    backward(model, 0)
    optimizer.step(0.5, 0.5)
    for name, p in model.named_parameters():
        assert p.grad is not None
        moved = before[name] - p.detach()
        if everything or p.ndim > 1:
            assert float(moved.norm()) == pytest.approx(0.5 * 0.001 * float(before[name].norm()), rel=1e-9)
            decayed = p.grad + 1e-2 * before[name]
            torch.testing.assert_close(moved / moved.norm(), decayed / decayed.norm())
        else:
            torch.testing.assert_close(moved, 0.5 * p.grad)
