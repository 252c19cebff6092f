"""Views on a GPU by the kernels of triton_kernels.py: one launch where a view is small and nothing is blurred, at most four else."""

import os
import shutil
import sysconfig
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from stopgrad.sending import send
from stopgrad.views.fused import half_kernels
from stopgrad.views.ops import LUMA, blur_radius
from stopgrad.views.sample import CONTRAST, ViewParams

if TYPE_CHECKING:
    from stopgrad.images.pool import Pool

MOST = 4096
"""Values of a view, padded to powers of two, that one program holds: 32 pixels square in three channels."""
BLOCK = 1024
"""Values of a block of a larger view."""
A_WARP = 128
"""Values that a warp holds, of 4 to 16 warps: with more a thread spills its registers, or too few warps fit a processor (compiled for sm_90)."""


@cache
def has_triton() -> bool:
    """Whether Triton can be used here: it comes with torch on Linux, and compiles what starts its kernels with the system's C compiler and
    Python's headers (python3-dev, where Python is the distribution's)."""
    compiler = "CC" in os.environ or any(map(shutil.which, ("gcc", "clang")))
    return find_spec("triton") is not None and compiler and Path(sysconfig.get_path("include"), "Python.h").exists()


def render_on_gpu(pool: "Pool", rows: Tensor, params: ViewParams, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Return (N, C, S, S) float32, channels last, on the pool's device: as ``render``. Everything is queued, and the GPU not waited for.

    A view is a function of its own row alone, bit for bit. Products and sums are not contracted, so that weights are those of the CPU.
    """
    from stopgrad.views import triton_kernels as kernels  # loads Triton

    count, channels, size = len(rows), pool.channels, params.size
    views = torch.empty((count, channels, size, size), device=pool.device, memory_format=torch.channels_last)
    if not count:
        return views
    numbers, factors, gauss, luma, centre, inverse = send(_tables(pool, rows, params, mean, std), pool.device)
    padded = _power(channels)
    whole = _power(size**2) * padded <= MOST
    block = _power(size**2) if whole else max(BLOCK // padded, 16)
    blocks = -(-(size**2) // block)
    shape = {"C": channels, "CP": padded, "S": size, "BLOCK": block, "num_warps": min(max(block * padded // A_WARP, 4), 16)}
    shape["enable_fp_fusion"] = False
    grid, colours = (count * blocks,), (centre, inverse)
    with torch.cuda.device_of(views):  # type: ignore[no-untyped-call]
        sums = torch.empty((count, blocks), device=pool.device)
        peak = float(torch.iinfo(pool.dtype).max)
        kernels.make[grid](pool.buffer, numbers, factors, luma, *colours, views, sums, PEAK=peak, WHOLE=whole, **shape)
        if not whole:
            kernels.finish[grid](numbers, factors, luma, *colours, views, sums, BLOCKS=_power(blocks), **shape)
        if (params.sigma > 0).any():
            between = torch.empty_like(views)
            for source, to, along in ((views, between, False), (between, views, True)):
                kernels.blur[grid](source, numbers, gauss, *colours, to, RADIUS=blur_radius(size), ALONG=along, **shape)
    return views


def _tables(pool: "Pool", rows: Tensor, params: ViewParams, mean: Sequence[float], std: Sequence[float]) -> list[Tensor]:
    """Return all that the kernels need besides the pixels: numbers (N, NUMBERS), factors (N, 4), half Gaussians (N, radius + 1), and luma, centre and
    inverse of every channel."""
    p, channels = params, pool.channels
    where = (pool.offsets[rows], pool.heights[rows], pool.widths[rows], p.top, p.left, p.height, p.width)
    asked = (p.flip, p.jitter, p.grey, p.sigma > 0, p.solarise, (p.order == CONTRAST).byte().argmax(1))
    numbers = torch.cat((torch.stack([column.long() for column in where + asked], 1), p.order), 1)
    gauss = torch.from_numpy(half_kernels(p.sigma.numpy(), blur_radius(p.size), 1))
    centre, inverse = ((torch.tensor(values) * torch.ones(channels)) for values in (mean, [1 / s for s in std]))
    luma = torch.tensor(LUMA if channels == 3 else [1 / channels] * channels)
    return [numbers, p.factors.contiguous(), gauss, luma, centre, inverse]


def _power(n: int) -> int:
    """Return the smallest power of two that is not below ``n``."""
    return 1 << (n - 1).bit_length()
