"""Recipes are complete, say where they come from, hold the published values, and train."""

import inspect
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from stopgrad.config import METHODS, Run, from_json, problems, set_value, to_json
from stopgrad.images.pool import Pool
from stopgrad.loader import Resident
from stopgrad.methods import Task, initialise
from stopgrad.monitor import Listeners
from stopgrad.optim import lr_at, peak_lr
from stopgrad.recipes import IMAGES, RECIPES, method_of, summary
from stopgrad.recipes.images import Machine, images
from stopgrad.runs import RunDirectory
from stopgrad.train import pretrain
from tests.recipes.test_images import PHOTOS

BATCH = 8


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_survive_json_and_have_no_contradiction(name: str) -> None:
    run = RECIPES[name]()
    assert from_json(json.loads(json.dumps(to_json(run)))) == run
    assert problems(run) == []
    assert run.recipe == name
    assert name == "demo" or run.method.name == name.split("/")[0]


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_say_what_they_are(name: str) -> None:
    assert summary(name).endswith(".")
    assert f"--recipe {name} --out RUN``" in inspect.getdoc(RECIPES[name]).replace("\n", " ")  # type: ignore[union-attr]


def test_every_method_has_recipes() -> None:
    for method in METHODS:
        assert {f"{method}/imagenet", f"{method}/cifar10"} <= RECIPES.keys()
    assert [method_of(name) for name in IMAGES] == list(METHODS)
    assert all("fitted to your own images" in summary(name) for name in IMAGES)


@pytest.mark.parametrize(
    ("name", "rate"),
    [
        ("simsiam/imagenet", 0.1),
        ("simsiam/cifar10", 0.06),
        ("simclr/imagenet", 4.8),
        ("simclr/imagenet-v2", 6.4),
        ("simclr/cifar10", 2.0),
        ("moco/imagenet", 0.03),
        ("moco/cifar10", 0.06),
        ("byol/imagenet", 3.2),
        ("byol/imagenet-100", 7.2),
        ("byol/imagenet-300", 4.8),
        ("byol/cifar10", 0.06),
        ("swav/imagenet", 4.8),
        ("swav/imagenet-256", 0.6),
        ("supcon/cifar10", 0.5),
        ("supervised/imagenet", 0.1),
        ("supervised/cifar10", 0.8),
    ],
)
def test_the_rate_at_the_published_batch(name: str, rate: float) -> None:
    run = RECIPES[name]()
    assert peak_lr(run.optim, run.train.batch) == pytest.approx(rate)


def test_simclrs_two_rules_agree_at_4096() -> None:
    run = set_value(set_value(RECIPES["simclr/imagenet"](), "optim.lr_rule", "sqrt"), "optim.lr", "0.075")
    assert peak_lr(run.optim, 4096) == pytest.approx(4.8)
    assert peak_lr(run.optim, 256) == pytest.approx(1.2)


def rates(name: str, *epochs: float) -> list[float]:
    """Return the learning rate at ``epochs`` of a recipe, of 100 steps each."""
    run = RECIPES[name]()
    return [lr_at(run.optim, run.train.batch, round(epoch * 100), run.train.epochs * 100, 100) for epoch in epochs]


def test_published_schedules() -> None:
    assert rates("swav/imagenet", 0, 10, 800) == pytest.approx([0.3, 4.8, 0.0048])
    assert rates("swav/imagenet-256", 0, 400) == pytest.approx([0.6, 0.0006])
    assert rates("moco/imagenet-v1", 0, 119.99, 120, 160, 199) == pytest.approx([0.03, 0.03, 0.003, 0.0003, 0.0003])
    assert rates("moco/imagenet", 0, 100, 200) == pytest.approx([0.03, 0.015, 0], abs=1e-12)
    assert rates("simclr/imagenet-v2", 0, 20, 40) == pytest.approx([0, 3.2, 6.4])
    assert rates("supcon/cifar10", 0, 10, 1000) == pytest.approx([0.01, 0.5, 0.0005])
    assert rates("supervised/imagenet", 29, 30, 60, 90, 100) == pytest.approx([0.1, 0.01, 1e-3, 1e-4, 1e-5])


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("simclr/imagenet", {"projector": (2048, 128), "temperature": 0.1, "memory": 0}),
        ("simclr/imagenet-v2", {"projector": (2048, 2048, 128), "memory": 65536, "memory_momentum": 0.999}),
        ("simclr/cifar10", {"temperature": 0.5}),
        ("moco/imagenet-v1", {"projector": (128,), "temperature": 0.07, "queue": 65536, "momentum": 0.999}),
        ("moco/imagenet", {"projector": (2048, 128), "temperature": 0.2}),
        ("moco/cifar10", {"temperature": 0.1, "queue": 4096, "momentum": 0.99}),
        ("byol/imagenet", {"projector": (4096, 256), "predictor_hidden": 4096, "momentum": 0.996}),
        ("byol/imagenet-300", {"momentum": 0.99}),
        ("byol/imagenet-100", {"momentum": 0.99}),
        ("byol/imagenet-40", {"momentum": 0.97}),
        ("byol/imagenet-v3", {"momentum": None, "predictor_lr": 10.0}),
        ("swav/imagenet", {"prototypes": 3000, "epsilon": 0.05, "sinkhorn": 3, "queue": 0, "freeze_epochs": 1.0}),
        ("swav/imagenet-256", {"queue": 3840, "queue_from_epoch": 15.0}),
        ("supcon/imagenet", {"temperature": 0.1, "base_temperature": 1.0, "form": "out"}),
        ("em/imagenet", {"steps": 10, "memory": None}),
        ("supervised/imagenet-200", {"smoothing": 0.1}),
    ],
)
def test_published_settings_of_the_method(name: str, values: dict[str, object]) -> None:
    method = RECIPES[name]().method
    assert {field: getattr(method, field) for field in values} == values


