"""What every loop trains: images, views and network. Imports nothing of stopgrad, so that peers start without it."""

import gzip
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torchvision
from PIL import Image
from torch import nn
from torchvision.models.resnet import BasicBlock

FILE = Path(__file__).parents[2] / "stopgrad/images/data/fashion-mnist/train-images-idx3-ubyte.gz"
HEADER = 16
"""Bytes before the pixels of an IDX file of three dimensions."""


@dataclass(frozen=True)
class Setting:
    """One of the two things that are trained."""

    channels: int
    images: int
    """In a pass, as many as the data set has: workers of a DataLoader wait at its end."""
    distinct: int
    """Of these; the others are the same again, which costs no more memory."""
    size: int
    """Side of a view, pixels."""
    scale: tuple[float, float]
    flip: float
    jitter: tuple[float, float, float, float]
    grey: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    features: int
    """Of the backbone, and the projector's hidden layers."""
    dim: int
    predictor: int


SETTINGS = {
    "cifar": Setting(  # the official code's, for a ResNet-18 at 32x32
        channels=3,
        images=50_000,
        distinct=2000,
        size=32,
        scale=(0.2, 1.0),
        flip=0.5,
        jitter=(0.4, 0.4, 0.4, 0.1),
        grey=0.2,
        mean=(0.4914, 0.4822, 0.4465),
        std=(0.2470, 0.2435, 0.2616),
        features=512,
        dim=2048,
        predictor=512,
    ),
    "demo": Setting(  # as stopgrad's recipe demo
        channels=1,
        images=10_000,
        distinct=10_000,
        size=16,
        scale=(0.25, 1.0),
        flip=0.0,
        jitter=(0.4, 0.4, 0.0, 0.0),
        grey=0.0,
        mean=(0.286,),
        std=(0.353,),
        features=256,
        dim=512,
        predictor=128,
    ),
}


def images(setting: Setting) -> list[Image.Image]:
    """Return the bundled images: as they are for one channel, else padded to 32x32 in three."""
    with gzip.open(FILE) as file:
        pixels = np.frombuffer(file.read(), np.uint8, offset=HEADER).reshape(-1, 28, 28)[: setting.distinct]
    if setting.channels == 1:
        decoded = [Image.fromarray(image) for image in pixels]
    else:
        decoded = [Image.fromarray(np.pad(image, 2)).convert("RGB") for image in pixels]
    return [decoded[i % len(decoded)] for i in range(setting.images)]


def backbone(name: str) -> nn.Module:
    """Return the network without a classifier: torchvision's ResNet-18 with the CIFAR stem, or the demo's slim ResNet-10 of the same blocks."""
    if name == "demo":
        return slim()
    net = torchvision.models.resnet18(num_classes=1, zero_init_residual=True)
    net.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
    net.maxpool = nn.Identity()
    net.fc = nn.Identity()
    found: nn.Module = net
    return found


def slim(width: int = 32) -> nn.Module:
    """Return four stages of one block each behind a 3x3 convolution of stride 2, on one channel."""
    layers: list[nn.Module] = [nn.Conv2d(1, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
    inputs = width
    for stride, outputs in ((1, width), (2, 2 * width), (2, 4 * width), (2, 8 * width)):
        shortcut = None if stride == 1 else nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        layers.append(BasicBlock(inputs, outputs, stride, shortcut))
        inputs = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
