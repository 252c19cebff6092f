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


def other_losses(method: SimCLR, s: list[list[float]], positive: list[int]) -> float:
    """Table 2's logistic and margin losses of similarities s, written as double loops in float64; nan stands for itself."""
    cfg, total = method.cfg, 0.0
    for row, right in zip(s, positive, strict=True):
        negatives = [v for k, v in enumerate(row) if k != right and not math.isnan(v)]
        if cfg.semi_hard:
            negatives = [v for v in negatives if row[right] - cfg.margin < v < row[right]]
        if cfg.loss == "margin":
            terms = [max(v - row[right] + cfg.margin, 0.0) for v in negatives]
        else:
            total += math.log1p(math.exp(-row[right] / cfg.temperature))
            terms = [math.log1p(math.exp(v / cfg.temperature)) for v in negatives]
        total += sum(terms) / len(terms) if terms else 0.0
    return total / len(s)


def by_hand(method: SimCLR, x1: Tensor, x2: Tensor, memory: Tensor) -> float:
    z = embeddings(method, x1, x2).detach()
    keys = torch.cat([z, memory])
    product = cos if method.cfg.normalise else lambda a, b: (a.double() * b.double()).sum()
    rows = [[math.nan if i == k else float(product(z[i], keys[k])) for k in range(len(keys))] for i in range(len(z))]
    return other_losses(method, rows, [(i + len(z) // 2) % len(z) for i in range(len(z))])


@pytest.mark.parametrize("loss", ["nt-logistic", "margin"])
@pytest.mark.parametrize("semi_hard", [False, True])
@pytest.mark.parametrize("memory", [0, 20])
def test_the_other_losses_are_those_of_table_2(loss: str, semi_hard: bool, memory: int) -> None:
    method = simclr(loss=loss, semi_hard=semi_hard, memory=memory, margin=0.3)
    x1, x2 = views(n=9)
    kept = method.queue.rows.clone() if memory else NO_MEMORY
    expected = by_hand(method, x1, x2, kept)
    assert expected > 0.05
    assert method(x1, x2).loss.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("loss", ["nt-logistic", "margin"])
def test_only_semi_hard_negatives_are_pushed(loss: str) -> None:
    """The positive lies at 0.5: of negatives at 0.9, 0.3 and −0.5 only that at 0.3 is farther than it by less than 0.4."""
    method = of_pixels(3, loss=loss, semi_hard=True, margin=0.4, temperature=0.5)
    s = torch.tensor([[-math.inf, 0.5, 0.9, 0.3, -0.5], [0.5, -math.inf, 0.9, 0.7, -0.5]], requires_grad=True)
    method.loss(s, torch.tensor([1, 0])).backward()
    assert s.grad is not None
    assert (s.grad[0, 2], s.grad[0, 4]) == (0, 0)
    assert s.grad[0, 3] > 0
    assert s.grad[1, 2:].tolist() == [0, 0, 0], "the second anchor has none"
    assert bool(s.grad[1, 0] < 0) is (loss == "nt-logistic"), "a triplet needs a negative"
    assert s.grad.isfinite().all()


@pytest.mark.parametrize(
    ("loss", "equal", "chance"),
    [
        ("nt-logistic", math.log1p(math.exp(-2)) + math.log1p(math.exp(2)), 2 * math.log(2)),
        ("margin", 0.4, 0.4),
    ],
)
def test_closed_forms_of_the_other_losses(loss: str, equal: float, chance: float) -> None:
    """Equal outputs, and outputs of which every pair is orthogonal: neither tells an image from another."""
    method = of_pixels(8, loss=loss)
    x = torch.ones(4, 1, 1, 8)
    output = method(x, x)
    assert output.loss.item() == pytest.approx(equal, rel=1e-6)
    assert output.chance == pytest.approx(chance)
    unit = torch.eye(8).reshape(8, 1, 1, 8)
    assert method(unit[:4], unit[4:]).loss.item() == pytest.approx(chance, rel=1e-6)


@pytest.mark.parametrize("loss", ["nt-xent", "nt-logistic", "margin"])
def test_outputs_that_tell_nothing_apart_do_not_have_less_than_the_loss_at_chance(loss: str) -> None:
    """Views of images that were drawn anew: on average the loss is above that at chance, whatever the outputs."""
    for spread in (0.1, 1.0, 5.0):
        method, losses = of_pixels(8, loss=loss, temperature=0.2), []
        for seed in range(50):
            g = torch.Generator().manual_seed(seed)
            x1, x2 = (1 + spread * torch.randn(16, 1, 1, 8, generator=g) for _ in range(2))
            losses.append(method(x1, x2))
        chance = losses[0].chance
        assert chance is not None
        assert sum(float(output.loss) for output in losses) / 50 > 0.999 * chance


def test_semi_hard_losses_say_nothing_of_chance() -> None:
    """Equal outputs have no semi-hard negatives, and no loss: a share of that would say that nothing is learned when all is."""
    method = of_pixels(8, loss="margin", semi_hard=True)
    x = torch.ones(4, 1, 1, 8)
    assert (float(method(x, x).loss), method(x, x).chance) == (0, None)
    assert of_pixels(8, loss="margin", margin=0.0)(x, x).chance is None


@pytest.mark.parametrize("loss", ["nt-xent", "nt-logistic"])
def test_without_normalisation_similarities_are_products(loss: str) -> None:
    method = simclr(loss=loss, normalise=False, temperature=10.0)
    x1, x2 = views()
    z = embeddings(method, x1, x2).detach().double()
    assert float(z.norm(dim=1).std()) > 0.05
    output = method(x1, x2)
    if loss == "nt-logistic":
        assert output.loss.item() == pytest.approx(by_hand(method, x1, x2, NO_MEMORY), rel=1e-5)
    else:
        logits = (z @ z.T / 10).fill_diagonal_(-math.inf)
        positive = torch.arange(12).roll(6)
        assert output.loss.item() == pytest.approx(F.cross_entropy(logits, positive).item(), rel=1e-5)
        assert output.accuracy is not None
        assert float(output.accuracy) == float((logits.argmax(dim=1) == positive).float().mean())


def test_keys_of_the_memory_keep_their_length_without_normalisation() -> None:
    method = simclr(memory=12, normalise=False)
    x1, x2 = views()
    method(x1, x2)
    torch.testing.assert_close(method.queue.rows, torch.cat([method.slow(x1), method.slow(x2)]))


def test_without_a_projector_the_loss_is_of_the_features() -> None:
    method = simclr(projector=())
    assert not list(method.projector.parameters())
    assert (method.cfg.width, method.cfg.centred) == (None, False)
    x1, x2 = views()
    z = torch.cat([method.backbone(x1), method.backbone(x2)])
    output = method(x1, x2)
    assert output.loss.item() == pytest.approx(nt_xent(z, z, 0.5, NO_MEMORY).item(), rel=1e-5)
    assert torch.equal(torch.cat(output.z), z)
    assert simclr(projector=(), predictor_hidden=8, memory=5)(x1, x2).loss.isfinite()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"semi_hard": True}, "method.semi_hard: for --set method.loss=nt-logistic and margin"),
        ({"semi_hard": True, "loss": "margin", "margin": 0.0}, "within a margin of 0 there are no negatives"),
        ({"margin": -0.1}, "method.margin: 0 or more, not -0.1"),
        ({"projector": (16, 0)}, "method.projector: none, or layers of a width of at least 1 each"),
    ],
)
def test_contradictions(change: dict[str, Any], said: str) -> None:
    (found,) = replace(SIMCLR, **change).problems(2, 10)
    assert said in found
