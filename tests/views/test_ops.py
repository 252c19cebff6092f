"""The colour operations against torchvision.transforms.v2.functional on the same parameters, image by image."""

from collections.abc import Callable
from itertools import permutations

import pytest
import torch
import torchvision.transforms.v2.functional as tv
from torch import Tensor

from stopgrad.views import ops

TOLERANCE = 2e-6


def images(channels: int, side: int = 16) -> Tensor:
    """Noise, smooth noise, and what is awkward: black, white, one grey, two equal channels, pure colours, nearly grey, nearly black."""
    x = torch.rand(24, channels, side, side, generator=torch.Generator().manual_seed(channels))
    x[8:12] = torch.nn.functional.avg_pool2d(x[8:12], 5, stride=1, padding=2)
    x[12], x[13], x[14] = 0, 1, 0.3
    x[15] = (x[15] > 0.5).float()
    if channels == 3:
        x[16, 1], x[17, 2], x[18, 2] = x[16, 0], x[17, 0], x[18, 1]
    x[19] = 0.5 + 1e-4 * x[19]
    x[20] *= 1e-5
    return x


def factors(count: int, low: float, high: float) -> Tensor:
    values = torch.linspace(low, high, count)
    return values[torch.randperm(count, generator=torch.Generator().manual_seed(0))]


def each(x: Tensor, op: Callable[[Tensor, float], Tensor], values: Tensor) -> Tensor:
    return torch.stack([op(image, value) for image, value in zip(x, values.tolist(), strict=True)])


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("ours", "theirs", "low", "high"),
    [
        (ops.brightness, tv.adjust_brightness, 0, 2.5),
        (ops.contrast, tv.adjust_contrast, 0, 2.5),
        (ops.saturation, tv.adjust_saturation, 0, 2.5),
        (ops.hue, tv.adjust_hue, -0.5, 0.5),
    ],
)
def test_an_adjustment_is_torchvisions(
    ours: Callable[[Tensor, Tensor], Tensor], theirs: Callable[[Tensor, float], Tensor], low: float, high: float, channels: int
) -> None:
    x, values = images(channels), factors(24, low, high)
    before = x.clone()
    assert (ours(x, values) - each(x, theirs, values)).abs().max() < TOLERANCE
    assert torch.equal(x, before)


@pytest.mark.parametrize("shift", [-0.5, -1 / 3, -0.1, 0.0, 1 / 6, 0.5])
def test_hue_is_torchvisions_on_every_colour_of_a_grid(shift: float) -> None:
    level = torch.linspace(0, 1, 24)
    x = torch.stack(torch.meshgrid(level, level, level, indexing="ij")).reshape(1, 3, 24, 24 * 24)
    assert (ops.hue(x, torch.tensor([shift]))[0] - tv.adjust_hue(x[0], shift)).abs().max() < TOLERANCE


@pytest.mark.parametrize("channels", [1, 3])
def test_the_jitter_in_all_24_orders_is_torchvisions_one_after_the_other(channels: int) -> None:
    x, order = images(channels), torch.tensor(list(permutations(range(4))))
    values = torch.stack([factors(24, *limits) for limits in ((0.6, 1.4), (0.5, 1.5), (0.2, 1.8), (-0.2, 0.2))], dim=1)
    adjust = (tv.adjust_brightness, tv.adjust_contrast, tv.adjust_saturation, tv.adjust_hue)
    expected = x.clone()
    for i in range(24):
        for op in order[i].tolist():
            expected[i] = adjust[op](expected[i], float(values[i, op]))
    assert (ops.jitter(x, order, values) - expected).abs().max() < 4 * TOLERANCE


@pytest.mark.parametrize("channels", [1, 3])
def test_greyscale_and_solarise_are_torchvisions(channels: int) -> None:
    x = images(channels)
    grey = torch.stack([tv.rgb_to_grayscale(image, num_output_channels=channels) for image in x])
    assert (ops.greyscale(x) - grey).abs().max() < TOLERANCE
    assert torch.equal(ops.solarise(x), torch.stack([tv.solarize(image, threshold=0.5) for image in x]))


@pytest.mark.parametrize(("side", "kernel"), [(224, 23), (96, 9), (64, 7), (32, 3), (4, 3), (2, 3)])
def test_the_blur_is_torchvisions_with_a_kernel_of_a_tenth_of_the_side(side: int, kernel: int) -> None:
    x = torch.rand(4, 3, side, side, generator=torch.Generator().manual_seed(side))
    sigma = torch.tensor([0.1, 0.7, 1.3, 2.0])
    expected = each(x, lambda image, s: tv.gaussian_blur(image, kernel_size=[kernel, kernel], sigma=[s, s]), sigma)
    assert (ops.gaussian_blur(x, sigma) - expected).abs().max() < TOLERANCE


def test_the_blur_of_one_pixel_is_that_pixel() -> None:
    x = torch.rand(2, 3, 1, 1)
    assert torch.equal(ops.gaussian_blur(x, torch.tensor([0.1, 2.0])), x)


def test_normalise_is_torchvisions_and_takes_one_value_for_all_channels() -> None:
    x, mean, std = images(3), (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
    assert (ops.normalise(x, mean, std) - tv.normalize(x, list(mean), list(std))).abs().max() < TOLERANCE
    out = torch.empty_like(x)
    assert ops.normalise(x, (0.5,), (0.25,), out=out) is out
    assert (out - (x - 0.5) / 0.25).abs().max() < TOLERANCE


@pytest.mark.parametrize("channels", [2, 5])
def test_on_other_channels_grey_is_their_mean_and_hue_does_nothing(channels: int) -> None:
    x, half = images(channels), torch.full((24,), 0.5)
    mean = x.mean(1, keepdim=True)
    assert (ops.greyscale(x) - mean).abs().max() < TOLERANCE
    assert (ops.saturation(x, half) - (x + mean) / 2).abs().max() < TOLERANCE
    assert (ops.contrast(x, half) - (x + mean.mean((2, 3), keepdim=True)) / 2).abs().max() < TOLERANCE
    assert (ops.brightness(x, half) - x / 2).abs().max() < TOLERANCE
    assert torch.equal(ops.hue(x, half), x)
