import copy
import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stopgrad.config import Net, View
from stopgrad.config.tuning import DISTILL, FINETUNE, SEMI, Finetune, Tuning, problems
from stopgrad.errors import UserError
from stopgrad.images.pool import Pool
from stopgrad.loader import Order
from stopgrad.nets.backbones import Backbone, build
from stopgrad.nets.classifier import Classifier, classifier_on
from stopgrad.nets.heads import mlp
from stopgrad.optim import lr_at
from stopgrad.protocols.features import Preparation
from stopgrad.protocols.layerwise import groups, layers
from stopgrad.protocols.tune import Lesson, NotFinite, optim, refuse, steps_of, train
from stopgrad.views.render import render
from stopgrad.views.sample import sample, uniforms

CPU = torch.device("cpu")
SETTINGS = Finetune(name="toy", nesterov=True, lr=(0.2,), weight_decay=(0.01,), batch=20, epochs=(3,), warmup=0.25, head_lr=3.0, init="normal")


@pytest.fixture
def network(small: nn.Module) -> Classifier:
    return classifier_on(Backbone(small, 8, 1), 3, "normal", 0)


def lesson(images: tuple[Pool, Tensor], prep: Preparation) -> Lesson:
    pool, labels = images
    return Lesson(
        fetch=lambda order: ((pool, rows) for rows in order),
        images=len(labels),
        loss=lambda logits, views, numbers: F.cross_entropy(logits, labels[numbers]),
        prep=prep,
    )


def by_hand(network: Classifier, images: tuple[Pool, Tensor], prep: Preparation, s: Tuning) -> Classifier:
    """A loop in plain torch, SGD with Nesterov's momentum written out, on the same views."""
    pool, labels = images
    net, order, steps = copy.deepcopy(network).train(), Order(s.seed, len(labels), s.batch), steps_of(s, len(labels))
    view = View(size=prep.size, scale=s.scale, flip=s.flip, jitter=(0, 0, 0, 0), jitter_p=0, grey=0, blur=0)
    velocity = {name: torch.zeros_like(p) for name, p in net.named_parameters()}
    for step in range(steps):
        rows = order.of_step(step)
        params = sample(view, uniforms(s.seed, step, 0, s.batch), pool.heights[rows], pool.widths[rows])
        loss = F.cross_entropy(net(render(pool, rows, params, prep.mean, prep.std)), labels[rows])
        net.zero_grad()
        loss.backward()
        warm, peak = s.warmup * steps, s.lr[0] * s.batch / 256
        lr = peak * step / warm if step < warm else peak * (1 + math.cos(math.pi * (step - warm) / (steps - warm))) / 2
        with torch.no_grad():
            for name, p in net.named_parameters():
                assert p.grad is not None
                g = p.grad + (s.weight_decay[0] * p if p.ndim > 1 else 0)
                velocity[name] = s.momentum * velocity[name] + g
                p -= lr * (s.head_lr if name.startswith("fc.") else 1.0) * (g + s.momentum * velocity[name])
    return net


def test_it_is_the_loop_written_out_in_plain_torch(network: Classifier, bright: tuple[Pool, Tensor], prep: Preparation) -> None:
    expected, before = by_hand(network, bright, prep, SETTINGS), copy.deepcopy(network.state_dict())
    train(network, groups(network, 1.0, SETTINGS.head_lr, plain_fc=False), lesson(bright, prep), SETTINGS, None, lambda line: None)
    assert (network.fc.weight - before["fc.weight"]).abs().max() > 0.05
    for name, value in expected.state_dict().items():
        assert torch.allclose(network.state_dict()[name].float(), value.float(), atol=1e-6), name


