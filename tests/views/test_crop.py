"""Crop, resize and flip against torchvision's resized_crop and hflip; and the two ways against each other."""

from dataclasses import replace

import pytest
import torch
import torchvision.transforms.v2.functional as tv
from torch import Tensor

from stopgrad.views.crop import crop_batch, crop_each
from stopgrad.views.sample import ViewParams, centre

TOLERANCE = 1e-6


def boxes(size: int, height: int, width: int, count: int = 40) -> ViewParams:
    """Random crops of images (height, width), the whole image and its corner pixels first, half of them flipped."""
    draw = torch.rand(4, count, generator=torch.Generator().manual_seed(size * height + width))
    draw[:, 0] = torch.tensor([0.999, 0.999, 0, 0])
    draw[:, 1], draw[:, 2] = 0, torch.tensor([0, 0, 0.999, 0.999])
    h, w = 1 + (draw[0] * height).long(), 1 + (draw[1] * width).long()
    params = centre(size, torch.full((count,), height), torch.full((count,), width), 1.0)
    top, left = (draw[2] * (height - h + 1)).long(), (draw[3] * (width - w + 1)).long()
    return replace(params, top=top, left=left, height=h, width=w, flip=torch.arange(count) % 2 == 1)


def by_torchvision(images: Tensor, params: ViewParams) -> Tensor:
    peak = torch.iinfo(images.dtype).max
    out = []
    for i in range(len(params)):
        box = (int(params.top[i]), int(params.left[i]), int(params.height[i]), int(params.width[i]))
        x = tv.resized_crop(images[i].float() / peak, *box, size=[params.size, params.size], antialias=True)
        out.append(tv.horizontal_flip(x) if params.flip[i] else x)
    return torch.stack(out)


def noise(channels: int, height: int, width: int, dtype: torch.dtype = torch.uint8, count: int = 40) -> Tensor:
    values = torch.randint(0, torch.iinfo(dtype).max + 1, (count, channels, height, width), generator=torch.Generator().manual_seed(0))
    return values.to(dtype)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("size", "height", "width"), [(32, 32, 32), (32, 5, 9), (7, 50, 31), (8, 1, 1), (8, 1, 60), (8, 60, 1), (1, 20, 20), (24, 40, 28)]
)
def test_both_ways_are_torchvisions(channels: int, size: int, height: int, width: int) -> None:
    images, params = noise(channels, height, width), boxes(size, height, width)
    expected = by_torchvision(images, params)
    assert (crop_batch(images, params) - expected).abs().max() < TOLERANCE
    assert (crop_each(images, params) - expected).abs().max() < TOLERANCE


def test_a_crop_sees_nothing_beyond_its_border() -> None:
    """White all around a black crop: the smallest leak would show."""
    images = torch.full((40, 1, 32, 32), 255, dtype=torch.uint8)
    params = boxes(32, 32, 32)
    for i in range(40):
        top, left = int(params.top[i]), int(params.left[i])
        images[i, :, top : top + int(params.height[i]), left : left + int(params.width[i])] = 0
    assert crop_batch(images, params).abs().max() == 0
    assert crop_each(images, params).abs().max() == 0


def test_sixteen_bits_are_kept() -> None:
    images = noise(3, 16, 16, torch.uint16)
    images[0], images[1], images[2] = 65535, 32768, 32769
    params = boxes(16, 16, 16)
    for crops in (crop_batch(images, params), crop_each(images, params)):
        assert (crops - by_torchvision(images, params)).abs().max() < TOLERANCE
        assert crops[0].amin() == pytest.approx(1, abs=TOLERANCE)
        assert float((crops[2] - crops[1]).mean()) == pytest.approx(1 / 65535, rel=0.02)


def test_the_whole_image_at_its_own_size_is_itself() -> None:
    images = noise(3, 32, 32)
    params = centre(32, torch.full((40,), 32), torch.full((40,), 32), 1.0)
    assert (crop_batch(images, params) - images / 255).abs().max() < 1e-7
