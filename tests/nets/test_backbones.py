"""Backbones by name and around modules of the user's own: every network, every refusal."""

import subprocess
import sys

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn
from torchvision import models

from stopgrad.config import Net
from stopgrad.errors import UserError
from stopgrad.nets.backbones import build, classifier, torchvision_net, wrap
from stopgrad.nets.names import locate, timm_names, torchvision_names
from stopgrad.nets.resnet import ResNet

SMALL = ("squeezenet1_1", "shufflenet_v2_x0_5", "mobilenet_v3_small", "mnasnet0_5", "regnet_x_400mf", "efficientnet_b0", "densenet121", "googlenet")
"""One of every family of torchvision that is quick to build; the others are in the slow test."""


def net(backbone: str) -> Net:
    return Net(backbone=backbone, zero_init_residual=False)


def penultimate(reference: nn.Module, x: Tensor) -> Tensor:
    """Return what the classifier of ``reference`` is given (SqueezeNet's: after the pooling that follows it)."""
    caught: list[Tensor] = []
    reference.get_submodule(classifier(reference)).register_forward_pre_hook(lambda module, inputs: caught.append(inputs[0]))
    reference(x)
    return caught[0] if caught[0].ndim == 2 else caught[0].relu().mean((2, 3))


def check_torchvision(name: str, size: int) -> None:
    """The backbone is torchvision's own network up to the classifier, weights and all, and takes other channels."""
    torch.manual_seed(0)
    backbone = build(net(f"torchvision/{name}"), 3, size).eval()
    torch.manual_seed(0)
    reference = torchvision_net(name, size).eval()
    last = classifier(reference)
    layer = reference.get_submodule(last)
    assert layer.out_features == 1000 if isinstance(layer, nn.Linear) else layer.out_channels == 1000
    assert backbone.net.state_dict().keys() == {k for k in reference.state_dict() if not k.startswith(f"{last}.")}
    x = torch.randn(2, 3, size, size)
    with torch.no_grad():
        features = backbone(x)
        assert features.shape == (2, backbone.features)
        assert torch.allclose(features, penultimate(reference, x), atol=1e-6)
    del reference, backbone
    grey = build(net(f"torchvision/{name}"), 1, size).eval()
    assert grey(torch.randn(2, 1, size, size)).shape == (2, grey.features)


@pytest.mark.parametrize("name", SMALL)
def test_torchvision_network(name: str) -> None:
    check_torchvision(name, 64)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", torchvision.models.list_models(module=torchvision.models))
def test_every_torchvision_network(name: str) -> None:
    check_torchvision(name, 224 if name in ("inception_v3", "maxvit_t", "vit_h_14") else 64)


PARTICULAR = {"byoanet": (2, 256), "crossvit": (2, 240), "csatv2": (3, 224), "maxxvit": (2, 256)}
"""Channels and side for the families of timm that do not take 2 x 224 x 224."""


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("family", [m for m in timm.list_modules() if timm.list_models(module=m)])
def test_a_network_of_every_family_of_timm(family: str) -> None:
    names = timm.list_models(module=family)
    small = [n for n in names if any(word in n for word in ("tiny", "small", "nano", "atto", "xxs", "s0", "18", "b0", "mini", "050"))]
    name = min(small or names, key=len)
    channels, size = PARTICULAR.get(family, (2, 224))
    backbone = build(net(f"timm/{name}"), channels, size).eval()
    assert backbone(torch.randn(1, channels, size, size)).shape == (1, backbone.features)


def test_auxiliary_classifiers_are_off_in_training() -> None:
    features = build(net("googlenet"), 3, 64).train()(torch.randn(2, 3, 64, 64))
    assert features.shape == (2, 1024)


def test_vit_is_built_for_the_view_size() -> None:
    backbone = build(net("vit_b_32"), 3, 64)
    assert backbone.net.get_parameter("encoder.pos_embedding").shape[1] == 1 + 4  # the class token, and 2 x 2 patches
    assert backbone.features == 768


@pytest.mark.parametrize(
    ("name", "channels", "size", "features"),
    [("vit_tiny_patch16_224", 1, 32, 192), ("timm/resnet18", 3, 32, 512), ("timm/mobilenetv3_small_050", 5, 32, 1024)],
)
def test_timm_network(name: str, channels: int, size: int, features: int) -> None:
    backbone = build(net(name), channels, size).eval()
    assert (backbone.features, backbone.channels) == (features, channels)
    assert backbone(torch.randn(2, channels, size, size)).shape == (2, features)


def test_a_first_convolution_for_other_channels_keeps_its_shape_and_scale() -> None:
    torch.manual_seed(0)
    reference = torchvision_net("squeezenet1_1", 32).get_submodule("features.0")
    conv = build(net("squeezenet1_1"), 8, 32).net.get_submodule("features.0")
    assert isinstance(reference, nn.Conv2d)
    assert isinstance(conv, nn.Conv2d)
    assert (conv.in_channels, conv.kernel_size, conv.stride, conv.padding) == (8, (3, 3), (2, 2), (0, 0))
    assert float(conv.weight.detach().std()) == pytest.approx(float(reference.weight.detach().std()), rel=0.1)
    assert torch.equal(conv.bias, torch.zeros(64))


