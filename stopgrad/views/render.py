"""From pixels and parameters to a batch of views. No randomness here: the same pixels and parameters give the same views.

Order of the operations, as in the papers' code: crop and resize, colour jitter, greyscale, blur, solarise, flip, normalise. The flip
is made with the crop, because everything between treats left and right alike. What only few views have comes after all of these and before
normalise: rotate, AutoAugment, Sobel, noise; and cutout after it, so that what is cut out is the mean.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from stopgrad.sending import send
from stopgrad.views import ops, policy
from stopgrad.views.crop import crop_batch, crop_each
from stopgrad.views.further import Further
from stopgrad.views.sample import ViewParams

if TYPE_CHECKING:
    from stopgrad.images.pool import Pool


def render(pool: "Pool", rows: Tensor, params: ViewParams, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Return (N, C, S, S) float32 on the pool's device: image ``rows[i]`` of the pool (N, int64) seen through row i of ``params``.

    ``rows`` and ``params`` are on the CPU. ``mean`` and ``std``, of length 1 or C, are of values in 0..1. On a CPU views are made by kernels.c,
    on a GPU by Triton's kernels; where there is no Triton, or no C compiler for it to use, by torch, in some sixty launches. What ``params.further``
    asks for is left to torch, after them.
    """
    if params.further is None:
        return _renderer(pool)(pool, rows, params, mean, std)
    x = _renderer(pool)(pool, rows, params, (0.0,), (1.0,)).contiguous()
    x = ops.normalise(_further(x, params.further), mean, std)
    return ops.cut_out(x, send([params.further.cut], x.device)[0]).contiguous(memory_format=torch.channels_last)


def _renderer(pool: "Pool") -> Callable[..., Tensor]:
    """What makes views of images that lie where the pool does; each form loads its own kernels."""
    if pool.device.type == "cpu":
        from stopgrad.views.fused import render_fused

        return render_fused
    from stopgrad.views.on_gpu import has_triton, render_on_gpu

    return render_on_gpu if has_triton() else render_selected


def _further(x: Tensor, further: Further) -> Tensor:
    """Do to each image of x (N, C, S, S) in 0..1 what only few views have; it may change x."""
    for turn in (1, 2, 3):
        x = _where(further.turns == turn, x, lambda some, turn=turn: some.rot90(turn, (2, 3)))
    x = policy.follow(x, further.acts)
    x = _where(further.sobel, x, ops.sobel)
    return _where(further.noise > 0, x, ops.noise, further.noise, further.seed)


def _where(asked: Tensor, x: Tensor, op: Callable[..., Tensor], *columns: Tensor) -> Tensor:
    """Put what ``op`` makes of the images that are ``asked`` for (N,) in their places; ``asked`` and ``columns`` (N,) are on the CPU."""
    if not asked.any():
        return x
    some = asked.nonzero().squeeze(1)
    there, *of_these = send([some, *(column[some] for column in columns)], x.device)
    return x.index_copy_(0, there, op(x[there], *of_these))


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
