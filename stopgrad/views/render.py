"""From pixels and parameters to a batch of views. No randomness here: the same pixels and parameters give the same views.

Order of the operations, as in the papers' code: crop and resize, colour jitter, greyscale, blur, solarise, flip, normalise. The flip
is made with the crop, because everything between treats left and right alike.
"""

import math
from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from stopgrad.views import ops
from stopgrad.views.crop import crop_batch, crop_each
from stopgrad.views.sample import HUE, ViewParams

_CHUNK_PIXELS = 1 << 18
"""Pixels of the views worked on at a time on the CPU, so that a chunk and its temporaries stay in the cache: 128 views at 32x32."""

_NO_JITTER = 4

_EQUAL_PIXELS = 96 * 96
"""Largest equal images whose crops are cut as one batch on the CPU; beyond, one by one is faster."""


class Images(Protocol):
    """What rendering asks of stopgrad.images.pool.Pool."""

    @property
    def equal(self) -> tuple[int, int] | None:
        """(H, W) when all images have the same."""

    @property
    def device(self) -> torch.device:
        """Where the pixels are."""

    def planes(self, rows: Tensor, /) -> Tensor:
        """(N, C, H, W) uint8 or uint16, of a pool of equal images."""

    def image(self, row: int, /) -> Tensor:
        """(C, H, W) uint8 or uint16."""


def render(pool: Images, rows: Tensor, params: ViewParams, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Return (N, C, S, S) float32 on the pool's device: image ``rows[i]`` of the pool (N, int64) seen through row i of ``params``.

    ``rows`` and ``params`` are on the CPU. ``mean`` and ``std``, of length 1 or C, are of values in 0..1.
    """
    form = render_grouped if pool.device.type == "cpu" else render_selected
    return form(pool, rows, params, mean, std)


def render_grouped(pool: Images, rows: Tensor, params: ViewParams, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Render with the least work: every operation on just the images that need it, a cacheful of them at a time.

    Images are sorted by the place of hue in their jitter, so that each chunk does the same in the same order.
    """
    hue_at = torch.where(params.jitter, (params.order == HUE).byte().argmax(1), _NO_JITTER)
    hue_at, order = hue_at.sort(stable=True)
    rows, params = rows[order], params.rows(order)
    views = torch.empty(len(rows), pool.image(0).shape[0], params.size, params.size)
    chunk = max(1, _CHUNK_PIXELS // params.size**2)
    for part in (slice(i, i + chunk) for i in range(0, len(rows), chunk)):
        some = params.rows(part)
        x = _jitter_runs(_crop(pool, rows[part], some, some), hue_at[part], some)
        for mask, op, columns in _rare(some):
            index = mask.nonzero().squeeze(1)
            if len(index):
                x.index_copy_(0, index, op(x.index_select(0, index), *(column[index] for column in columns)))
        ops.normalise(x, mean, std, out=views[part])
    return views.index_select(0, order.argsort())


def render_selected(pool: Images, rows: Tensor, params: ViewParams, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Render with the fewest launches: every operation that any image needs on all of them, and a selection.

    The shapes depend on the number of images alone, and nothing is read back from the device.
    """
    there = params.to(pool.device)
    x = _crop(pool, rows, params, there)
    if params.jitter.any():
        x = ops.select(there.jitter, ops.jitter(x, there.order, there.factors), x)
    for (asked, _, _), (mask, op, columns) in zip(_rare(params), _rare(there), strict=True):
        if asked.any():
            x = ops.select(mask, op(x, *columns), x)
    return ops.normalise(x, mean, std)


def _crop(pool: Images, rows: Tensor, params: ViewParams, there: ViewParams) -> Tensor:
    """``there``: the parameters on the pool's device."""
    if pool.equal is not None and (pool.device.type != "cpu" or math.prod(pool.equal) <= _EQUAL_PIXELS):
        return crop_batch(pool.planes(rows.to(pool.device, non_blocking=True)), there)
    return crop_each([pool.image(row) for row in rows.tolist()], params)


def _rare(params: ViewParams) -> tuple[tuple[Tensor, Callable[..., Tensor], tuple[Tensor, ...]], ...]:
    """The operations after the jitter, in order: whom they are for, what they are, and their parameters."""
    return (
        (params.grey, ops.greyscale, ()),
        (params.sigma > 0, ops.gaussian_blur, (params.sigma,)),
        (params.solarise, ops.solarise, ()),
    )


def _jitter_runs(x: Tensor, hue_at: Tensor, params: ViewParams) -> Tensor:
    """The colour jitter, run by run of images with hue at the same place; ``hue_at`` is sorted."""
    places, counts = hue_at.unique_consecutive(return_counts=True)
    runs = zip(*(column.split(counts.tolist()) for column in (x, params.order, params.factors)), strict=True)
    return torch.cat([run[0] if place == _NO_JITTER else ops.jitter(*run, place) for run, place in zip(runs, places.tolist(), strict=True)])
