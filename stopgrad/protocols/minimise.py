"""L-BFGS: Nocedal & Wright, Numerical Optimization, 2nd ed., Algorithm 7.5. Our own because torch.optim takes seconds to import its compiler."""

from collections import deque
from collections.abc import Callable, Iterable
from typing import NamedTuple

from torch import Tensor

MEMORY = 10
"""Steps from which the curvature is known."""
SUFFICIENT = 1e-4
"""Share of the decrease that the slope promises with which the line search is content (Armijo)."""
ROUNDING = 1e-6
"""Differences of values smaller than this share of them mean nothing; then slopes decide, which are known better near a minimum."""
UPHILL = 0.8
"""How steeply, against the slope at the start, a step may end going uphill when slopes decide (Hager & Zhang 2005, Eq. 4.1, δ = 0.1)."""


class Minimum(NamedTuple):
    """Where the search ended."""

    at: Tensor
    value: float
    evaluations: int
    """Times the function was computed."""


def minimise(function: Callable[[Tensor], tuple[float, Tensor]], start: Tensor, most: int, tolerance: float) -> Minimum:
    """Minimise a convex ``function``, that returns its value and gradient, from ``start``.

    Ends when no entry of the gradient is above ``tolerance``, or when the function was computed ``most`` times. The line search only
    shortens steps: where the function is convex the curvature along any step is above 0, as the update needs.
    """
    x, (value, gradient), evaluations = start, function(start), 1
    steps: deque[tuple[Tensor, Tensor]] = deque(maxlen=MEMORY)
    while float(gradient.abs().max()) > tolerance:
        direction = -_by_inverse_hessian(gradient, steps)
        slope, length = float((gradient * direction).sum()), 1.0
        while True:
            if evaluations == most:
                return Minimum(x, value, evaluations)
            there = x + length * direction
            new_value, new_gradient = function(there)
            evaluations += 1
            gain = value - new_value
            if gain >= -SUFFICIENT * length * slope:
                break
            if gain >= -ROUNDING * abs(value) and float((new_gradient * direction).sum()) <= -UPHILL * slope:
                break
            # To the minimum of the parabola through both values and the slope, but neither too near nor too far.
            length *= min(0.5, max(0.1, slope * length / (2 * (gain + slope * length))))
        step, change = there - x, new_gradient - gradient
        if float((step * change).sum()) > 0:  # rounding alone can make it otherwise
            steps.append((step, change))
        x, value, gradient = there, new_value, new_gradient
    return Minimum(x, value, evaluations)


def _by_inverse_hessian(gradient: Tensor, steps: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
    """Return ``gradient`` times the inverse of the Hessian that ``steps`` (change of place, change of gradient; oldest first) tell of."""
    known = [(step, change, 1 / (step * change).sum()) for step, change in steps]
    q, shares = gradient, []
    for step, change, inverse in reversed(known):
        share = inverse * (step * q).sum()
        shares.append(share)
        q = q - share * change
    if known:
        _, change, inverse = known[-1]
        q = q / (inverse * (change * change).sum())
    for (step, change, inverse), share in zip(known, reversed(shares), strict=True):
        q = q + (share - inverse * (change * q).sum()) * step
    return q
