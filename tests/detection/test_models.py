"""Detectors around a backbone: its weights land where they belong, everything learns, regions and anchors lie where they should."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList

from stopgrad.config import Net
from stopgrad.config.detection import Detection
from stopgrad.detection.models import Pyramid, Trunk, detector
from stopgrad.detection.regions import Anchors, Pooler
from stopgrad.detection.stages import stages
from stopgrad.errors import UserError
from stopgrad.nets.backbones import Backbone, build
from tests.detection.made import TOY, small

FPN = replace(TOY, architecture="FPN")


def example(masks: bool = False) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
    g = torch.Generator().manual_seed(0)
    images = [torch.randn(3, 64, 90, generator=g), torch.randn(3, 70, 64, generator=g)]
    targets = [
        {"boxes": torch.tensor([[5.0, 5, 45, 50], [20, 10, 80, 60]]), "labels": torch.tensor([1, 2])},
        {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)},
    ]
    if masks:
        drawn = torch.zeros(2, 64, 90, dtype=torch.uint8)
        drawn[0, 10:50, 10:40] = drawn[1, 20:60, 30:70] = 1
        targets[0]["masks"], targets[1]["masks"] = drawn, torch.zeros(0, 70, 64, dtype=torch.uint8)
    return images, targets


@pytest.mark.parametrize("name", ["resnet10", "resnet18"])
def test_the_maps_are_the_backbones_own(name: str) -> None:
    backbone = small(name).eval()
    x = torch.randn(2, 3, 96, 64)
    maps = []
    with torch.no_grad():
        y = backbone.net.maxpool(backbone.net.relu(backbone.net.bn1(backbone.net.conv1(x))))  # type: ignore[operator,union-attr]
        for layer in ("layer1", "layer2", "layer3", "layer4"):
            y = backbone.net.get_submodule(layer)(y)
            maps.append(y)
        found = stages(backbone)
        assert found.widths == tuple(m.shape[1] for m in maps)
        assert torch.equal(Trunk(found).eval()(x)["c4"], maps[2])
        seen, z = [], x
        for stage in Pyramid(found, 16).eval().stages:
            z = stage(z)
            seen.append(z)
        assert all(torch.equal(a, b) for a, b in zip(seen, maps, strict=True))
        head = detector(backbone, 3, TOY).eval().head.box_head.stage
        assert torch.equal(head(maps[2]), maps[3])


@pytest.mark.parametrize("masks", [False, True])
@pytest.mark.parametrize("settings", [TOY, FPN], ids=["C4", "FPN"])
def test_every_parameter_learns(settings: Detection, masks: bool) -> None:
    backbone = small()
    before = copy.deepcopy(backbone.state_dict())
    torch.manual_seed(0)
    model = detector(backbone, 2, replace(settings, masks=masks))
    images, targets = example(masks)
    found, losses = model(images, targets)
    assert found == []
    assert losses.keys() == {"loss_classifier", "loss_box_reg", "loss_objectness", "loss_rpn_box_reg"} | ({"loss_mask"} if masks else set())
    torch.stack(list(losses.values())).sum().backward()
    still = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum()]
    assert still == []
    assert all(p.requires_grad for p in model.parameters())
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms
    assert all(int(bn.num_batches_tracked) > 0 for bn in norms if bn.num_batches_tracked is not None)
    assert all(torch.equal(value, backbone.state_dict()[name]) for name, value in before.items())  # a copy was trained


def test_one_bn_more_follows_the_last_stage() -> None:
    model = detector(small(), 2, TOY)
    assert [name for name, _ in model.head.box_head.named_children()] == ["stage", "norm"]
    assert isinstance(model.head.box_head.norm, nn.BatchNorm2d)
    extra = model.head.box_head.norm
    images, targets = example()
    torch.stack(list(model(images, targets)[1].values())).sum().backward()
    assert extra.weight.grad is not None
    assert extra.weight.grad.abs().min() > 0


@pytest.mark.parametrize("settings", [TOY, FPN], ids=["C4", "FPN"])
def test_what_is_found_has_its_form(settings: Detection) -> None:
    torch.manual_seed(0)
    model = detector(small(), 2, replace(settings, masks=True)).eval()
    with torch.no_grad():
        found, losses = model(example()[0])
    assert losses == {}
    for here, (height, width) in zip(found, [(64, 90), (70, 64)], strict=True):
        n = len(here["boxes"])
        assert 0 < n <= TOY.detections
        side = 14 if settings is TOY else 28
        assert here["masks"].shape == (n, 1, side, side)
        assert (here["boxes"] >= 0).all()
        assert (here["boxes"] <= torch.tensor([width, height, width, height])).all()
        assert set(here["labels"].tolist()) <= {1, 2}


def test_anchors_lie_around_every_place() -> None:
    anchors = Anchors((16,), ((32, 64),))
    images = ImageList(torch.zeros(2, 3, 64, 96), [(64, 96), (60, 90)])
    found = anchors(images, [torch.zeros(2, 8, 4, 6)])
    assert len(found) == 2
    boxes = found[0]
    assert boxes.shape == (4 * 6 * 6, 4)
    centres = (boxes[:, :2] + boxes[:, 2:]).view(4, 6, 6, 2) / 2
    assert torch.equal(centres[2, 5], torch.tensor([80.0, 32.0]).expand(6, 2))
    sides = (boxes[:6, 2:] - boxes[:6, :2]).tolist()
    expected = [[s / r**0.5, s * r**0.5] for s in (32, 64) for r in (0.5, 1.0, 2.0)]
    assert sides == [pytest.approx(e) for e in expected]


def test_a_region_is_cut_where_it_lies() -> None:
    """A map that holds its own place: the mean over a region is its centre, half a pixel off the grid as in ROIAlign's second version."""
    y, x = torch.meshgrid(torch.arange(20.0), torch.arange(30.0), indexing="ij")
    feature = torch.stack([x, y])[None]
    box = torch.tensor([[64.0, 32, 192, 96]])
    cut = Pooler((16,), 7)({"c4": feature}, [box], [(320, 480)])
    assert cut.shape == (1, 2, 7, 7)
    assert cut.mean((2, 3))[0].tolist() == pytest.approx([128 / 16 - 0.5, 64 / 16 - 0.5])


