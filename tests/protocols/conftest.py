"""Small images whose class can be read off them, and a featuriser with BN."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from stopgrad.images.pool import Pool
from stopgrad.protocols.features import Preparation

CLASSES = 3


@pytest.fixture
def prep() -> Preparation:
    return Preparation(8, 1.0, (0.5,), (0.25,))


@pytest.fixture
def bright() -> tuple[Pool, Tensor]:
    """60 grey images of 10 x 10 pixels, 20 a class: the class decides how bright they are, so no crop or flip hides it."""
    rng = np.random.default_rng(0)
    labels = np.arange(60) % CLASSES
    images = (60 + 70 * labels)[:, None, None, None] + rng.integers(-25, 25, (60, 1, 10, 10))
    return Pool.from_arrays(list(images.astype(np.uint8))), torch.from_numpy(labels)


class Small(nn.Module):
    """Eight features after a convolution and BN, whose statistics are not those it starts with."""

    features, channels = 8, 1

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.convolution = nn.Conv2d(1, 8, 3)
            self.bn = nn.BatchNorm2d(8)
            self.train()(torch.randn(16, 1, 8, 8))

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.bn(self.convolution(x)).relu().mean(dim=(2, 3))
        return found


@pytest.fixture
def small() -> Small:
    return Small()
