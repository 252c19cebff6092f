"""What is wrong whatever the images are is told before one is opened; what may be right is not."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stopgrad.beforehand import check
from stopgrad.config import Found
from stopgrad.errors import UserError
from stopgrad.images.sources import open_splits
from stopgrad.plan import asked_length, doubts, overridden, plain_net, plan
from stopgrad.recipes import IMAGES, RECIPES
from stopgrad.recipes.images import Machine, images
from stopgrad.runs import RunDirectory
from tests.recipes.test_images import FOUND, PHOTOS

MULTISPECTRAL = replace(PHOTOS, channels=((4, 3000),), mean=(0.1, 0.2, 0.3, 0.4), std=(0.1, 0.2, 0.3, 0.4))
OVERRIDES: list[dict[str, str]] = [
    {},
    {"train.epochs": "3"},
    {"train.batch": "4", "train.bn": "split", "train.bn_splits": "2"},
    {"train.batch": "7"},
    {"train.accumulate": "2"},
    {"data.mean": "0.1,0.2,0.3,0.4"},
    {"data.channels": "1", "data.mean": "0.5", "data.std": "0.2"},
    {"data.channels": "4"},
    {"optim.nesterov": "true"},
    {"optim.warmup_epochs": "30"},
    {"optim.warmup_epochs": "150"},
    {"optim.schedule": "steps", "optim.drop_epochs": "90"},
    {"views.5.size": "32"},
    {"views.1.flip": "0"},
    {"method.projector": "64,64"},
    {"method.freeze_epochs": "90"},
    {"method.momentum": "none", "method.stop_gradient": "false"},
    {"net.backbone": "resnet26"},
    {"net.backbone": "module:Own"},
    {"net.backbone": "module:Own", "views.size": "4", "data.size": "4"},
]


def trainable(found: Found, gpu: bool, method: str, overrides: dict[str, str]) -> bool:
    try:
        chosen = images(found, Machine(gpu=gpu, cores=2), method, *asked_length(overrides))
        overridden(plain_net(chosen.run, overrides), overrides)
    except UserError:
        return False
    return True


@pytest.mark.parametrize("overrides", OVERRIDES, ids=str)
@pytest.mark.parametrize("recipe", IMAGES)
def test_nothing_is_refused_that_some_images_allow(recipe: str, overrides: dict[str, str]) -> None:
    found = [found for found in (*FOUND, MULTISPECTRAL) if found.images > 2]
    if any(trainable(f, gpu, IMAGES[recipe], overrides) for f in found for gpu in (True, False)):
        check(recipe, overrides)


@pytest.mark.parametrize("recipe", [*IMAGES, *RECIPES, "demo+byol", "simsiam/cifar10+swav"])
def test_every_recipe_passes_as_it_is(recipe: str) -> None:
    check(recipe, {"data.labels": "auto"})


@pytest.mark.parametrize(
    ("backbone", "said"),
    [
        ("resnet99", "no 'resnet99' among .*; there are resnet10, .*resnet101, resnet152"),
        ("mobilenet_v3_smal", "did you mean mobilenet_v3_small"),
        ("timm/vit_tinny_patch16_224", "among timm's networks; did you mean vit_tiny_patch16_224"),
    ],
)
def test_a_mistyped_network_is_told_with_the_nearest(backbone: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        check("images", {"net.backbone": backbone})


def test_weights_to_begin_with_are_wanted_only_where_a_run_begins(tmp_path: Path) -> None:
    init = {"net.init": str(tmp_path / "gone")}
    with pytest.raises(UserError, match="gone: no such folder or file"):
        check("demo", init, out=tmp_path / "run")
    directory = RunDirectory(tmp_path / "run")
    directory.create()
    directory.write_config(overridden(RECIPES["demo"](), init))
    check("demo", init, out=tmp_path / "run")
    with pytest.raises(UserError, match=r"holds a run with other settings \(net.init"):
        check("demo", {"net.init": str(tmp_path / "other")}, out=tmp_path / "run")


@pytest.mark.parametrize(
    ("override", "kept"),
    [
        ({}, True),
        ({"optim.lr": "1"}, True),
        ({"views.size": "64"}, False),
        ({"views.3.size": "64"}, False),
        ({"views.scale": "0.2,1"}, False),
        ({"views.flip": "0"}, True),
    ],
)
def test_reasons_for_what_was_set_otherwise_are_not_given(override: dict[str, str], kept: bool, tmp_path: Path) -> None:
    splits = open_splits(np.random.default_rng(0).integers(0, 255, (8, 128, 128), dtype=np.uint8))
    planned = plan(splits, "arrays", "swav/images", tmp_path / "run", override, lambda: False)
    assert any("multi-crop" in line for line in planned.reasons) == kept
    assert any("LARS" in line for line in planned.reasons) == ("optim.lr" not in override)


def test_doubts() -> None:
    run = RECIPES["demo"]()  # views of 16, judged at 28
    assert doubts(run, 28) == []
    assert doubts(run, 12) == ["views of 16 pixels enlarge the images, whose median shorter side is 12"]
    (line,) = doubts(overridden(run, {"data.size": "8"}), 28)
    assert line.startswith("data.size is 8, below views of 16 pixels")
