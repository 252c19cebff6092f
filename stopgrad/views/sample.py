"""What is random in a view: uniforms from a keyed generator, and the parameters that they decide.

The two are apart so that row i of the parameters depends on row i of the uniforms and on nothing else: any slice of a batch can be
sampled alone, on any process, at any time, and comes out the same.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import permutations

import numpy as np
import torch
from torch import Tensor

from stopgrad.config.run import View
from stopgrad.keys import generator
from stopgrad.views.further import OWN_DRAWS, Further, draw_further

ATTEMPTS = 10
"""Crops drawn before the central one is taken, as in torchvision's RandomResizedCrop."""

# The columns of the uniforms. Every image uses up all of them, whatever is drawn, so that no decision shifts another.
_AREA = slice(0, ATTEMPTS)
_RATIO = slice(ATTEMPTS, 2 * ATTEMPTS)
_TOP, _LEFT, _FLIP, _JITTER, _ORDER = range(2 * ATTEMPTS, 2 * ATTEMPTS + 5)
_FACTORS = slice(_ORDER + 1, _ORDER + 5)
_GREY, _BLUR, _SIGMA, _SOLARISE = range(_ORDER + 5, _ORDER + 9)
DRAWS = _SOLARISE + 1
"""Uniforms used up by one view of one image."""
_FURTHER = slice(DRAWS, DRAWS + OWN_DRAWS)
_SHARED = slice(_FURTHER.stop, _FURTHER.stop + _LEFT + 1)
FURTHER_DRAWS = _SHARED.stop
"""Uniforms used up by one view of one image that has any of what few have: first the same as of any other, then its own, then its crop's that is
shared, for which they are in the order of its own crop's."""

SHARED_RATIO = (3 / 4, 4 / 3)
"""Width / height of the shared crop, as of nearly all crops."""

BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)
"""The operations of the colour jitter: their numbers in ``ViewParams.order`` and their columns in ``ViewParams.factors``."""

Box = tuple[Tensor, Tensor, Tensor, Tensor]
"""Top, left, height and width of crops, (N,) int64."""

_ORDERS = torch.tensor(list(permutations(range(4))))


@dataclass(frozen=True, eq=False, kw_only=True)
class ViewParams:
    """The parameters of N views, one row an image. All that rendering needs besides the pixels."""

    size: int
    """Side of the rendered square, pixels."""
    top: Tensor
    """(N,) int64, first row of the crop."""
    left: Tensor
    """(N,) int64, first column of the crop."""
    height: Tensor
    """(N,) int64, rows of the crop, at least 1."""
    width: Tensor
    """(N,) int64, columns of the crop, at least 1."""
    flip: Tensor
    """(N,) bool, left and right swapped."""
    jitter: Tensor
    """(N,) bool, whether the colour jitter is applied."""
    order: Tensor
    """(N, 4) int64, a permutation of BRIGHTNESS, CONTRAST, SATURATION, HUE: first to last."""
    factors: Tensor
    """(N, 4) float32, columns BRIGHTNESS, CONTRAST, SATURATION (1: unchanged) and HUE (turns, 0: unchanged)."""
    grey: Tensor
    """(N,) bool, made grey."""
    sigma: Tensor
    """(N,) float32, standard deviation of the Gaussian blur in pixels of the view; 0: no blur."""
    solarise: Tensor
    """(N,) bool, values at or above one half inverted."""
    further: Further | None = None
    """What only few views have; None of a view that has none of it, whatever was drawn."""

    def __len__(self) -> int:
        return len(self.top)

    def rows(self, index: slice | Tensor) -> "ViewParams":
        """Return the rows that ``index`` (a slice, or an (M,) int64 or (N,) bool tensor) names, in its order."""
        return self._each(lambda column: column[index])

    def to(self, device: torch.device) -> "ViewParams":
        """Return the parameters on ``device``. A copy to a GPU is queued and not waited for."""
        return self._each(lambda column: column.to(device, non_blocking=True))

    def concat(self, other: "ViewParams") -> "ViewParams":
        """Return the rows of both, which are of one size and both with further operations or without, so that two views are rendered in one call."""
        assert self.size == other.size, "views of different sizes cannot be rendered together"
        assert (self.further is None) == (other.further is None), "views that are rendered in different ways cannot be rendered together"
        columns = {name: torch.cat((column, vars(other)[name])) for name, column in self._columns().items()}
        further = self.further.concat(other.further) if self.further is not None and other.further is not None else None
        return ViewParams(size=self.size, **columns, further=further)

    def _each(self, change: Callable[[Tensor], Tensor]) -> "ViewParams":
        columns = {name: change(column) for name, column in self._columns().items()}
        return ViewParams(size=self.size, **columns, further=None if self.further is None else self.further.each(change))

    def _columns(self) -> dict[str, Tensor]:
        return {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}


def uniforms(seed: int, step: int, view: int, batch: int, further: bool = False) -> Tensor:
    """Return (batch, DRAWS) float64 in [0, 1): row i is a pure function of (seed, step, view, i), whatever the batch.

    Of a view with ``further`` (batch, FURTHER_DRAWS), first the same; those of the shared crop are the same for every ``view``.
    """
    drawn = generator("views", seed, step, view).random((batch, DRAWS))
    if further:
        own = generator("views", seed, step, view, "further").random((batch, OWN_DRAWS))
        shared = generator("views", seed, step, "shared").random((batch, _SHARED.stop - _SHARED.start))
        drawn = np.concatenate((drawn, own, shared), axis=1)
    return torch.from_numpy(drawn)


