"""From pixels and parameters to a batch of views. No randomness here: the same pixels and parameters give the same views.

Order of the operations, as in the papers' code: crop and resize, colour jitter, greyscale, blur, solarise, flip, normalise. The flip
is made with the crop, because everything between treats left and right alike.
"""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from stopgrad.views import ops
from stopgrad.views.crop import crop_batch, crop_each
from stopgrad.views.sample import HUE, ViewParams

if TYPE_CHECKING:
    from stopgrad.images.pool import Pool

_CHUNK_PIXELS = 256 * 32 * 32
"""Pixels of the views made at a time on the CPU: few enough for the cache, many enough for the overhead of a call (measured; flat around it)."""

_BATCH_PIXELS = 128 * 128
"""Largest equal images whose crops are cut as one batch on the CPU; one by one costs the same there, and less beyond (measured)."""

_NO_JITTER = 4


def render(pool: "Pool", rows: Tensor, params: ViewParams, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Return (N, C, S, S) float32 on the pool's device: image ``rows[i]`` of the pool (N, int64) seen through row i of ``params``.

    ``rows`` and ``params`` are on the CPU. ``mean`` and ``std``, of length 1 or C, are of values in 0..1.
    """
    form = render_grouped if pool.device.type == "cpu" else render_selected
    return form(pool, rows, params, mean, std)


def render_grouped(pool: "Pool", rows: Tensor, params: ViewParams, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Render with the least work: every operation on just the images that need it, a cacheful of them at a time.

    Images are sorted by the place of hue in their jitter: in a run of one place all do the same, in the same order.
    """
    hue_at = torch.where(params.jitter, (params.order == HUE).byte().argmax(1), _NO_JITTER)
    hue_at, order = hue_at.sort(stable=True)
    rows, params = rows[order], params.rows(order)
    views = torch.empty(len(rows), pool.channels, params.size, params.size)
    chunk = math.ceil(_CHUNK_PIXELS / params.size**2)
    for part in (slice(i, i + chunk) for i in range(0, len(rows), chunk)):
        some = params.rows(part)
        x = _jitter_runs(_crop(pool, rows[part], some, some), hue_at[part], some)
        for mask, op, columns in _after_jitter(some):
            index = mask.nonzero().squeeze(1)
            if len(index):
                x.index_copy_(0, index, op(x.index_select(0, index), *(column[index] for column in columns)))
        ops.normalise(x, mean, std, out=views[part])
    return views.index_select(0, order.argsort())


def render_selected(pool: "Pool", rows: Tensor, params: ViewParams, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Render with the fewest launches: every operation that any image needs on all images, and a selection.

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
    if pool.equal is not None and (pool.device.type != "cpu" or math.prod(pool.equal) <= _BATCH_PIXELS):
        return crop_batch(pool.planes(rows.to(pool.device, non_blocking=True)), there)
    return crop_each([pool.image(row) for row in rows.tolist()], params)


def _jitter_runs(x: Tensor, hue_at: Tensor, params: ViewParams) -> Tensor:
    """The colour jitter, run by run of images that have hue at the same place; ``hue_at`` is sorted."""
    runs, start = [], 0
    for place, count in enumerate(torch.bincount(hue_at).tolist()):
        run = slice(start, start + count)
        if count:
            runs.append(x[run] if place == _NO_JITTER else ops.jitter(x[run], params.order[run], params.factors[run], place))
        start += count
    return torch.cat(runs)


def _after_jitter(params: ViewParams) -> tuple[tuple[Tensor, Callable[..., Tensor], tuple[Tensor, ...]], ...]:
    """The other operations in order: whom each is for, what it is, and its parameters."""
    return (
        (params.grey, ops.greyscale, ()),
        (params.sigma > 0, ops.gaussian_blur, (params.sigma,)),
        (params.solarise, ops.solarise, ()),
    )