@pytest.mark.parametrize(
    ("name", "decay", "everything", "batch", "epochs"),
    [
        ("simclr/imagenet", 1e-6, False, 4096, 1000),
        ("simclr/imagenet-v2", 1e-4, False, 4096, 800),
        ("moco/imagenet", 1e-4, True, 256, 200),
        ("byol/imagenet", 1.5e-6, False, 4096, 1000),
        ("byol/imagenet-40", 1e-6, False, 4096, 40),
        ("swav/imagenet", 1e-6, True, 4096, 800),
        ("supcon/imagenet", 1e-6, False, 6144, 350),
        ("supervised/imagenet", 1e-4, False, 256, 105),
    ],
)
def test_published_decay_batch_and_length(name: str, decay: float, everything: bool, batch: int, epochs: int) -> None:
    run = RECIPES[name]()
    assert (run.optim.weight_decay, run.optim.decay_bn_bias, run.train.batch, run.train.epochs) == (decay, everything, batch, epochs)


def test_published_views() -> None:
    first, second = RECIPES["byol/imagenet"]().views
    assert (first.blur, second.blur, first.solarise, second.solarise) == (1.0, 0.1, 0.0, 0.2)
    swav = RECIPES["swav/imagenet"]().views
    assert [(view.size, view.scale) for view in swav] == [(224, (0.14, 1.0))] * 2 + [(96, (0.05, 0.14))] * 6
    assert {view.jitter for view in swav} == {(0.8, 0.8, 0.8, 0.2)} == {view.jitter for view in RECIPES["simclr/imagenet"]().views}
    v1 = RECIPES["moco/imagenet-v1"]().views[0]
    assert (v1.jitter, v1.jitter_p, v1.blur) == ((0.4, 0.4, 0.4, 0.4), 1.0, 0.0)
    assert all(RECIPES[f"moco/{name}"]().train.bn == "split" for name in ("imagenet", "imagenet-v1", "cifar10"))


def scaled(run: Run) -> Run:
    """Return ``run`` at a size that trains in milliseconds."""
    smaller: dict[str, object] = {"queue": 16, "prototypes": 6, "predictor_hidden": 8}
    own = {field: value for field, value in smaller.items() if getattr(run.method, field, None)}
    if projector := getattr(run.method, "projector", ()):
        own["projector"] = (8,) * len(projector)
    if run.method.name == "simclr" and run.method.slow_copy:
        own["memory"] = 16
    if run.method.name == "swav":
        own["freeze_epochs"] = 0.5
    return replace(
        run,
        data=replace(run.data, size=16),
        views=tuple(replace(view, size=16 if view.size == run.views[0].size else 8) for view in run.views),
        net=replace(run.net, backbone="resnet10", stem="small", width=4),
        method=replace(run.method, **own),  # type: ignore[arg-type]
        optim=replace(run.optim, warmup_epochs=min(run.optim.warmup_epochs, 0.5), drop_epochs=tuple(e / 1000 for e in run.optim.drop_epochs)),
        train=replace(run.train, epochs=1, batch=BATCH, bn_splits=2, precision="fp32", checkpoint_seconds=1e9, log_every=1),
    )


@pytest.mark.parametrize("name", [*RECIPES, *IMAGES])
def test_every_recipe_trains(name: str, tmp_path: Path) -> None:
    whole = RECIPES[name]() if name in RECIPES else images(PHOTOS, Machine(gpu=True, cores=4), IMAGES[name]).run
    run = scaled(whole)
    assert problems(run) == []
    pixels = np.random.default_rng(0).integers(0, 255, (2 * BATCH, run.data.channels, 20, 20), dtype=np.uint8)
    supply = Resident(Pool.from_arrays(list(pixels)), np.arange(2 * BATCH), torch.device("cpu"), torch.arange(2 * BATCH) % 3)
    method = initialise(run, Task(2 * BATCH, BATCH, 3))
    before = [p.clone() for p in method.backbone.parameters()]
    outcome = pretrain(run, method, supply, RunDirectory(tmp_path), torch.device("cpu"), Listeners())
    assert (outcome.state, outcome.steps) == ("finished", 2)
    assert any(not torch.equal(a, b) for a, b in zip(before, method.backbone.parameters(), strict=True))
    assert all(math.isfinite(float(p.detach().sum())) for p in method.parameters())
