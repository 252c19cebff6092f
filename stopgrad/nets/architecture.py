"""Which ResNet a state dict is of, by the shapes of its tensors alone."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Size, Tensor, nn

from stopgrad.nets.backbones import classifier, torchvision_net
from stopgrad.nets.resnet import RESNETS, Bottleneck, ResNet

VARIANTS = {
    "resnet50": ("wide_resnet50_2", "resnext50_32x4d"),
    "resnet101": ("wide_resnet101_2", "resnext101_32x8d", "resnext101_64x4d"),
}
"""torchvision's networks with as many blocks as one of ours, whose shapes differ."""

COUNTER = "num_batches_tracked"
"""BN's count of batches, which PyTorch before 0.4.1 did not keep; it has no part in the features."""


class Misfit(Exception):
    """Why the tensors are of no network that is known."""


@dataclass(frozen=True)
class Architecture:
    """A network, and the tensors that it has and that were found."""

    backbone: str
    """Its name for ``build``."""
    width: int
    channels: int
    kernel: int
    """Side of the first convolution, 7 or 3."""
    missing: tuple[str, ...]
    """Names it has and that were not there; counters of batches aside."""
    unknown: tuple[str, ...]
    """Names that were there and it does not have."""
    unlike: tuple[str, ...]
    """Tensors of another shape or type, each with both."""


def architecture(state: Mapping[str, Tensor]) -> Architecture:
    """Return which ResNet the tensors are of, by torchvision's names; the one of several with as many blocks whose shapes fit best.

    Raises Misfit when there is no such ResNet.
    """
    if "conv1.weight" not in state:
        raise Misfit("missing in the file: conv1.weight")
    conv, bottleneck = tuple(state["conv1.weight"].shape), "layer1.0.conv3.weight" in state
    if len(conv) != 4 or conv[2:] not in ((7, 7), (3, 3)):
        raise Misfit(f"its first convolution is {conv}; 7x7 and 3x3 are known")
    numbers = [re.match(r"layer([1-4])\.(\d+)\.", name) for name in state]
    depths = tuple(max((int(n[2]) + 1 for n in numbers if n and n[1] == str(stage)), default=0) for stage in range(1, 5))
    ours = [name for name, (block, blocks) in RESNETS.items() if blocks == depths and (block is Bottleneck) == bottleneck]
    if not ours:
        kind = "three" if bottleneck else "two"
        raise Misfit(f"its stages have {depths} blocks of {kind} convolutions; known are {', '.join(RESNETS)}")
    others = VARIANTS.get(ours[0], ()) if conv[1:] == (3, 7, 7) else ()
    found = [_compared(name, state, conv) for name in (*ours, *others)]
    return min(found, key=lambda a: len(a.unlike))


def names_and_shapes(net: nn.Module) -> dict[str, Size]:
    """Return what a state dict of ``net`` holds."""
    return {name: value.shape for name, value in net.state_dict().items()}


def differences(expected: Mapping[str, Size], state: Mapping[str, Tensor]) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Return the names missing in ``state``, those unknown to ``expected``, and the tensors unlike what is expected, in words."""
    missing = tuple(name for name in expected if name not in state and not name.endswith(COUNTER))
    unknown = tuple(name for name in state if name not in expected)
    both = [(name, state[name]) for name in expected if name in state]
    unlike = [f"{name} is {tuple(value.shape)}, expected {tuple(expected[name])}" for name, value in both if value.shape != expected[name]]
    unlike += [f"{name} is {value.dtype} on {value.device}" for name, value in both if not _usable(name, value)]
    return missing, unknown, tuple(unlike)


def _usable(name: str, value: Tensor) -> bool:
    """Whether ``value`` is made of plain numbers."""
    plain = value.layout == torch.strided and value.device.type == "cpu" and not value.is_quantized
    return plain and (value.is_floating_point() or (name.endswith(COUNTER) and not value.is_complex()))


def _compared(name: str, state: Mapping[str, Tensor], conv: tuple[int, ...]) -> Architecture:
    width, channels, kernel = conv[:3]
    with torch.device("meta"):
        if name in RESNETS:
            stem = "imagenet" if kernel == 7 else "cifar"
            net: nn.Module = ResNet(name, channels=channels, stem=stem, width=width, zero_init_residual=False)
        else:
            net = torchvision_net(name, 224)
            net.set_submodule(classifier(net), nn.Identity())
    backbone, width = (name, width) if name in RESNETS else (f"torchvision/{name}", 64)
    return Architecture(backbone, width, channels, kernel, *differences(names_and_shapes(net), state))