def test_a_region_is_cut_from_the_map_of_its_size() -> None:
    maps = {f"p{level}": torch.full((1, 1, 512 >> level, 512 >> level), float(level)) for level in range(2, 7)}
    sides = [20, 111, 113, 223, 225, 447, 449, 500]
    boxes = torch.tensor([[0.0, 0, side, side] for side in sides])
    cut = Pooler((4, 8, 16, 32), 7)(maps, [boxes], [(512, 512)])
    assert cut.mean((1, 2, 3)).tolist() == [2, 2, 3, 3, 4, 4, 5, 5]


@pytest.mark.parametrize("name", ["torchvision/mobilenet_v2", pytest.param("torchvision/resnext50_32x4d", marks=pytest.mark.slow)])
def test_other_networks_that_fit(name: str) -> None:
    backbone = build(Net(backbone=name, zero_init_residual=False), 3, 64).eval()
    found = stages(backbone)
    x = torch.randn(1, 3, 128, 64)
    strides = []
    with torch.no_grad():
        y = x
        for layer, width in zip(found.layers, found.widths, strict=True):
            y = layer.eval()(y)
            strides.append(128 // y.shape[-2])
            assert y.shape[1] == width
        assert torch.allclose(torch.flatten(nn.functional.adaptive_avg_pool2d(y, 1), 1), backbone(x), atol=1e-6)
    assert strides == [4, 8, 16, 32]


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (Net(backbone="resnet10", stem="cifar", width=8, zero_init_residual=False), r"has maps of strides 1, 2, 4, 8, not 4, 8, 16, 32"),
        (Net(backbone="torchvision/vit_b_32", zero_init_residual=False), "layers that are not one behind the other; take a ResNet"),
        (Net(backbone="torchvision/squeezenet1_1", zero_init_residual=False), "has maps of strides"),
    ],
)
def test_what_does_not_fit_is_refused(net: Net, message: str) -> None:
    with pytest.raises(UserError, match=message):
        stages(build(net, 3, 64))


def test_a_module_of_the_users_own_is_refused() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(UserError, match="Sequential has layers"):
        stages(Backbone(module, 4, 3))
