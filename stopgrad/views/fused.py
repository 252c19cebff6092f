"""Views on a CPU: every image goes through all its operations while it lies in the cache. The same views as render.py makes with torch."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from stopgrad.views.kernels import BLOCK, Floats, Pixels, blend, blur, blur_reach, compiled, crop, greyscale, hue, write
from stopgrad.views.ops import LUMA
from stopgrad.views.sample import BRIGHTNESS, CONTRAST, HUE, SATURATION, ViewParams

if TYPE_CHECKING:
    from stopgrad.images.pool import Pool

Places = np.ndarray
"""(N, 7) int64: where the image begins in the buffer, its height and width; top, left, height and width of the crop."""


def render_fused(pool: "Pool", rows: Tensor, params: ViewParams, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Return (N, C, S, S) float32, channels last: as ``render``, by as many threads as torch has; each view is a function of its own row."""
    channels, size = pool.channels, params.size
    buffer = pool.buffer.numpy()
    where = (pool.offsets[rows], pool.heights[rows], pool.widths[rows], params.top, params.left, params.height, params.width)
    places = torch.stack(where, 1).numpy()
    asked = torch.stack((params.flip, params.jitter, params.grey, params.solarise), 1).numpy()
    order, factors, sigma = params.order.contiguous().numpy(), params.factors.contiguous().numpy(), params.sigma.numpy()
    luma = np.array(LUMA if channels == 3 else [1 / channels] * channels, np.float32)
    centre, inverse = (np.broadcast_to(np.array(v, np.float32), channels).copy() for v in (mean, [1 / s for s in std]))
    views = np.empty((len(rows), size, size, channels), np.float32)

    def some(part: slice) -> None:
        _render(buffer, places[part], asked[part], order[part], factors[part], sigma[part], blur_reach(size), luma, centre, inverse, views[part])

    share = -(-len(rows) // torch.get_num_threads())
    parts = [slice(i, i + share) for i in range(0, len(rows), max(share, 1))]
    if len(parts) == 1:
        some(parts[0])
    elif parts:
        with ThreadPoolExecutor(len(parts)) as threads:
            list(threads.map(some, parts))
    return torch.from_numpy(views).permute(0, 3, 1, 2)


@compiled
def _render(
    buffer: Pixels,
    places: Places,
    asked: np.ndarray,
    order: np.ndarray,
    factors: Floats,
    sigma: Floats,
    reach: int,
    luma: Floats,
    centre: Floats,
    inverse: Floats,
    views: Floats,
) -> None:
    """Make ``views`` (N, S, S, C); ``asked`` (N, 4) bool: flip, jitter, grey, solarise."""
    size, channels = views.shape[1], views.shape[3]
    widest, tallest = places[:, 6].max(), places[:, 5].max()
    taps = 2 * max(widest, tallest) // size + 4  # an open interval of twice the reach, which is the scale or 1, and three at least
    scratch = (
        np.empty(size, np.int64),
        np.empty((size, taps), np.float32),
        np.empty((BLOCK, widest), np.float32),
        np.empty((channels, widest, size), np.float32),
    )
    lines = np.zeros((size, size + 2 * reach), np.float32)
    kernel, grey = np.empty(reach + 1, np.float32), np.empty(size * size, np.float32)
    x = np.empty((channels, size, size), np.float32)
    flat = x.reshape(channels, size * size)
    unit = np.float32(1 / 255) if buffer.itemsize == 1 else np.float32(1 / 65535)
    for n in range(len(views)):
        start, height, width = places[n, 0], places[n, 1], places[n, 2]
        box = (places[n, 3], places[n, 4], places[n, 5], places[n, 6])
        crop(buffer, start, (height, width), box, asked[n, 0], unit, scratch, x)
        if asked[n, 1]:
            _jitter(flat, order[n], factors[n], luma, grey)
        if asked[n, 2] and channels > 1:
            greyscale(flat, luma, grey)
            for c in range(channels):
                flat[c] = grey
        if sigma[n] > 0:
            blur(x, sigma[n], kernel, lines)
        if asked[n, 3]:
            for c in range(channels):
                plane = flat[c]
                for i in range(len(plane)):
                    plane[i] = min(plane[i], np.float32(1) - plane[i])
        write(x, centre, inverse, views[n])


@compiled
def _jitter(x: Floats, order: np.ndarray, factors: Floats, luma: Floats, grey: Floats) -> None:
    """The colour jitter of x (C, P), in its order."""
    one, none = np.float32(1), np.float32(0)
    for operation in order:
        factor = factors[operation]
        if operation == BRIGHTNESS:
            blend(x, factor, none, none, luma, grey)
        elif operation == CONTRAST:
            blend(x, factor, none, one - factor, luma, grey)
        elif operation == SATURATION and len(x) > 1:
            blend(x, factor, one - factor, none, luma, grey)
        elif operation == HUE and len(x) == 3:
            hue(x, factor)
