from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from stopgrad.config.protocols import LINEAR, Linear
from stopgrad.errors import UserError
from stopgrad.images.pool import Pool
from stopgrad.protocols.features import Labelled, Preparation, features
from stopgrad.protocols.judge import Subject, judge
from stopgrad.protocols.lbfgs import hold_out
from stopgrad.protocols.linear import fitted, train, train_each
from stopgrad.protocols.sweep import sweep

CPU = torch.device("cpu")
SGD = Linear(name="test", optimiser="sgd", nesterov=True, lr=1.0, sweep=(4.0, 1.0, 0.01), held_out=0.25, batch=16, epochs=3)


LOUD = 1e3


class Loud(nn.Module):
    """Features so large that a rate can be too high for fp32."""

    def __init__(self, inside: nn.Module) -> None:
        super().__init__()
        self.inside = inside

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.inside(x)
        return LOUD * found


def quiet(line: str) -> None:
    """Nobody listens."""


@pytest.mark.parametrize(
    "settings", [SGD, replace(SGD, optimiser="lars"), replace(SGD, drops=(0.5,), weight_decay=0.01)], ids=["sgd", "lars", "drops"]
)
def test_rates_trained_at_once_are_those_trained_alone(settings: Linear, small: nn.Module, bright: tuple[Pool, Tensor], prep: Preparation) -> None:
    """Bit for bit; a rate whose loss is no longer finite neither ends nor changes the others."""
    images, rates = Labelled.resident(*bright), (4e-6, 1e38, 3e-7, 1e-8)
    loud = Loud(small)
    together = train_each(loud, 8, images, 3, prep, settings, rates, CPU, quiet)
    for lr, found in zip(rates, together, strict=True):
        if lr == 1e38:
            assert found is None
            continue
        alone = train(loud, 8, images, 3, prep, replace(settings, lr=lr), CPU, quiet)
        assert found is not None
        assert torch.equal(found.weight, alone.weight)
        assert torch.equal(found.bias, alone.bias)
        assert found.loss == alone.loss


def test_the_rate_is_the_best_on_images_held_out(small: nn.Module, bright: tuple[Pool, Tensor], prep: Preparation) -> None:
    images = Labelled.resident(*bright)
    x = features(small, images, prep, CPU)
    found = sweep(small, x, images, 3, prep, SGD, "top1", CPU, quiet)
    order, spared = hold_out(bright[1], 0.25)
    assert found.held_out == spared == 15
    held, kept = order[:spared], order[spared:]
    for lr, value in found.tried:
        alone = train(small, 8, images.part(kept), 3, prep, fitted(replace(SGD, lr=lr), 45), CPU, quiet)
        assert value == pytest.approx(float((alone.logits(x[held]).argmax(1) == bright[1][held]).float().mean()))
    best = max(value for _, value in found.tried if value is not None)
    assert found.lr == min(lr for lr, value in found.tried if value == best)


def test_the_record_says_what_was_tried_and_on_what(small: nn.Module, bright: tuple[Pool, Tensor], prep: Preparation) -> None:
    """The chosen rate is trained on all training images, as if it had been asked for."""
    images = Labelled.resident(*bright)
    subject = Subject(featuriser=small, train=images, test=images, classes=3, prep=prep, device=CPU)
    judged = judge(SGD, subject)
    assert judged.settings["held_out_accuracy"].keys() == {"4", "1", "0.01"}
    assert judged.settings["tuned_on"] == "lr by top1 on 15 training images held out"
    assert judged.settings["steps"] == 3 * 4
    alone = judge(replace(SGD, sweep=(), lr=judged.settings["lr"]), subject)
    assert judged.score == alone.score


def test_an_edge_and_a_rate_that_diverges_are_told(small: nn.Module, bright: tuple[Pool, Tensor], prep: Preparation) -> None:
    images = Labelled.resident(*bright)
    subject = Subject(featuriser=Loud(small), train=images, test=images, classes=3, prep=prep, device=CPU)
    judged = judge(replace(SGD, sweep=(1e38, 1e-8, 4e-6), epochs=6), subject)
    assert judged.settings["held_out_accuracy"]["1e+38"] is None
    assert not any("edge" in note for note in judged.notes)
    assert any(
        "the best lr, 4e-06, is at the edge of those tried" in note for note in judge(replace(SGD, sweep=(1e-8, 4e-6), epochs=6), subject).notes
    )
    with pytest.raises(UserError, match="linear: the loss is not finite at any lr of the sweep"):
        judge(replace(SGD, sweep=(1e38, 3e37)), subject)


def test_too_few_images_to_choose_on(small: nn.Module, bright: tuple[Pool, Tensor], prep: Preparation) -> None:
    images = Labelled.resident(*bright).part(torch.arange(6))
    subject = Subject(featuriser=small, train=images, test=images, classes=3, prep=prep, device=CPU)
    with pytest.raises(UserError, match=r"linear: a share of 0.1 of 2 training images a class is none to choose the rate on"):
        judge(replace(SGD, held_out=0.1), subject)


def test_settings() -> None:
    byol = LINEAR["byol"]
    assert (byol.sweep, byol.batch, byol.epochs, byol.nesterov, byol.momentum) == ((0.4, 0.3, 0.2, 0.1, 0.05), 1024, 80, True, 0.9)
    for wrong in ({"sweep": (0.1, 0.0)}, {"held_out": 0.0}, {"held_out": 1.0}):
        with pytest.raises(UserError, match=r"linear: (rates are above 0|held_out is a share)"):
            replace(SGD, **wrong)  # type: ignore[arg-type]


def test_a_part_is_those_images(small: nn.Module, bright: tuple[Pool, Tensor], prep: Preparation) -> None:
    images, rows = Labelled.resident(*bright), torch.tensor([40, 3, 3, 17])
    part = images.part(rows)
    assert part.labels.tolist() == bright[1][rows].tolist()
    torch.testing.assert_close(features(small, part, prep, CPU), features(small, images, prep, CPU)[rows])
