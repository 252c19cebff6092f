"""A backbone taken apart where its maps halve: what detectors are built on."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torchvision
from torch import nn

from stopgrad.errors import UserError
from stopgrad.nets.backbones import Backbone
from stopgrad.nets.resnet import ResNet

STRIDES = (4, 8, 16, 32)


@dataclass(frozen=True, eq=False)
class Stages:
    """A backbone's layers, in four groups, one behind the other; weights are copies."""

    layers: tuple[nn.Sequential, ...]
    """Up to the map of stride 4, and from each on to the next."""
    widths: tuple[int, ...]
    """Channels of the maps of strides 4, 8, 16 and 32."""


def stages(backbone: Backbone) -> Stages:
    """Return copies of ``backbone``'s layers up to the last map of each of ``STRIDES``, without what makes the feature vector.

    Fit are ResNets (ours with the stem imagenet, torchvision's with their kin) and networks of torchvision whose layers are one sequence,
    ``features`` (ConvNeXt, DenseNet, EfficientNet, MobileNet, …), as far as they halve an image five times. Raises UserError for others.
    """
    chain = _chain(backbone.net)
    if chain is None:
        raise _unfit(backbone, "has layers that are not one behind the other")
    found = _strides(chain, backbone.channels)
    ends = [max((i for i, (stride, _) in enumerate(found) if stride == wanted), default=-1) for wanted in STRIDES]
    groups = [chain[begin:end] for begin, end in zip([0, *(e + 1 for e in ends[:-1])], [e + 1 for e in ends], strict=True)]
    if -1 in ends or ends != sorted(ends) or not any(list(layer.parameters()) for _, layer in groups[-1]):
        have = ", ".join(map(str, sorted({stride for stride, _ in found})))
        raise _unfit(backbone, f"has maps of strides {have}, not {', '.join(map(str, STRIDES))} with layers to learn in each")
    return Stages(tuple(_sequence(group) for group in groups), tuple(found[end][1] for end in ends))


Layer = tuple[str, nn.Module]


def _chain(net: nn.Module) -> list[Layer] | None:
    """Return the layers before the pooling, by name, in the order they are gone through; None where there is none."""
    if isinstance(net, ResNet | torchvision.models.ResNet):
        return [(name, net.get_submodule(name)) for name in ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4")]
    layers = dict(net.named_children()).get("features")
    if type(net).__module__.startswith("torchvision.models.") and isinstance(layers, nn.Sequential):
        return list(layers.named_children())
    return None


def _strides(chain: Sequence[Layer], channels: int) -> list[tuple[int, int]]:
    """Return the stride and channels of the map after every layer, found by passing a black image; neither state nor mode changes."""
    side = 128
    trial = nn.Sequential(*(copy.deepcopy(layer) for _, layer in chain)).eval()
    found = []
    with torch.no_grad():
        x = torch.zeros(1, channels, side, side, device=next(trial.parameters()).device)
        for layer in trial:
            x = layer(x)
            found.append((side // x.shape[-1], x.shape[1]))
    return found


def _sequence(group: Sequence[Layer]) -> nn.Sequential:
    out = nn.Sequential()
    for name, layer in group:
        out.add_module(name, copy.deepcopy(layer))
    return out.requires_grad_()


def _unfit(backbone: Backbone, why: str) -> UserError:
    return UserError(
        f"detection: {type(backbone.net).__name__} {why}; take a ResNet with --set net.stem=imagenet, or torchvision's ConvNeXt, DenseNet, "
        "EfficientNet or MobileNet"
    )
