"""Backbones by name, or around a module of the user's own: images (N, C, H, W) to features (N, F)."""

from typing import Any

import torch
from torch import Tensor, nn

from stopgrad.config import Net
from stopgrad.config.run import resnet_only
from stopgrad.errors import UserError
from stopgrad.nets.names import locate
from stopgrad.nets.resnet import STEMS, ResNet


class Backbone(nn.Module):
    """A network that turns images (N, channels, H, W) into features (N, features)."""

    def __init__(self, net: nn.Module, features: int, channels: int) -> None:
        super().__init__()
        self.net = net
        self.features = features
        self.channels = channels

    def forward(self, x: Tensor) -> Tensor:
        """Return the features (N, features) of images (N, channels, H, W)."""
        features: Tensor = self.net(x)
        return features


def build(net: Net, channels: int, size: int) -> Backbone:
    """Return the backbone that ``net`` names, freshly initialised, for images of ``channels`` and ``size`` x ``size`` pixels.

    The size matters to networks that are built for one (ViT, Swin) or have a smallest one. torchvision's and timm's networks
    lose their classifier and keep their own initialisation; a first convolution for other than 3 channels is drawn anew.
    Raises UserError for unknown names, fields that the named network does not have, and sizes that it cannot take.
    """
    library, name = locate(net.backbone)
    if library == "stopgrad":
        if net.stem not in STEMS:
            raise UserError(f"net.stem: {net.stem!r} is none of {', '.join(STEMS)}")
        resnet = ResNet(name, channels=channels, stem=net.stem, width=net.width, zero_init_residual=net.zero_init_residual)
        return Backbone(resnet, resnet.features, channels)
    if wrong := resnet_only(net):
        raise UserError(wrong[0])
    try:
        module = _from_torchvision(name, channels, size) if library == "torchvision" else _from_timm(name, channels, size)
    except _REFUSALS as error:
        raise _wrong_images(f"net.backbone: {net.backbone}", channels, size, error) from None
    return Backbone(module, _probe(f"net.backbone: {net.backbone}", module, channels, size), channels)


def wrap(module: nn.Module, channels: int, size: int) -> Backbone:
    """Return ``module`` as a backbone, its feature width found by a forward of two black images in eval mode.

    Neither its state nor its mode changes. Raises UserError when it cannot take images of ``channels`` and ``size`` x ``size``
    pixels or does not give one vector an image.
    """
    return Backbone(module, _probe(f"backbone: {type(module).__name__}", module, channels, size), channels)


def torchvision_options(name: str, size: int) -> dict[str, Any]:
    """Return the arguments that make torchvision's ``name`` fit images of ``size`` x ``size`` pixels and give one output."""
    if name in ("googlenet", "inception_v3"):
        return {"aux_logits": False, "init_weights": True}  # with auxiliary classifiers they give three outputs in training
    if name.startswith("vit_"):
        return {"image_size": size}
    return {"input_size": (size, size)} if name.startswith("maxvit_") else {}


def timm_options(name: str, channels: int, size: int) -> dict[str, Any]:
    """Return the arguments that make timm's ``name`` fit images of ``channels`` and ``size`` x ``size`` pixels, without classes."""
    import timm

    cfg = timm.models.get_pretrained_cfg(name)
    return {"num_classes": 0, "in_chans": channels} | ({"img_size": size} if cfg is not None and cfg.fixed_input_size else {})


def torchvision_net(name: str, size: int) -> nn.Module:
    """Return torchvision's network ``name`` for 3 channels, with its classifier."""
    from torchvision import models

    net: nn.Module = models.get_model(name, weights=None, **torchvision_options(name, size))
    return net


def first_convolution(net: nn.Module) -> str:
    """Return the path of the layer that sees the images: the first convolution, in every network of torchvision."""
    path: str = next(path for path, module in net.named_modules() if isinstance(module, nn.Conv2d))
    return path


def classifier(net: nn.Module) -> str:
    """Return the path of the layer that gives the classes: the last with weights, in every network of torchvision.

    It is a Linear but for SqueezeNet's, a 1x1 convolution before the pooling.
    """
    paths: list[str] = [path for path, module in net.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    return paths[-1]


def _from_torchvision(name: str, channels: int, size: int) -> nn.Module:
    net = torchvision_net(name, size)
    net.set_submodule(classifier(net), nn.Identity())
    if channels != 3:
        path = first_convolution(net)
        net.set_submodule(path, _for_channels(net.get_submodule(path), channels))
    return net


def _from_timm(name: str, channels: int, size: int) -> nn.Module:
    import timm

    net: nn.Module = timm.create_model(name, pretrained=False, **timm_options(name, channels, size))
    return net


def _for_channels(conv: nn.Module, channels: int) -> nn.Conv2d:
    """Return ``conv`` for another number of input channels, its weights drawn from a normal distribution as wide as ``conv``'s."""
    assert isinstance(conv, nn.Conv2d)
    assert conv.groups == 1
    other = nn.Conv2d(
        channels,
        conv.out_channels,
        conv.kernel_size,  # type: ignore[arg-type]
        conv.stride,  # type: ignore[arg-type]
        conv.padding,  # type: ignore[arg-type]
        bias=conv.bias is not None,
    )
    nn.init.normal_(other.weight, std=float(conv.weight.detach().std()))
    other.bias = conv.bias
    return other


def _probe(who: str, module: nn.Module, channels: int, size: int) -> int:
    """Return the feature width of ``module``; see ``wrap``."""
    device = next((p.device for p in module.parameters()), torch.device("cpu"))
    modes = [(m, m.training) for m in module.modules()]
    module.eval()
    try:
        with torch.no_grad():
            out = module(torch.zeros(2, channels, size, size, device=device))
    except _REFUSALS as error:
        raise _wrong_images(who, channels, size, error) from None
    finally:
        for m, training in modes:
            m.training = training
    if not isinstance(out, Tensor):
        raise UserError(f"{who}: gives a {type(out).__name__}; a backbone gives one tensor of features, (N, F)")
    if out.ndim != 2 or len(out) != 2:
        cure = "; end it with nn.AdaptiveAvgPool2d(1) and nn.Flatten()" if out.ndim == 4 else ""
        raise UserError(f"{who}: gives {tuple(out.shape)} for 2 images; a backbone gives one vector an image, (N, F){cure}")
    return out.shape[1]


_REFUSALS = (AssertionError, RuntimeError, ValueError)
"""What networks raise for images they cannot take."""


def _wrong_images(who: str, channels: int, size: int, error: Exception) -> UserError:
    reason = str(error).strip().partition("\n")[0] or type(error).__name__
    return UserError(f"{who} cannot take {channels} x {size} x {size} images ({reason}); choose another view size or backbone")