def test_names_are_looked_up_here_then_in_torchvision_then_in_timm() -> None:
    assert locate("resnet18") == ("stopgrad", "resnet18")
    assert locate("torchvision/resnet18") == ("torchvision", "resnet18")
    assert locate("timm/resnet18") == ("timm", "resnet18")
    assert locate("resnext50_32x4d") == ("torchvision", "resnext50_32x4d")
    assert locate("resnet26") == ("timm", "resnet26")
    assert isinstance(build(net("resnet10"), 3, 8).net, ResNet)


def test_the_names_are_those_that_the_libraries_know(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "timm")
    assert sorted(timm_names() or []) == sorted(timm.list_models())
    assert sorted(torchvision_names()) == sorted(models.list_models(module=models))


def test_a_network_that_the_caller_registered_with_timm_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timm, "list_models", lambda: ["own_network"])
    assert locate("own_network") == ("timm", "own_network")


@pytest.mark.parametrize(
    ("backbone", "message"),
    [
        ("resnet81", "no 'resnet81' among .*there are resnet10, resnet18"),
        ("torchvision/resnet10", "no 'resnet10' among torchvision's networks; did you mean .*resnet101"),
        ("timm/resnet18.a1_in1k", "no 'resnet18.a1_in1k' among timm's networks"),
        ("hub/resnet18", "neither torchvision/ nor timm/"),
        ("hf-hub:someone/resnet18", "neither torchvision/ nor timm/"),
    ],
)
def test_unknown_names_are_refused_with_the_nearest(backbone: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(net(backbone), 3, 32)


@pytest.mark.parametrize("backbone", ["timm/resnet26", "resnet26"])
def test_without_timm_the_message_says_how_to_get_it(backbone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(UserError, match=r"pip install 'stopgrad\[timm\]'"):
        build(net(backbone), 3, 32)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (Net(backbone="vgg11", stem="cifar", zero_init_residual=False), "net.stem: cifar .* must be imagenet"),
        (Net(backbone="timm/resnet18", width=32, zero_init_residual=False), "net.width: 32 .* must be 64"),
        (Net(backbone="vgg11", zero_init_residual=True), "net.zero_init_residual: true .* must be false"),
        (Net(backbone="resnet18", stem="tiny", zero_init_residual=False), "net.stem: 'tiny' is none of imagenet, cifar, cifar-padded, small"),  # type: ignore[arg-type]
    ],
)
def test_no_field_is_ignored(wrong: Net, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(wrong, 3, 32)


@pytest.mark.parametrize(
    ("backbone", "size", "reason"),
    [("vit_b_16", 40, "indivisible by patch size"), ("inception_v3", 64, "Kernel size"), ("maxvit_t", 64, "not divisible by partition size")],
)
def test_sizes_that_a_network_cannot_take_are_refused_at_once(backbone: str, size: int, reason: str) -> None:
    with pytest.raises(UserError, match=f"{backbone} cannot take 3 x {size} x {size} images .*{reason}"):
        build(net(backbone), 3, size)


def own_module() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Dropout(), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def test_wrapping_finds_the_width_and_changes_nothing() -> None:
    module = own_module()
    module[1].eval()  # frozen on purpose
    before = {k: v.clone() for k, v in module.state_dict().items()}
    random = torch.get_rng_state()
    backbone = wrap(module, 2, 16)
    assert (backbone.features, backbone.channels) == (4, 2)
    assert [m.training for m in module] == [True, False, True, True, True]
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    x = torch.randn(3, 2, 16, 16)
    assert torch.equal(backbone.eval()(x), module.eval()(x))


class Pair(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (own_module()[:3], r"Sequential: gives \(2, 4, 14, 14\) for 2 images; .*AdaptiveAvgPool2d"),
        (nn.Flatten(2), r"Flatten: gives \(2, 2, 256\) for 2 images; .*one vector an image, \(N, F\)"),
        (Pair(), "Pair: gives a tuple; .*one tensor"),
        (nn.Conv2d(3, 4, 3), "Conv2d cannot take 2 x 16 x 16 images .*expected input.* to have 3 channels"),
    ],
)
def test_wrapping_refuses_what_gives_no_features(module: nn.Module, message: str) -> None:
    training = [m.training for m in module.modules()]
    with pytest.raises(UserError, match=message) as caught:
        wrap(module, 2, 16)
    assert "\n" not in str(caught.value)
    assert [m.training for m in module.modules()] == training


@pytest.mark.whole
def test_a_resnet_costs_no_import_of_torchvision_or_timm() -> None:
    code = (
        "import sys; from stopgrad.config import Net; from stopgrad.nets.backbones import build;"
        "build(Net(backbone='resnet18', zero_init_residual=False), 3, 32); sys.exit('torchvision' in sys.modules or 'timm' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
