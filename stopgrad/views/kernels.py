"""The operations of a view on a CPU, compiled by Numba: the same as crop.py's and ops.py's, on one image that stays in the cache.

A view is worked on lying on its side, x (C, S, S) with columns before rows: both passes of the crop then run along contiguous memory, and
nothing between crop and writing can tell. Inner loops run over whole slices from 0, which is what LLVM turns into vector instructions.
"""

import math
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

Function = TypeVar("Function", bound=Callable[..., Any])
Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8] | NDArray[np.uint16]

Scratch = tuple[NDArray[np.int64], Floats, Floats, Floats]
"""First pixel (S,) and weights (S, taps) of the outputs; lines (BLOCK, W); the crop's columns on their side (C, W, S)."""

F = np.float32
BLOCK = 16
"""Lines that are turned on their side at a time: a cache line of float32."""
QUAD = 4
"""Taps of the blur that are summed at a time."""
UNSEEN = 1e-9
"""Weight of a tap that no float32 sum of values up to 1 can show."""
FASTMATH = {"nnan", "ninf", "nsz", "reassoc", "contract", "arcp"}
"""Sums may be reordered, as torch's are; nothing here is infinite or not a number."""


def compiled(function: Function) -> Function:
    """Compile ``function`` when it is first called, and keep the result on disk where there is a place for it."""
    options = {"nogil": True, "fastmath": FASTMATH, "error_model": "numpy"}
    try:
        made: Function = njit(cache=True, **options)(function)
    except RuntimeError:  # nowhere to write: neither beside this file nor in the user's cache
        made = njit(**options)(function)
    return made


@compiled
def crop(
    buffer: Pixels, start: int, shape: tuple[int, int], box: tuple[int, int, int, int], flip: bool, unit: np.float32, scratch: Scratch, x: Floats
) -> None:
    """Cut ``box`` (top, left, height, width) out of the image of ``shape`` (H, W) at ``start``; resize it into x, antialiased, times ``unit``."""
    taps, weights, lines, turned = scratch
    top, left, height, width = box
    channels, size, _ = x.shape
    _taps(height, size, False, taps, weights)
    weights *= unit
    for c in range(channels):
        for block in range(0, size, BLOCK):
            many = min(BLOCK, size - block)
            for b in range(many):
                i = block + b
                _row(buffer, start + (c * shape[0] + top + taps[i]) * shape[1] + left, shape[1], weights[i], lines[b][:width])
            for k in range(width):
                to = turned[c, k, block : block + many]
                for b in range(many):
                    to[b] = lines[b, k]
    _taps(width, size, flip, taps, weights)
    for c in range(channels):
        plane = turned[c].reshape(-1)
        for i in range(size):
            _row(plane, taps[i] * size, size, weights[i], x[c, i])


@compiled
def _taps(length: int, size: int, mirrored: bool, first: NDArray[np.int64], weights: Floats) -> None:
    """Of each of ``size`` outputs made from ``length`` pixels, the first pixel and the weights, 0 after the last: torch's antialiased triangle."""
    scale = F(length) / F(size)
    reach = max(scale, F(1))
    for i in range(size):
        centre = scale * (F(size - 1 - i if mirrored else i) + F(0.5))
        low = max(0, math.floor(centre - reach + F(0.5)))
        high = min(length, math.floor(centre + reach + F(0.5)))
        total = F(0)
        for t in range(weights.shape[1]):
            weight = max(F(0), F(1) - abs(F(low + t) + F(0.5) - centre) / reach) if low + t < high else F(0)
            weights[i, t] = weight
            total += weight
        for t in range(high - low):
            weights[i, t] /= total
        first[i] = low


