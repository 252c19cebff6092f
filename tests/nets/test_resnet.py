"""The ResNets against torchvision's: names, weights, outputs; and what torchvision cannot do: stems, widths, channels."""

import math

import pytest
import torch
import torchvision
from torch import nn
from torchvision.models.resnet import BasicBlock as TorchvisionBlock

from stopgrad.nets.resnet import RESNETS, ResNet


def resnet(name: str, channels: int = 3, stem: str = "imagenet", width: int = 64, zero_init_residual: bool = False) -> ResNet:
    return ResNet(name, channels=channels, stem=stem, width=width, zero_init_residual=zero_init_residual)


def torchvisions(name: str, zero_init_residual: bool = False) -> nn.Module:
    if name == "resnet10":
        net: nn.Module = torchvision.models.ResNet(TorchvisionBlock, [1, 1, 1, 1], zero_init_residual=zero_init_residual)
    else:
        net = torchvision.models.get_model(name, weights=None, zero_init_residual=zero_init_residual)
    net.fc = nn.Identity()
    return net


@pytest.mark.parametrize("name", RESNETS)
def test_names_and_shapes_are_torchvisions(name: str) -> None:
    with torch.device("meta"):
        ours, theirs = resnet(name), torchvisions(name)
    shapes = {k: (v.shape, v.dtype) for k, v in ours.state_dict().items()}
    assert list(shapes.items()) == [(k, (v.shape, v.dtype)) for k, v in theirs.state_dict().items()]


@pytest.mark.parametrize(("name", "zero_init_residual"), [("resnet10", True), ("resnet18", False), ("resnet50", True)])
def test_same_seed_gives_torchvisions_weights_outputs_and_gradients(name: str, zero_init_residual: bool) -> None:
    torch.manual_seed(0)
    ours = resnet(name, zero_init_residual=zero_init_residual)
    torch.manual_seed(0)
    theirs = torchvisions(name, zero_init_residual)
    for key, value in theirs.state_dict().items():
        assert torch.equal(value, ours.state_dict()[key]), key
    x = torch.randn(2, 3, 64, 64)
    a, b = ours(x), theirs(x)
    assert torch.equal(a, b)
    a.square().sum().backward()
    b.square().sum().backward()
    assert ours.conv1.weight.grad is not None
    assert torch.equal(ours.conv1.weight.grad, theirs.get_parameter("conv1.weight").grad)
    assert torch.equal(ours.layer1[0].bn1.running_mean, theirs.get_buffer("layer1.0.bn1.running_mean"))
    assert torch.equal(ours.eval()(x), theirs.eval()(x))


@pytest.mark.parametrize(("stem", "first", "last"), [("imagenet", 16, 2), ("cifar", 64, 8), ("small", 32, 4)])
def test_stem_sets_the_resolution_of_every_stage(stem: str, first: int, last: int) -> None:
    net, sides = resnet("resnet10", stem=stem, width=4), []
    for stage in (net.layer1, net.layer4):
        stage.register_forward_hook(lambda module, inputs, out: sides.append(out.shape[-1]))
    assert net(torch.randn(2, 3, 64, 64)).shape == (2, 32)
    assert sides == [first, last]


def test_cifar_stem_is_torchvisions_with_the_two_layers_replaced() -> None:
    torch.manual_seed(0)
    ours, theirs = resnet("resnet18", stem="cifar").eval(), torchvisions("resnet18").eval()
    theirs.conv1, theirs.maxpool = nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.Identity()
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 3, 32, 32)
    assert torch.equal(ours(x), theirs(x))


@pytest.mark.parametrize(("name", "features"), [("resnet18", 8 * 6), ("resnet50", 32 * 6)])
def test_width_and_channels_are_free(name: str, features: int) -> None:
    net = resnet(name, channels=5, stem="small", width=6)
    assert net.features == features
    assert net.conv1.weight.shape == (6, 5, 3, 3)
    assert net(torch.randn(2, 5, 32, 32)).shape == (2, features)


def test_convolutions_start_he_normal_over_the_outgoing_connections() -> None:
    torch.manual_seed(0)
    for conv in (m for m in resnet("resnet18", channels=9).modules() if isinstance(m, nn.Conv2d)):
        fan_out = conv.out_channels * conv.kernel_size[0] ** 2
        assert float(conv.weight.detach().std()) == pytest.approx(math.sqrt(2 / fan_out), rel=0.03)


@pytest.mark.parametrize("name", ["resnet10", "resnet50"])
def test_zero_initialised_blocks_start_as_their_shortcut(name: str) -> None:
    torch.manual_seed(0)
    net = resnet(name, width=8, zero_init_residual=True).eval()
    block = net.layer2[0]
    x = torch.randn(2, net.layer1[-1].bn1.num_features * block.expansion, 8, 8)
    assert block.downsample is not None
    assert torch.equal(block(x), block.downsample(x).relu())
