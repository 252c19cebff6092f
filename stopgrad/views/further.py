"""What only few views have beside the usual: their own columns of parameters, and the uniforms that decide them.

They are apart so that the views of all others are drawn, and rendered by the compiled kernels, as if there were none of this.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from stopgrad.config.run import View
from stopgrad.views.policy import draw_acts

# The columns of the uniforms; as in sample.py, every image uses up all of them.
_ROTATE, _TURNS, _SOBEL, _NOISE, _NOISE_SIGMA, _NOISE_SEED, _CUTOUT, _CUT_ROW, _CUT_COLUMN, _POLICY = range(10)
_ACTS = slice(_POLICY, _POLICY + 5)
OWN_DRAWS = _ACTS.stop
"""Uniforms used up by the further operations of one view of one image."""

_SEEDS = 2**53
"""Seeds of the noise: as many as a uniform has values."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Further:
    """The parameters of the further operations of N views, one row an image."""

    turns: Tensor
    """(N,) int64, quarter turns against the clock, 0 to 3."""
    acts: Tensor
    """(N, 2) int64, what AutoAugment does first and then, as policy.py numbers it; -1: nothing."""
    sobel: Tensor
    """(N,) bool, whether edges take the place of the view."""
    noise: Tensor
    """(N,) float32, standard deviation of the noise; 0: none."""
    seed: Tensor
    """(N,) int64, 0 to 2**53 - 1: all that the noise depends on besides the place of a value in its view."""
    cut: Tensor
    """(N, 4) int64: top, bottom, left and right of the square that is cut out, the lower and right ends not in it; all 0: none."""

    def each(self, change: Callable[[Tensor], Tensor]) -> "Further":
        """Return the parameters with every column changed."""
        return Further(**{name: change(column) for name, column in vars(self).items()})

    def concat(self, other: "Further") -> "Further":
        """Return the rows of both."""
        return Further(**{name: torch.cat((column, vars(other)[name])) for name, column in vars(self).items()})


def draw_further(view: View, u: Tensor) -> Further:
    """Return the parameters of N views: row i is a function of ``view`` and of row i of ``u`` (N, OWN_DRAWS) float64 in [0, 1)."""
    low, high = view.noise_sigma
    return Further(
        turns=torch.where(u[:, _ROTATE] < view.rotate, 1 + (3 * u[:, _TURNS]).long(), 0),
        acts=draw_acts(view.policy, u[:, _ACTS]),
        sobel=u[:, _SOBEL] < view.sobel,
        noise=torch.where(u[:, _NOISE] < view.noise, u[:, _NOISE_SIGMA] * (high - low) + low, 0.0).float(),
        seed=(u[:, _NOISE_SEED] * _SEEDS).long(),
        cut=_square(view, u),
    )


def _square(view: View, u: Tensor) -> Tensor:
    """What is cut out of the view: the middle may be any pixel, and what lies beyond the border is left away (arXiv:1708.04552)."""
    side = max(1, round(view.cutout_side * view.size))
    first = (u[:, [_CUT_ROW, _CUT_COLUMN]] * view.size).long() - side // 2
    square = torch.stack((first, first + side), 2).clamp_(0, view.size).flatten(1)
    return torch.where((u[:, _CUTOUT] < view.cutout)[:, None], square, 0)
