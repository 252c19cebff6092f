"""From pixels and parameters to a batch of views. No randomness here: the same pixels and parameters give the same views.

Order of the operations, as in the papers' code: crop and resize, colour jitter, greyscale, blur, solarise, flip, normalise. The flip
is made with the crop, because everything between treats left and right alike.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from stopgrad.views import ops
from stopgrad.views.crop import crop_batch, crop_each
from stopgrad.views.sample import ViewParams

if TYPE_CHECKING:
    from stopgrad.images.pool import Pool


def render(pool: "Pool", rows: Tensor, params: ViewParams, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Return (N, C, S, S) float32 on the pool's device: image ``rows[i]`` of the pool (N, int64) seen through row i of ``params``.

    ``rows`` and ``params`` are on the CPU. ``mean`` and ``std``, of length 1 or C, are of values in 0..1. On a CPU views are made by kernels.c,
    on a GPU by Triton's kernels; where there is no Triton, or no C compiler for it to use, by torch, in some sixty launches.
    """
    if pool.device.type == "cpu":
        from stopgrad.views.fused import render_fused  # each form loads its own kernels

        return render_fused(pool, rows, params, mean, std)
    from stopgrad.views.on_gpu import has_triton, render_on_gpu

    return (render_on_gpu if has_triton() else render_selected)(pool, rows, params, mean, std)


def render_selected(pool: "Pool", rows: Tensor, params: ViewParams, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Render with torch, on any device, with the fewest launches: every operation that any image needs on all images, and a selection.

    No shape depends on what was drawn, and nothing is read back from the device.
    """
    there = params.to(pool.device)
    x = _crop(pool, rows, params, there)
    if params.jitter.any():
        x = ops.select(there.jitter, ops.jitter(x, there.order, there.factors), x)
    for (asked, _, _), (mask, op, columns) in zip(_after_jitter(params), _after_jitter(there), strict=True):
        if asked.any():
            x = ops.select(mask, op(x, *columns), x)
    return ops.normalise(x, mean, std)


def _crop(pool: "Pool", rows: Tensor, params: ViewParams, there: ViewParams) -> Tensor:
    """(N, C, S, S) in 0..1, new memory; ``there``: ``params`` on the pool's device."""
    if pool.equal is not None:
        return crop_batch(pool.planes(rows.to(pool.device, non_blocking=True)), there)
    return crop_each([pool.image(row) for row in rows.tolist()], params)


def _after_jitter(params: ViewParams) -> tuple[tuple[Tensor, Callable[..., Tensor], tuple[Tensor, ...]], ...]:
    """The other operations in order: whom each is for, what it is, and its parameters."""
    return (
        (params.grey, ops.greyscale, ()),
        (params.sigma > 0, ops.gaussian_blur, (params.sigma,)),
        (params.solarise, ops.solarise, ()),
    )
