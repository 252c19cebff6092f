"""ResNets of any width, stem and number of input channels. He et al., arXiv:1512.03385 (Table 1, Fig. 5).

At width 64 with the ImageNet stem these are torchvision's networks without their classifier: same parameter names, same
weights from the same seed, same outputs. They stand here because importing torchvision takes longer than a whole small
command, and because its stem and width are fixed.
"""

import torch
from torch import Tensor, nn


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut: (N, inputs, H, W) to (N, width, H / stride, W / stride)."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        downsample = _shortcut(inputs, width, stride)  # made first and held last, as in torchvision: the order of the random draws
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        y += x if self.downsample is None else self.downsample(x)
        out: Tensor = self.relu(y)
        return out


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions around a shortcut: (N, inputs, H, W) to (N, 4 * width, H / stride, W / stride).

    The stride is on the 3x3 convolution (torchvision's "v1.5"), not on the first 1x1 as in the paper.
    """

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = width * self.expansion
        downsample = _shortcut(inputs, outputs, stride)
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        y += x if self.downsample is None else self.downsample(x)
        out: Tensor = self.relu(y)
        return out


RESNETS: dict[str, tuple[type[BasicBlock] | type[Bottleneck], tuple[int, int, int, int]]] = {
    "resnet10": (BasicBlock, (1, 1, 1, 1)),
    "resnet18": (BasicBlock, (2, 2, 2, 2)),
    "resnet34": (BasicBlock, (3, 4, 6, 3)),
    "resnet50": (Bottleneck, (3, 4, 6, 3)),
    "resnet101": (Bottleneck, (3, 4, 23, 3)),
    "resnet152": (Bottleneck, (3, 8, 36, 3)),
}
"""The block and the number of blocks of each of the four stages."""

STEMS: dict[str, tuple[int, int, int, bool]] = {
    "imagenet": (7, 2, 3, True),
    "cifar": (3, 1, 1, False),
    "cifar-padded": (3, 1, 2, False),  # solo-learn's, whose map is 2 pixels larger than the image
    "small": (3, 2, 1, False),
}
"""Kernel, stride and padding of the first convolution, and whether a 3x3 max-pool of stride 2 follows."""


class ResNet(nn.Module):
    """A ResNet without its classifier: (N, channels, H, W) to (N, features), the average over the last stage's map.

    ``features`` is 8 * width for resnet10, 18 and 34, and 32 * width for the deeper ones. ``zero_init_residual`` starts the
    last BN scale of every block at 0, so that every block starts as the identity (Goyal et al., arXiv:1706.02677, Sec. 5.1).
    """

    def __init__(self, name: str, *, channels: int, stem: str, width: int, zero_init_residual: bool) -> None:
        super().__init__()
        block, depths = RESNETS[name]
        kernel, stride, padding, pool = STEMS[stem]
        self.features = 8 * width * block.expansion
        self.conv1 = nn.Conv2d(channels, width, kernel, stride, padding, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1) if pool else nn.Identity()
        self.layer1 = _stage(block, depths[0], width, width, 1)
        self.layer2 = _stage(block, depths[1], width * block.expansion, 2 * width, 2)
        self.layer3 = _stage(block, depths[2], 2 * width * block.expansion, 4 * width, 2)
        self.layer4 = _stage(block, depths[3], 4 * width * block.expansion, 8 * width, 2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        nn.Linear(self.features, 1000)  # torchvision draws its classifier here; drawing it too gives the same weights from a seed
        self._initialise(zero_init_residual)

    def _initialise(self, zero_init_residual: bool) -> None:
        """He normal over the outgoing connections for convolutions; BN starts at scale 1, which PyTorch has done."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif zero_init_residual and isinstance(module, BasicBlock):
                nn.init.zeros_(module.bn2.weight)
            elif zero_init_residual and isinstance(module, Bottleneck):
                nn.init.zeros_(module.bn3.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Return the features (N, features) of images (N, channels, H, W)."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return torch.flatten(self.avgpool(x), 1)


def _stage(block: type[BasicBlock] | type[Bottleneck], depth: int, inputs: int, width: int, stride: int) -> nn.Sequential:
    rest = [(width * block.expansion, 1)] * (depth - 1)
    return nn.Sequential(*[block(i, width, s) for i, s in [(inputs, stride), *rest]])


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Sequential | None:
    """Return the projection of a block that changes the shape, or None where the shortcut is the identity."""
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
