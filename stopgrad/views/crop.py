"""Crop, resize and flip, antialiased exactly as torch's interpolate(mode="bilinear", antialias=True) on the crop alone.

Output i of n, made from a crop of m pixels, is the mean of the crop's pixels under a triangle that is centred at (i + 1/2) m/n and
reaches max(m/n, 1) to either side; what reaches across the crop's border is cut off.
"""

import math
from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from stopgrad.views.sample import ViewParams


def crop_batch(images: Tensor, params: ViewParams) -> Tensor:
    """Return (N, C, S, S) float32 in 0..1, the crops of N equal images (N, C, H, W) uint8 or uint16.

    Columns by a matrix product, since every image mixes other columns; rows as weighted sums of a few whole rows.
    """
    count, channels, height, width = images.shape
    size = params.size
    pixels, weights = _taps(params, height, width)
    columns = weights.new_zeros(count, size, width).scatter_add_(2, pixels[1], weights[1] / _peak(images))
    x = torch.bmm(images.float().view(count, channels * height, width), columns.transpose(1, 2))
    first_row = torch.arange(0, count * channels * height, height, dtype=torch.int32, device=x.device).view(count, channels, 1, 1)
    rows = (first_row + pixels[0][:, None].int()).flatten(0, 2)
    row_weights = weights[0][:, None].expand(-1, channels, -1, -1).flatten(0, 2)
    x = F.embedding_bag(rows, x.view(-1, size), mode="sum", per_sample_weights=row_weights)
    return x.view(count, channels, size, size)


def crop_each(images: Iterable[Tensor], params: ViewParams) -> Tensor:
    """Return (N, C, S, S) float32 in 0..1, the crops of N images (C, H, W) uint8 or uint16 of any sizes."""
    boxes = zip(params.top.tolist(), params.left.tolist(), params.height.tolist(), params.width.tolist(), params.flip.tolist(), strict=True)
    crops = []
    for image, (top, left, height, width, flip) in zip(images, boxes, strict=True):
        window = image[None, :, top : top + height, left : left + width].float()
        x = F.interpolate(window, size=(params.size, params.size), mode="bilinear", antialias=True).div_(_peak(image))
        crops.append(x.flip(-1) if flip else x)
    return torch.cat(crops)


def _peak(image: Tensor) -> int:
    return torch.iinfo(image.dtype).max


def _taps(params: ViewParams, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Pixels that make each output, and their weights: (2, N, S, taps) int64 and float32; first of the rows, then of the columns."""
    size = params.size
    start, length = torch.stack((params.top, params.left))[..., None], torch.stack((params.height, params.width))[..., None]  # (2, N, 1)
    scale = length / size
    reach = scale.clamp_min(1)
    output = torch.arange(size, device=start.device) + 0.5
    mirrored = torch.stack((torch.zeros_like(params.flip), params.flip))[..., None]
    centre = scale * torch.where(mirrored, size - output, output)  # (2, N, S), from the start of the crop, as is pixel
    taps = math.ceil(2 * max(height / size, width / size, 1))  # an open interval of length 2 reach holds no more pixel centres
    # The taps come first while computing: torch is slow on a short last dimension.
    pixel = (centre - reach + 0.5).floor_() + torch.arange(taps, device=start.device).view(-1, 1, 1, 1)
    inside = pixel.clamp_min(0).minimum(length - 1.0)
    weights = (pixel + 0.5 - centre).abs_().div_(-reach).add_(1).clamp_min_(0)
    weights.mul_((inside == pixel).float())
    weights.div_(weights.sum(0))
    return (inside.long() + start).movedim(0, 3), weights.movedim(0, 3)