@compiled
def _row(source: Any, start: int, stride: int, weights: Floats, to: Floats) -> None:
    """Sum lines of ``source``, ``stride`` apart from ``start`` on, with ``weights``; a line whose weight is 0 may lie outside and is not touched."""
    n = len(to)
    w0, w1, w2 = weights[0], weights[1], weights[2]
    second = start + stride if w1 != 0 else start
    a, b = source[start : start + n], source[second : second + n]
    if w2 == 0:
        for k in range(n):
            to[k] = w0 * F(a[k]) + w1 * F(b[k])
        return
    c = source[start + 2 * stride : start + 2 * stride + n]
    for k in range(n):
        to[k] = w0 * F(a[k]) + w1 * F(b[k]) + w2 * F(c[k])
    for t in range(3, len(weights)):
        w = weights[t]
        if w == 0:
            return
        a = source[start + t * stride : start + t * stride + n]
        for k in range(n):
            to[k] += w * F(a[k])


@compiled
def blend(x: Floats, factor: np.float32, of_grey: np.float32, of_mean: np.float32, luma: Floats, grey: Floats) -> None:
    """factor x + of_grey grey(x) + of_mean mean(grey(x)), clamped to 0..1; x (C, P), ``grey`` (P,) is overwritten."""
    rest = F(0)
    if of_grey != 0 or of_mean != 0:
        greyscale(x, luma, grey)
    if of_mean != 0:
        total = F(0)
        for i in range(len(grey)):
            total += grey[i]
        rest = of_mean * total / F(len(grey))
    for c in range(len(x)):
        plane = x[c]
        if of_grey != 0:
            for i in range(len(plane)):
                plane[i] = min(max(factor * plane[i] + of_grey * grey[i] + rest, F(0)), F(1))
        else:
            for i in range(len(plane)):
                plane[i] = min(max(factor * plane[i] + rest, F(0)), F(1))


@compiled
def greyscale(x: Floats, luma: Floats, grey: Floats) -> None:
    """Write the weighted mean of the channels of x (C, P) to ``grey`` (P,)."""
    plane, w = x[0], luma[0]
    for i in range(len(grey)):
        grey[i] = w * plane[i]
    for c in range(1, len(x)):
        plane, w = x[c], luma[c]
        for i in range(len(grey)):
            grey[i] += w * plane[i]


@compiled
def hue(x: Floats, shift: np.float32) -> None:
    """Turn the hue of x (3, P) by ``shift`` turns; the derivation is at ``ops.hue``."""
    reds, greens, blues = x[0], x[1], x[2]
    sixth, third, six = F(1 / 6), F(1 / 3), F(6)
    for i in range(len(reds)):
        red, green, blue = reds[i], greens[i], blues[i]
        low = min(min(green, blue), red)
        chroma = max(max(green, blue), red) - low
        h = sixth + sixth * (green + blue - red - low) / max(chroma, F(1e-12))
        h = (h if green >= blue else -h) + shift
        h -= F(math.floor(h + F(0.5)))
        floor = low - chroma
        reds[i] = floor + F(3) * chroma - six * chroma * min(max(abs(h), sixth), third)
        greens[i] = floor + six * chroma * min(max(abs(h + sixth), sixth), third)
        blues[i] = floor + six * chroma * min(max(abs(h - sixth), sixth), third)