def test_lars_adapts_neither_the_classifier_nor_bn(network: Classifier, bright: tuple[Pool, Tensor], prep: Preparation) -> None:
    """One step from rest: w ← w − lr · r · (g + λw), with r and λ for the convolution's weight alone."""
    s = Finetune(name="toy", optimiser="lars", lr=(0.3,), lr_rule="fixed", weight_decay=(0.1,), batch=60, steps=1, schedule="constant")
    before, gradients = copy.deepcopy(network), {}

    def noted(logits: Tensor, views: Tensor, numbers: Tensor) -> Tensor:
        loss = F.cross_entropy(logits, bright[1][numbers])
        names, parameters = zip(*network.named_parameters(), strict=True)
        gradients.update(zip(names, torch.autograd.grad(loss, parameters, retain_graph=True), strict=True))
        return loss

    train(network, groups(network, 1.0, 1.0, plain_fc=True), replace(lesson(bright, prep), loss=noted), s, None, lambda line: None)
    for (name, w), after in zip(before.named_parameters(), network.parameters(), strict=True):
        g, r = gradients[name], 1.0
        if name == "backbone.net.convolution.weight":
            g = g + 0.1 * w.detach()
            r = 0.001 * float(w.detach().norm() / g.norm())
        assert torch.allclose(after, w - 0.3 * r * g, atol=1e-7), name


