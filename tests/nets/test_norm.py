"""BN over the whole batch and over parts of it, held to nn.BatchNorm; and that exchanging one for the other touches nothing else."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from stopgrad import distributed
from stopgrad.errors import UserError
from stopgrad.nets.norm import SplitBatchNorm, SyncBatchNorm, batch_norms, running_statistics, set_bn, unmoved_statistics
from tests.toys import toy_run

CPU = torch.device("cpu")
TRAIN = toy_run().train
SPLIT = replace(TRAIN, bn="split", bn_splits=3)
FLAT, SPATIAL = (12, 5), (12, 5, 4, 3)


def data(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    """Rows of very different scales, so that it matters which are normalised together."""
    g = torch.Generator().manual_seed(seed)
    rows = torch.arange(1, shape[0] + 1).view(-1, *[1] * (len(shape) - 1))
    return (torch.randn(shape, generator=g) * rows + rows).requires_grad_()


def oracle(shape: tuple[int, ...], affine: bool = True, momentum: float | None = 0.1) -> nn.BatchNorm1d | nn.BatchNorm2d:
    kind = nn.BatchNorm1d if len(shape) == 2 else nn.BatchNorm2d
    bn = kind(shape[1], affine=affine, momentum=momentum)
    if affine:
        g = torch.Generator().manual_seed(9)
        with torch.no_grad():
            bn.weight.copy_(torch.randn(shape[1], generator=g))
            bn.bias.copy_(torch.randn(shape[1], generator=g))
    return bn


def split(bn: nn.Module, parts: int = 3) -> nn.Module:
    net = nn.Sequential(bn)
    set_bn(net, replace(SPLIT, bn_splits=parts), CPU)
    return net[0]


def gradients(bn: nn.Module, x: Tensor, out: Tensor, weights: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad((out * weights).sum(), [x, *bn.parameters()]))


@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("shape", [FLAT, SPATIAL])
def test_split_is_a_batch_norm_for_every_part(shape: tuple[int, ...], affine: bool, momentum: float | None) -> None:
    ours, theirs = split(oracle(shape, affine, momentum)), [oracle(shape, affine, momentum) for _ in range(3)]
    for seed in range(2):
        x, weights = data(shape, seed), torch.randn(shape, generator=torch.Generator().manual_seed(3))
        out = ours(x)
        parts = [bn(x[4 * i : 4 * i + 4]) for i, bn in enumerate(theirs)]
        torch.testing.assert_close(out, torch.cat(parts))
        by_part = [gradients(bn, x, part, weights[4 * i : 4 * i + 4]) for i, (bn, part) in enumerate(zip(theirs, parts, strict=True))]
        for ours_, theirs_ in zip(gradients(ours, x, out, weights), zip(*by_part, strict=True), strict=True):
            torch.testing.assert_close(ours_, torch.stack(theirs_).sum(dim=0), rtol=1e-4, atol=1e-5)
        for name in ("running_mean", "running_var"):
            mean = torch.stack([getattr(bn, name) for bn in theirs]).mean(dim=0)
            torch.testing.assert_close(getattr(ours, name), mean)
    assert ours.num_batches_tracked == 2
    together = oracle(shape, affine, momentum)
    assert not torch.allclose(ours(x), together(x), atol=0.1)


@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("shape", [FLAT, SPATIAL])
def test_synchronised_is_batch_norm_where_there_is_one_process(shape: tuple[int, ...], affine: bool, momentum: float | None) -> None:
    theirs = oracle(shape, affine, momentum)
    ours = SyncBatchNorm(shape[1], affine=affine, momentum=momentum)
    ours.load_state_dict(theirs.state_dict())
    for seed in range(2):
        x, weights = data(shape, seed), torch.randn(shape, generator=torch.Generator().manual_seed(3))
        a, b = ours(x), theirs(x)
        torch.testing.assert_close(a, b, rtol=1e-6, atol=2e-6)
        for mine, other in zip(gradients(ours, x, a, weights), gradients(theirs, x, b, weights), strict=True):
            torch.testing.assert_close(mine, other, rtol=1e-5, atol=5e-6)
        for name, value in theirs.state_dict().items():
            torch.testing.assert_close(ours.state_dict()[name], value, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x), rtol=1e-6, atol=1e-6)


def test_synchronised_keeps_the_digits_of_a_large_mean() -> None:
    """The mean of squares less the square of the mean would leave none of the variance."""
    x = torch.randn(64, 2, generator=torch.Generator().manual_seed(0)) + 3000
    exact = (x.double() - x.double().mean(dim=0)) / x.double().var(dim=0, unbiased=False).add(1e-5).sqrt()
    torch.testing.assert_close(SyncBatchNorm(2, affine=False)(x).double(), exact, rtol=0, atol=1e-3)


def test_split_in_evaluation_uses_the_running_statistics() -> None:
    ours, theirs = split(oracle(FLAT)), oracle(FLAT)
    ours(data(FLAT))
    theirs.load_state_dict(ours.state_dict())
    x = data((11, 5), 1)  # as many as there are: parts are of training
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))


class Activated(nn.BatchNorm2d):
    """As timm's BatchNormAct2d: BN with its activation inside."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input).relu()