@compiled
def blur(x: Floats, sigma: np.float32, kernel: Floats, lines: Floats) -> None:
    """Blur x (C, S, S) as ``ops.gaussian_blur``; ``lines`` (S, S + 2 reach) and ``kernel`` are overwritten, with the reach ``blur_reach(S)``."""
    size = x.shape[1]
    reach = (lines.shape[1] - size) // 2
    _gauss(sigma, min(max(3, (size // 10) | 1) // 2, size - 1), kernel)
    for c in range(len(x)):
        plane = x[c]
        for i in range(size):
            to = lines[i, reach : reach + size]
            _scaled(plane[i], kernel[0], to)
            for t in range(1, reach, QUAD):
                if kernel[t] > UNSEEN:
                    _add_quad(plane, i, t, kernel, to)
            for j in range(1, min(reach, size - 1) + 1):
                lines[i, reach - j] = to[j]
                lines[i, reach + size - 1 + j] = to[size - 1 - j]
        for i in range(size):
            _scaled(lines[i, reach : reach + size], kernel[0], plane[i])
            for t in range(1, reach, QUAD):
                if kernel[t] > UNSEEN:
                    _add_quad_along(lines[i], reach, t, kernel, plane[i])


def blur_reach(size: int) -> int:
    """Return how far the blur of a view of ``size`` looks, in whole quads of taps."""
    radius = min(max(3, (size // 10) | 1) // 2, size - 1)
    return -(-radius // QUAD) * QUAD


@compiled
def _gauss(sigma: np.float32, radius: int, kernel: Floats) -> None:
    """Write half of a Gaussian kernel, from its middle; 0 beyond ``radius``."""
    total = F(0)
    for t in range(len(kernel)):
        kernel[t] = F(math.exp(-0.5 * (t / sigma) ** 2)) if t <= radius else F(0)
        total += kernel[t] if t == 0 else 2 * kernel[t]
    for t in range(len(kernel)):
        kernel[t] /= total


@compiled
def _scaled(source: Floats, factor: np.float32, to: Floats) -> None:
    for j in range(len(to)):
        to[j] = factor * source[j]


@compiled
def _add_quad(plane: Floats, i: int, t: int, kernel: Floats, to: Floats) -> None:
    """Add the lines t to t + 3 before and after line i, mirrored at the border."""
    last = len(plane) - 1
    w1, w2, w3, w4 = kernel[t], kernel[t + 1], kernel[t + 2], kernel[t + 3]
    a1, a2, a3, a4 = plane[_near(i - t, last)], plane[_near(i - t - 1, last)], plane[_near(i - t - 2, last)], plane[_near(i - t - 3, last)]
    b1, b2, b3, b4 = plane[_near(i + t, last)], plane[_near(i + t + 1, last)], plane[_near(i + t + 2, last)], plane[_near(i + t + 3, last)]
    for j in range(len(to)):
        to[j] += (w1 * (a1[j] + b1[j]) + w2 * (a2[j] + b2[j])) + (w3 * (a3[j] + b3[j]) + w4 * (a4[j] + b4[j]))


@compiled
def _add_quad_along(line: Floats, reach: int, t: int, kernel: Floats, to: Floats) -> None:
    """Add what lies t to t + 3 before and after each place of a mirrored line."""
    w1, w2, w3, w4 = kernel[t], kernel[t + 1], kernel[t + 2], kernel[t + 3]
    a1, a2, a3, a4 = line[reach - t :], line[reach - t - 1 :], line[reach - t - 2 :], line[reach - t - 3 :]
    b1, b2, b3, b4 = line[reach + t :], line[reach + t + 1 :], line[reach + t + 2 :], line[reach + t + 3 :]
    for j in range(len(to)):
        to[j] += (w1 * (a1[j] + b1[j]) + w2 * (a2[j] + b2[j])) + (w3 * (a3[j] + b3[j]) + w4 * (a4[j] + b4[j]))


@compiled
def _near(i: int, last: int) -> int:
    """Return ``i`` mirrored into 0..last; what is too far for one mirroring has no weight, any line will do."""
    i = abs(i)
    return max(2 * last - i if i > last else i, 0)


@compiled
def write(x: Floats, mean: Floats, inverse: Floats, to: Floats) -> None:
    """Turn x (C, S, S) upright and normalised into ``to`` (S, S, C)."""
    channels, size, _ = x.shape
    for block in range(0, size, BLOCK):
        many = min(BLOCK, size - block)
        for i in range(size):
            for c in range(channels):
                centre, factor = mean[c], inverse[c]
                source, lines = x[c, i, block : block + many], to[block : block + many, i, c]
                for j in range(many):
                    lines[j] = (source[j] - centre) * factor
