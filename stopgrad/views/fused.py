"""Views on a CPU: kernels.c, compiled when the package was built, renders them image by image. The same views as render.py makes with torch."""

import ctypes
import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stopgrad.errors import UserError
from stopgrad.views.ops import LUMA, blur_radius
from stopgrad.views.sample import ViewParams

if TYPE_CHECKING:
    from stopgrad.images.pool import Pool

ARRAYS = ("places", "asked", "order", "factors", "gauss", "luma", "centre", "inverse", "views")
NUMBERS = ("count", "channels", "size", "reach", "deep")


class _Work(ctypes.Structure):
    """``Work`` of kernels.c."""

    _fields_ = [(name, ctypes.c_void_p) for name in ("buffer", *ARRAYS)] + [(name, ctypes.c_int64) for name in NUMBERS]


def render_fused(pool: "Pool", rows: Tensor, params: ViewParams, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Return (N, C, S, S) float32, channels last: as ``render``, by as many threads as torch has; each view is a function of its own row.

    Raises UserError when the package was not built, and MemoryError.
    """
    channels, size = pool.channels, params.size
    where = (pool.offsets[rows], pool.heights[rows], pool.widths[rows], params.top, params.left, params.height, params.width)
    a_view = {
        "places": torch.stack(where, 1).numpy(),
        "asked": torch.stack((params.flip, params.jitter, params.grey, params.sigma > 0, params.solarise), 1).numpy(),
        "order": params.order.contiguous().numpy(),
        "factors": params.factors.contiguous().numpy(),
        "gauss": half_kernels(params.sigma.numpy(), blur_radius(size)),
        "views": np.empty((len(rows), size, size, channels), np.float32),
    }
    a_channel = {
        "luma": np.array(LUMA if channels == 3 else [1 / channels] * channels, np.float32),
        "centre": np.resize(np.array(mean, np.float32), channels),
        "inverse": np.resize(np.array([1 / s for s in std], np.float32), channels),
    }
    numbers = {"channels": channels, "size": size, "reach": a_view["gauss"].shape[1] - 1, "deep": int(pool.dtype == torch.uint16)}

    def some(part: slice) -> None:
        arrays = {name: array[part] for name, array in a_view.items()} | a_channel
        work = _Work(pool.buffer.data_ptr(), **{n: a.ctypes.data for n, a in arrays.items()}, count=len(arrays["views"]), **numbers)
        if kernels().render(ctypes.byref(work)):
            raise MemoryError("no memory to render views in")

    share = max(1, -(-len(rows) // torch.get_num_threads()))
    parts = [slice(i, i + share) for i in range(0, len(rows), share)]
    if len(parts) > 1:
        with ThreadPoolExecutor(len(parts)) as threads:
            list(threads.map(some, parts))
    elif parts:
        some(parts[0])
    return torch.from_numpy(a_view["views"]).permute(0, 3, 1, 2)


def half_kernels(sigma: NDArray[np.float32], radius: int, quad: int = 4) -> NDArray[np.float32]:
    """Return (N, reach + 1), half of each Gaussian from its middle, 0 beyond the radius; the reach is the radius in whole quads."""
    taps = np.arange(-(-radius // quad) * quad + 1)
    half = np.exp(-0.5 * (taps / np.maximum(sigma, 1e-3)[:, None]) ** 2) * (taps <= radius)
    return np.ascontiguousarray(half / (2 * half.sum(1, keepdims=True) - 1), np.float32)


@cache
def kernels() -> ctypes.CDLL:
    """Return the library for this processor. Raises UserError when there is none, or only one of another source."""
    here = Path(__file__).parent
    kind = torch.backends.cpu.get_cpu_capability().lower()
    path = next((p for p in (here / f"kernels-{kind}.so", here / "kernels-default.so") if p.exists()), None)
    if path is None:
        raise UserError(f"{here}: the package was not built, its compiled part is missing; install it (make, or pip install .)")
    library = ctypes.CDLL(str(path))
    library.source.restype = ctypes.c_char_p
    if library.source().decode() != hashlib.sha256((here / "kernels.c").read_bytes()).hexdigest():
        raise UserError(f"{path}: was compiled from another kernels.c than lies beside it; build the package again (make, or pip install .)")
    return library
