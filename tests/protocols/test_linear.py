import math
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stopgrad.config.protocols import LINEAR, Linear
from stopgrad.errors import UserError
from stopgrad.images.pool import Pool
from stopgrad.protocols.features import Labelled, Pixels, Preparation, features
from stopgrad.protocols.linear import Classifier, fitted, loss_and_gradients, rate, train, update

CPU = torch.device("cpu")
SGD = Linear(name="test", optimiser="sgd", lr=4.0, batch=16, epochs=6)
LARS = Linear(name="test", optimiser="lars", lr=800.0, batch=16, epochs=25)


def trained(network: nn.Module, images: Labelled, prep: Preparation, settings: Linear, width: int = 8) -> tuple[Classifier, list[str]]:
    told: list[str] = []
    return train(network, width, images, 3, prep, settings, CPU, told.append), told


@pytest.mark.parametrize("settings", [SGD, replace(SGD, nesterov=True), replace(SGD, drops=(0.5,)), LARS], ids=["sgd", "nesterov", "drops", "lars"])
def test_separable_features_are_separated(settings: Linear, bright: tuple[Pool, Tensor], prep: Preparation) -> None:
    pixels, images = Pixels(1, 8, side=2), Labelled.resident(*bright)
    classifier, told = trained(pixels, images, prep, settings, 4)
    logits = classifier.logits(features(pixels, images, prep, CPU))
    assert (logits.argmax(1) == bright[1]).all()
    assert len(told) == settings.epochs
    assert told[-1].startswith(f"linear (test): epoch {settings.epochs}/{settings.epochs}, loss 0.")


def test_the_same_seed_gives_the_same_classifier(small: nn.Module, bright: tuple[Pool, Tensor], prep: Preparation) -> None:
    images = Labelled.resident(*bright)
    a, b, other = (trained(small, images, prep, s)[0] for s in (SGD, SGD, replace(SGD, seed=1)))
    assert torch.equal(a.weight, b.weight)
    assert torch.equal(a.bias, b.bias)
    assert not torch.equal(a.weight, other.weight)