@pytest.mark.parametrize("kind", [Activated, nn.SyncBatchNorm])
def test_a_bn_of_its_own_kind_is_refused_and_not_made_plain(kind: type[nn.Module]) -> None:
    module = nn.Sequential(nn.Conv2d(1, 4, 3), kind(4))  # type: ignore[call-arg]
    with pytest.raises(UserError, match=f"BN layers of its own kind \\({kind.__name__}\\).* --bn local"):
        set_bn(module, SPLIT, CPU)


def test_parts_that_do_not_divide_the_batch_are_refused() -> None:
    with pytest.raises(AssertionError):
        split(oracle(FLAT), parts=5)(data(FLAT))


def net() -> nn.Sequential:
    torch.manual_seed(0)
    inner = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4, eps=1e-3, momentum=0.3), nn.ReLU())
    return nn.Sequential(inner, nn.Flatten(), nn.Linear(16, 5), nn.BatchNorm1d(5, affine=False))


def kinds(module: nn.Module) -> list[type[nn.Module]]:
    return [type(bn) for bn in batch_norms(module)]


@pytest.mark.parametrize(("bn", "processes", "kind"), [("split", 1, SplitBatchNorm), ("split", 3, SplitBatchNorm), ("sync", 2, SyncBatchNorm)])
def test_exchanged_bn_keeps_parameters_keys_and_settings(bn: str, processes: int, kind: type[nn.Module], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "size", lambda: processes)
    module = net()
    module[3].eval()
    keys, params, buffers = list(module.state_dict()), list(module.parameters()), list(module.buffers())
    set_bn(module, replace(SPLIT, bn=bn), CPU)  # type: ignore[arg-type]
    assert kinds(module) == [kind, kind]
    assert list(module.state_dict()) == keys
    assert all(a is b for a, b in zip(module.parameters(), params, strict=True))
    assert all(a is b for a, b in zip(module.buffers(), buffers, strict=True))
    first, last = batch_norms(module)
    assert (first.eps, first.momentum, first.training) == (1e-3, 0.3, True)
    assert (last.affine, last.training) == (False, False)
    if isinstance(first, SplitBatchNorm):
        assert first.parts == 3 // processes


@pytest.mark.parametrize("bn", ["sync", "local"])
def test_in_one_process_bn_is_torchs_own(bn: str) -> None:
    module = net()
    set_bn(module, replace(TRAIN, bn=bn), CPU)  # type: ignore[arg-type]
    assert kinds(module) == [nn.BatchNorm2d, nn.BatchNorm1d]


def test_processes_must_divide_the_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "size", lambda: 2)
    with pytest.raises(UserError, match=r"train.bn_splits: 2 processes do not divide 3 parts"):
        set_bn(net(), SPLIT, CPU)


def test_statistics_come_back() -> None:
    module, x = net(), data((6, 1, 4, 4)).detach()
    before = [b.clone() for b in module.buffers()]
    with unmoved_statistics(module):
        inside = module(x)
        assert running_statistics(module)[0].abs().max() > 0.01
    for b, was in zip(module.buffers(), before, strict=True):
        torch.testing.assert_close(b, was, rtol=0, atol=0)
    torch.testing.assert_close(inside, module(x), rtol=0, atol=0)  # by the batch, as in training
    assert len(running_statistics(module)) == 4
