"""The operations of a view on its pixels, batched: every image has its own parameters.

x is (N, C, H, W) float, 0..1; factors and masks are (N,). Nothing is changed in place. On 1 and 3 channels each operation is
torchvision.transforms.v2.functional's of the same name, to 2e-6. On any other number of channels C "grey" means the mean of the
channels, and hue does nothing. On 1 channel saturation, hue and greyscale do nothing, as in torchvision.

What is avoided here (where, ==, remainder, aminmax) is what torch does not vectorise on CPUs.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from stopgrad.views.sample import CONTRAST, HUE, SATURATION

LUMA = (0.2989, 0.587, 0.114)
"""Weights of red, green and blue in grey (ITU-R 601-2), rounded as torchvision has them."""


def brightness(x: Tensor, factor: Tensor) -> Tensor:
    """Multiply by ``factor`` (0 or more) and clamp to 0..1: a blend with black."""
    return (x * _column(factor)).clamp_(0, 1)


def contrast(x: Tensor, factor: Tensor) -> Tensor:
    """Blend with the mean of the grey image, 1: unchanged, 0: all the mean; clamped to 0..1."""
    return _blend(x, factor, torch.zeros_like(factor), 1 - factor)


def saturation(x: Tensor, factor: Tensor) -> Tensor:
    """Blend with the grey image, 1: unchanged, 0: all grey; clamped to 0..1."""
    return x if x.shape[1] == 1 else _blend(x, factor, 1 - factor, torch.zeros_like(factor))


def hue(x: Tensor, shift: Tensor) -> Tensor:
    """Turn the hue of HSV by ``shift`` (-0.5..0.5 turns) and leave S and V. Without 3 channels: unchanged.

    With low and high the smallest and the largest channel and chroma = high - low, the hue h (in turns, -1/2..1/2, red at 0) obeys
    6 |h| = 1 + (g + b - r - low) / chroma and has the sign of g - b; and each channel is a clamped distance on the circle:
    r = high - chroma (6 |h| - 1), g = low + chroma (6 |h + 1/6| - 1), b = low + chroma (6 |h - 1/6| - 1), brackets clamped to 0..1.
    """
    if x.shape[1] != 3:
        return x
    red, green, blue = x.unbind(1)
    low, high = torch.minimum(green, blue), torch.maximum(green, blue)
    torch.minimum(low, red, out=low)
    torch.maximum(high, red, out=high)
    chroma = high.sub_(low)
    h = (green + blue).sub_(red).sub_(low)
    h = torch.addcdiv(h.new_full((), 1 / 6), h, chroma.clamp_min(1e-12), value=1 / 6).copysign_(green - blue)
    h.add_(shift.view(-1, 1, 1))
    h.sub_(h.round())
    out = torch.empty_like(x)
    floor = low - chroma  # the -1 of the brackets, so that each clamp is one pass
    torch.addcmul(floor, chroma, (h + 1 / 6).abs_().clamp_(1 / 6, 1 / 3), value=6, out=out[:, 1])
    torch.addcmul(floor, chroma, (h - 1 / 6).abs_().clamp_(1 / 6, 1 / 3), value=6, out=out[:, 2])
    torch.addcmul(floor.add_(chroma, alpha=3), chroma, h.abs_().clamp_(1 / 6, 1 / 3), value=-6, out=out[:, 0])
    return out


def jitter(x: Tensor, order: Tensor, factors: Tensor) -> Tensor:
    """Apply brightness, contrast, saturation and hue, in every image's own ``order``.

    ``order`` (N, 4) int64 and ``factors`` (N, 4) as in ViewParams. Three of the four operations are the same blend with different
    weights, so their order is data; every place computes both that and hue, and selects: no shape depends on what was drawn.
    """
    factor = factors.gather(1, order)  # (N, 4), column: place
    of_grey, of_mean = (1 - factor) * (order == SATURATION), (1 - factor) * (order == CONTRAST)
    for place in range(4):
        blended = _blend(x, factor[:, place], of_grey[:, place], of_mean[:, place])
        x = select(order[:, place] == HUE, hue(x, factor[:, place]), blended)
    return x


def greyscale(x: Tensor) -> Tensor:
    """Put the grey image into every channel."""
    return x if x.shape[1] == 1 else _grey(x)[:, None].expand_as(x)


def gaussian_blur(x: Tensor, sigma: Tensor) -> Tensor:
    """Blur with an odd kernel of about a tenth of the side (SimCLR, App. A: 23 at 224) and at least 3, mirrored at the border.

    ``sigma`` (N,) above 0, pixels. x is square; a single pixel is returned as it is.
    """
    side = x.shape[-1]
    radius = blur_radius(side)
    taps = torch.arange(-radius, radius + 1, device=x.device)
    weights = torch.exp(-0.5 * (taps / sigma[:, None]) ** 2)
    weights = weights / weights.sum(1, keepdim=True)  # (N, taps)
    wide = F.pad(x, (radius, radius, 0, 0), mode="reflect")
    x = _weighted_sum([wide[..., i : i + side] for i in range(len(taps))], weights)
    high = F.pad(x, (0, 0, radius, radius), mode="reflect")
    return _weighted_sum([high[..., i : i + side, :] for i in range(len(taps))], weights)


def blur_radius(side: int) -> int:
    """Return how far from a pixel the blur of a view of ``side`` looks."""
    return min(max(3, side // 10 | 1) // 2, side - 1)


def solarise(x: Tensor) -> Tensor:
    """Invert the values at or above one half: x or 1 - x, whichever is smaller."""
    return torch.minimum(x, 1 - x)


def sobel(x: Tensor) -> Tensor:
    """Put the length of the grey image's gradient into every channel: by Sobel's kernels, the border repeated, 1 where black borders on white."""
    grey = F.pad(_grey(x)[:, None], (1, 1, 1, 1), mode="replicate")
    rows, columns = (grey[:, :, :-2] + 2 * grey[:, :, 1:-1] + grey[:, :, 2:]), (grey[..., :-2] + 2 * grey[..., 1:-1] + grey[..., 2:])
    across, down = rows[..., 2:] - rows[..., :-2], columns[:, :, 2:] - columns[:, :, :-2]
    return (across * across + down * down).sqrt_().div_(4).clamp_(max=1).expand_as(x)


def noise(x: Tensor, sigma: Tensor, seed: Tensor) -> Tensor:
    """Add Gaussian noise of standard deviation ``sigma`` (N,) to every value by itself, clamped to 0..1.

    A value's noise is a function of its image's ``seed`` (N,) int64, 0 to 2**53 - 1, and of its place (channel, row, column), whatever is beside
    it: the same on every device, to the rounding of an inverse error function.
    """
    place = torch.arange(x[0].numel(), device=x.device)
    bits = _mixed(_mixed(place ^ (seed & _WORD)[:, None]) ^ (seed >> 32)[:, None]) >> 8  # 24, as many as float32 tells apart
    even = (2 * bits + (1 - 2**24)).float() / 2**24  # odd multiples of 2**-24 within (-1, 1)
    return torch.addcmul(x, _column(sigma * math.sqrt(2)), even.erfinv_().view_as(x)).clamp_(0, 1)


_WORD = 2**32 - 1


def _mixed(word: Tensor) -> Tensor:
    """Return a word of 32 bits for each, in int64: a permutation of all in which every bit depends on every bit."""
    for shift, factor in ((16, 0x21F0AAAD), (15, 0x735A2D97)):  # below 2**31, so that no product leaves int64
        word = (word ^ (word >> shift)) * factor & _WORD
    return word ^ (word >> 15)


def cut_out(x: Tensor, square: Tensor) -> Tensor:
    """Put 0 into a square of each image, (N, 4): top, bottom, left and right, the lower and right ends not in it; in ``x`` itself."""
    places = torch.arange(x.shape[-1], device=x.device)
    top, bottom, left, right = square[:, :, None].unbind(1)  # (N, 1)
    rows, columns = (places >= top) & (places < bottom), (places >= left) & (places < right)
    return x.masked_fill_((rows[:, :, None] & columns[:, None])[:, None], 0.0)


def normalise(x: Tensor, mean: Sequence[float], std: Sequence[float], out: Tensor | None = None) -> Tensor:
    """Subtract ``mean`` and divide by ``std``, each of length 1 or C; into ``out`` when given."""
    centre, scale = (torch.tensor(values).to(x.device, non_blocking=True).view(-1, 1, 1) for values in (mean, [1 / s for s in std]))
    return torch.sub(x, centre, out=out).mul_(scale)


def select(mask: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    """Take each image from ``yes`` where ``mask`` (N,) holds, else from ``no``."""
    return torch.where(_column(mask), yes, no)


def _blend(x: Tensor, factor: Tensor, of_grey: Tensor, of_mean: Tensor) -> Tensor:
    """factor x + of_grey grey(x) + of_mean mean(grey(x)), clamped to 0..1; the weights are (N,)."""
    grey = _grey(x)[:, None]  # (N, 1, H, W)
    mean = grey.mean((1, 2, 3), keepdim=True)
    rest = grey.mul_(_column(of_grey)).add_(mean.mul_(_column(of_mean)))
    return torch.addcmul(rest, x, _column(factor)).clamp_(0, 1)


def _grey(x: Tensor) -> Tensor:
    """(N, H, W), new memory."""
    if x.shape[1] != 3:
        return x.mean(1)
    red, green, blue = x.unbind(1)
    return (red * LUMA[0]).add_(green, alpha=LUMA[1]).add_(blue, alpha=LUMA[2])


def _weighted_sum(parts: Sequence[Tensor], weights: Tensor) -> Tensor:
    first, *rest = weights.view(len(weights), len(parts), 1, 1, 1).unbind(1)
    total = parts[0] * first
    for part, weight in zip(parts[1:], rest, strict=True):
        total.addcmul_(part, weight)
    return total


def _column(values: Tensor) -> Tensor:
    return values.view(-1, 1, 1, 1)