def sample(view: View, uniforms: Tensor, heights: Tensor, widths: Tensor) -> ViewParams:
    """Return the parameters of N views: row i is a function of ``view`` and of row i of the other arguments.

    ``uniforms`` (N, DRAWS) in [0, 1), of a view with ``further`` (N, FURTHER_DRAWS); ``heights`` and ``widths`` (N,) integers, of the images in
    pixels; all on the CPU. The distributions are those of torchvision's RandomResizedCrop, ColorJitter and RandomApply, which the papers' code uses.
    """
    u = uniforms.double()
    top, left, height, width = _place(view, u, heights.long(), widths.long())
    brightness, contrast, saturation, hue = view.jitter
    low = torch.tensor([max(0.0, 1 - brightness), max(0.0, 1 - contrast), max(0.0, 1 - saturation), -hue], dtype=torch.float64)
    high = torch.tensor([1 + brightness, 1 + contrast, 1 + saturation, hue], dtype=torch.float64)
    return ViewParams(
        size=view.size,
        top=top,
        left=left,
        height=height,
        width=width,
        flip=u[:, _FLIP] < view.flip,
        jitter=u[:, _JITTER] < view.jitter_p,
        order=_ORDERS[(u[:, _ORDER] * len(_ORDERS)).long()],
        factors=_between(low, high, u[:, _FACTORS]).float(),
        grey=u[:, _GREY] < view.grey,
        sigma=torch.where(u[:, _BLUR] < view.blur, _between(*view.blur_sigma, u[:, _SIGMA]), 0.0).float(),
        solarise=u[:, _SOLARISE] < view.solarise,
        further=draw_further(view, u[:, _FURTHER]) if view.further else None,
    )


def centre(size: int, heights: Tensor, widths: Tensor, share: float) -> ViewParams:
    """Return the parameters of evaluation: the central square whose side is ``share`` of the shorter side, and nothing random.

    ``share`` = 224/256 is Resize(256) and CenterCrop(224) in one step; 1 takes as much as a square can.
    """
    heights, widths = heights.long(), widths.long()
    side = (torch.minimum(heights, widths) * share).round().clamp_min(1).long()
    no = torch.zeros(len(side), dtype=torch.bool)
    return ViewParams(
        size=size,
        top=(heights - side) // 2,
        left=(widths - side) // 2,
        height=side,
        width=side,
        flip=no,
        jitter=no,
        order=_ORDERS[:1].expand(len(side), 4),
        factors=torch.tensor([1.0, 1.0, 1.0, 0.0]).expand(len(side), 4),
        grey=no,
        sigma=torch.zeros(len(side)),
        solarise=no,
    )


def _place(view: View, u: Tensor, heights: Tensor, widths: Tensor) -> Box:
    """Where the view's crop lies in the image: within the shared crop where it has one."""
    if view.shared_crop is None:
        return _crop(view.scale, view.ratio, u, heights, widths)
    top, left, heights, widths = _crop(view.shared_crop, SHARED_RATIO, u[:, _SHARED], heights, widths)
    below, right, height, width = _crop(view.scale, view.ratio, u, heights, widths)
    return top + below, left + right, height, width


def _crop(scale: tuple[float, float], shapes: tuple[float, float], u: Tensor, heights: Tensor, widths: Tensor) -> Box:
    """Top, left, height, width: the first of ATTEMPTS random crops that fits into the image, else the central one nearest in shape."""
    area = (heights * widths)[:, None] * _between(*scale, u[:, _AREA])
    ratio = _between(math.log(shapes[0]), math.log(shapes[1]), u[:, _RATIO]).exp()  # width / height
    height, width = (area / ratio).sqrt().round().long(), (area * ratio).sqrt().round().long()  # (N, ATTEMPTS)
    fits = (height > 0) & (height <= heights[:, None]) & (width > 0) & (width <= widths[:, None])
    first = fits.byte().argmax(1, keepdim=True)
    height, width = height.gather(1, first).squeeze(1), width.gather(1, first).squeeze(1)
    top, left = (u[:, _TOP] * (heights - height + 1)).long(), (u[:, _LEFT] * (widths - width + 1)).long()

    height_at_most = (widths / shapes[0]).round().long().clamp_min(1)
    width_at_most = (heights * shapes[1]).round().long().clamp_min(1)
    central_height, central_width = torch.minimum(heights, height_at_most), torch.minimum(widths, width_at_most)
    central = ((heights - central_height) // 2, (widths - central_width) // 2, central_height, central_width)
    some = fits.any(1)
    top, left, height, width = (torch.where(some, drawn, rest) for drawn, rest in zip((top, left, height, width), central, strict=True))
    return top, left, height, width


def _between(low: float | Tensor, high: float | Tensor, u: Tensor) -> Tensor:
    """Uniform on [low, high). Written as one product and one sum, which round alike on every machine."""
    return u * (high - low) + low