def test_accumulated_parts_are_the_whole_batch(bright: tuple[Pool, Tensor], prep: Preparation) -> None:
    """Of a network without BN, whose statistics would be a part's."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        bare = Backbone(nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()), 4, 1)
    found = []
    for parts in (1, 3):
        one = classifier_on(copy.deepcopy(bare), 3, "normal", 0)
        train(one, groups(one, 1.0, 1.0, False), lesson(bright, prep), replace(SETTINGS, accumulate=parts), None, lambda line: None)
        found.append(torch.cat([p.detach().flatten() for p in one.parameters()]))
    assert torch.allclose(*found, atol=1e-6)


class Killed(Exception):
    """In the middle of a training."""


@pytest.mark.parametrize("at", [1, 4, 8])
def test_what_is_resumed_ends_bit_for_bit_the_same(
    at: int, network: Classifier, bright: tuple[Pool, Tensor], prep: Preparation, tmp_path: Path
) -> None:
    whole, broken = lesson(bright, prep), copy.deepcopy(network)

    def dying(order: Iterable[Tensor]) -> Iterator[tuple[Pool, Tensor]]:
        for step, rows in enumerate(order):
            if step == at:
                raise Killed
            yield bright[0], rows

    rates = groups(broken, 1.0, 3.0, False)
    with pytest.raises(Killed):
        train(broken, rates, replace(whole, fetch=dying), SETTINGS, tmp_path / "work", lambda line: None, checkpoint_seconds=0.0)
    resumed = copy.deepcopy(network)
    told: list[str] = []
    losses = [
        train(resumed, groups(resumed, 1.0, 3.0, False), whole, SETTINGS, tmp_path / "work", told.append),
        train(network, groups(network, 1.0, 3.0, False), whole, SETTINGS, None, lambda line: None),
    ]
    assert losses[0] == losses[1]
    assert len(told) == 9 - at  # only what was left
    for name, value in network.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_it_leaves_the_random_state_alone(network: Classifier, bright: tuple[Pool, Tensor], prep: Preparation) -> None:
    before = torch.get_rng_state()
    train(network, groups(network, 1.0, 1.0, False), lesson(bright, prep), SETTINGS, None, lambda line: None)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_loss_that_is_not_finite_names_the_rate(network: Classifier, bright: tuple[Pool, Tensor], prep: Preparation) -> None:
    wild = replace(SETTINGS, lr=(1e30,), warmup=0.0)
    with pytest.raises(NotFinite, match=r"toy: step \d of 9: the loss \(.*\) or a gradient is not finite at lr 1e\+30; take a lower one \(lr=2"):
        train(network, groups(network, 1.0, 1.0, False), lesson(bright, prep), wild, None, lambda line: None)


def test_steps_and_rates() -> None:
    assert steps_of(SETTINGS, 60) == 9
    assert steps_of(SETTINGS, 50) == 8  # what is left of the last batch is filled up
    assert steps_of(SETTINGS, 10) == 3  # a batch of all there are
    assert steps_of(replace(SETTINGS, epochs=(), steps=17), 50) == 17
    swav = optim(SEMI["swav-1"])
    assert [round(lr_at(swav, 256, step, 20, 20), 6) for step in (0, 11, 12, 15, 16, 19)] == [0.02, 0.02, 0.004, 0.004, 0.0008, 0.0008]
    assert lr_at(optim(SEMI["simclr-1"]), 4096, 0, 100, 100) == pytest.approx(0.8)
    assert lr_at(optim(SEMI["simclr-v2-1"]), 1024, 0, 100, 100) == pytest.approx(0.16)
    constant = optim(replace(SETTINGS, schedule="constant", warmup=0.0, lr_rule="fixed"))
    assert {lr_at(constant, 20, step, 9, 9) for step in range(9)} == {0.2}


def test_decay_over_the_rate() -> None:
    one = replace(FINETUNE["simclr"], lr=(0.01,), weight_decay=(1e-4,))
    assert optim(one).weight_decay == pytest.approx(0.01)
    assert optim(replace(one, decay_over_lr=False)).weight_decay == 1e-4


def test_layers_of_a_resnet_and_their_rates() -> None:
    with torch.random.fork_rng(devices=[]):
        resnet = build(Net(backbone="resnet10", stem="small", width=4, zero_init_residual=False), 1, 16)
    network = classifier_on(Backbone(nn.Sequential(resnet, mlp((32, 8, 8), True, True)), 8, 1), 3, "zero", 0)
    found = [sorted({name.split(".conv")[0].split(".bn")[0].split(".downsample")[0] for name, _ in layer}) for layer in layers(network)]
    blocks = [f"backbone.net.layer{i}.0" for i in (1, 2, 3, 4)]
    assert found[:5] == [["backbone.net"], *([block] for block in blocks)]
    assert {name for name, _ in layers(network)[5]} == {n for n, _ in network.named_parameters() if n.startswith("head.")}
    rates = groups(network, 0.5, 7.0, plain_fc=True)
    assert [group.scale for group in rates] == [0.5**6, 0.5**5, 0.5**4, 0.5**3, 0.5**2, 0.5, 7.0]
    assert [group.plain for group in rates] == [False] * 6 + [True]
    assert sorted(n for group in rates for n, _ in group.params) == sorted(n for n, _ in network.named_parameters())


def test_layers_without_numbers_have_one_rate(network: Classifier) -> None:
    assert [group.scale for group in groups(network, 1.0, 2.0, False)] == [1.0, 2.0]
    with pytest.raises(UserError, match="layer_decay: Small has no numbered layers whose rates could differ; take layer_decay=1"):
        groups(network, 0.9, 1.0, False)


@pytest.mark.parametrize("named", [SEMI, FINETUNE, DISTILL], ids=["semi", "finetune", "distill"])
def test_settings_by_name_are_right(named: dict[str, Tuning]) -> None:
    assert [problems(settings) for settings in named.values()] == [[]] * len(named)


def test_simclr_has_its_grid() -> None:
    s = FINETUNE["simclr"]
    assert s.lr == pytest.approx([10**x for x in (-1, -1.5, -2, -2.5, -3, -3.5, -4)], rel=2e-3)
    assert s.weight_decay == pytest.approx([0, *(10**x for x in (-6, -5.5, -5, -4.5, -4, -3.5, -3))], rel=2e-3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lr": ()}, "toy: lr: one above 0, or several, not none"),
        ({"lr": (0.1, -1.0)}, "toy: lr: one above 0, or several, not 0.1, -1"),
        ({"epochs": ()}, "toy: epochs, steps: exactly one of them says how long"),
        ({"steps": 3}, "toy: epochs, steps: exactly one of them says how long"),
        ({"schedule": "steps"}, "toy: drops: schedule=steps needs at least one"),
        ({"optimiser": "lars"}, "toy: nesterov: for SGD, LARS has none"),
        ({"accumulate": 11}, r"toy: accumulate: from 1 to half the batch \(20\), not 11"),
        ({"layer_decay": 0.0}, "toy: layer_decay: above 0 and at most 1, not 0"),
        ({"precision": "bf16"}, "toy: precision: bf16 is for GPUs, a CPU trains in fp32"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_settings_that_cannot_be_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        refuse(replace(SETTINGS, **change), 60, CPU)  # type: ignore[arg-type]


def test_too_few_images_are_refused() -> None:
    with pytest.raises(UserError, match="toy: BN needs at least 2 training images, there is 1"):
        refuse(SETTINGS, 1, CPU)
    with pytest.raises(UserError, match="toy: accumulate: 3 parts of 5 images have fewer than the 2 that BN needs"):
        refuse(replace(SETTINGS, accumulate=3), 5, CPU)