def test_streamed_images_give_the_same_classifier(
    small: nn.Module, bright: tuple[Pool, Tensor], prep: Preparation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches that are taken in parts, each a pool of its own."""
    monkeypatch.setattr("stopgrad.protocols.linear.PART", 7)
    pool, labels = bright

    def fetch(order: Iterable[Tensor]) -> Iterable[tuple[Pool, Tensor]]:
        for rows in order:
            assert len(rows) <= 7
            yield Pool.from_arrays([pool.image(i).numpy() for i in rows.tolist()]), torch.arange(len(rows))

    resident, streamed = (trained(small, images, prep, SGD)[0] for images in (Labelled.resident(pool, labels), Labelled(fetch, labels)))
    torch.testing.assert_close(streamed.weight, resident.weight)


def test_the_backbone_is_left_alone(small: nn.Module, bright: tuple[Pool, Tensor], prep: Preparation) -> None:
    small.train()
    before = {k: v.clone() for k, v in small.state_dict().items()}
    trained(small, Labelled.resident(*bright), prep, SGD)
    assert small.training
    assert all(torch.equal(v, before[k]) for k, v in small.state_dict().items())


def test_every_epoch_sees_every_image_once_and_anew(bright: tuple[Pool, Tensor], prep: Preparation) -> None:
    pool, labels = bright
    seen: list[Tensor] = []
    asked: list[Tensor] = []

    class Watch(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(x.clone())
            return x.flatten(1)

    def fetch(order: Iterable[Tensor]) -> Iterable[tuple[Pool, Tensor]]:
        for rows in order:
            asked.append(rows)
            yield pool, rows

    trained(Watch(), Labelled(fetch, labels), prep, replace(SGD, epochs=2), 64)
    first, second = torch.cat(asked[:4]), torch.cat(asked[4:])
    assert [len(rows) for rows in asked] == [16, 16, 16, 12] * 2  # the last batch is what is left
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(60))
    assert first.tolist() != second.tolist()
    views = [torch.cat(seen[:4])[first.argsort()], torch.cat(seen[4:])[second.argsort()]]
    assert ((views[0] - views[1]).abs().amax(dim=(1, 2, 3)) > 0.01).all()


def test_sgd_is_torchs() -> None:
    g = torch.Generator().manual_seed(0)
    start, gradients = torch.randn(3, 4, generator=g), [torch.randn(3, 4, generator=g) for _ in range(5)]
    for nesterov in (False, True):
        settings = replace(SGD, weight_decay=0.01, nesterov=nesterov)
        mine, velocity = start.clone(), torch.zeros(3, 4)
        theirs = start.clone()
        optimiser = torch.optim.SGD([theirs.requires_grad_()], lr=0.3, momentum=0.9, weight_decay=0.01, nesterov=nesterov)
        for gradient in gradients:
            update(settings, 0.3, mine, gradient, velocity)
            theirs.grad = gradient.clone()
            optimiser.step()
        torch.testing.assert_close(mine, theirs.detach())


def test_lars_is_the_rule_in_loops() -> None:
    """apex LARC without clipping around SGD, written out in float64."""
    rng = np.random.default_rng(0)
    w, v = rng.normal(size=12), np.zeros(12)
    settings = replace(LARS, weight_decay=0.05)
    mine, velocity = torch.from_numpy(w.copy()).float(), torch.zeros(12)
    for lr in (2.0, 1.5, 0.1):
        g = rng.normal(size=12)
        update(settings, lr, mine, torch.from_numpy(g).float(), velocity)
        local = 0.001 * math.sqrt(sum(w**2)) / (math.sqrt(sum(g**2)) + 0.05 * math.sqrt(sum(w**2)))
        v = 0.9 * v + local * (g + 0.05 * w)
        w = w - lr * v
        np.testing.assert_allclose(mine.numpy(), w, rtol=1e-5)


def test_lars_leaves_the_gradient_of_a_bias_at_zero_as_it_is() -> None:
    settings = replace(LARS, weight_decay=0.05)
    bias, velocity = torch.zeros(2), torch.zeros(2)
    update(settings, 0.5, bias, torch.tensor([1.0, -3.0]), velocity)
    assert bias.tolist() == [-0.5, 1.5]
    update(settings, 0.5, still := torch.ones(2), torch.zeros(2), torch.zeros(2))
    assert still.tolist() == [1.0, 1.0]


def test_gradients_are_those_of_autograd() -> None:
    x, labels = torch.randn(20, 5), torch.arange(20) % 3
    weight, bias = torch.randn(3, 5, requires_grad=True), torch.randn(3, requires_grad=True)
    expected = F.cross_entropy(x @ weight.T + bias, labels)
    expected.backward()
    loss, gradients = loss_and_gradients(x, labels, weight.detach(), bias.detach())
    torch.testing.assert_close((loss, *gradients), (expected.detach(), weight.grad, bias.grad))


def test_rates() -> None:
    cosine, drops = replace(SGD, lr=0.1, batch=4096), replace(LINEAR["moco"])
    assert rate(cosine, 0) == pytest.approx(1.6)
    assert rate(cosine, 0.5) == pytest.approx(0.8)
    assert rate(cosine, 1) == pytest.approx(0, abs=1e-12)
    assert [rate(drops, p) for p in (0, 0.599, 0.6, 0.799, 0.8, 0.999)] == pytest.approx([30, 30, 3, 3, 0.3, 0.3])


@pytest.mark.parametrize(("name", "peak"), [("simsiam", 1.6), ("moco", 30.0), ("simclr", 1.6)])
def test_the_papers_rates_at_the_papers_batch(name: str, peak: float) -> None:
    assert LINEAR[name].name == name
    assert rate(LINEAR[name], 0) == pytest.approx(peak)


def test_the_batch_is_no_larger_than_the_images() -> None:
    assert fitted(LINEAR["simsiam"], 1000).batch == 1000
    assert fitted(LINEAR["simsiam"], 5000) == LINEAR["simsiam"]


def test_a_loss_that_is_not_finite_is_told(bright: tuple[Pool, Tensor], prep: Preparation) -> None:
    with pytest.raises(UserError, match="not finite within 6 epochs at lr 1e\\+38; take a lower lr"):
        trained(Pixels(1, 8), Labelled.resident(*bright), prep, replace(SGD, lr=1e38), 64)
