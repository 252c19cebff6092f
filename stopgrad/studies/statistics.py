"""The statistics that a verdict rests on: Student's interval of a mean, rank correlation."""

import math
import statistics
from collections.abc import Sequence

STUDENT = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131),
    *(2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)
"""97.5 % quantiles of Student's t for 1 to 30 degrees of freedom; for more the last is taken, which errs on the cautious side."""


Z95 = 1.959964
"""Two-sided 95 % quantile of the normal distribution."""


def student(freedom: int) -> float:
    """Return the factor of a 95 % interval at so many degrees of freedom, from 1."""
    return STUDENT[min(freedom, len(STUDENT)) - 1]


def half_width(values: Sequence[float]) -> float | None:
    """Return half the width of the 95 % interval of the mean of ``values``; None for fewer than two."""
    if len(values) < 2:
        return None
    return student(len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))


def ranks(values: Sequence[float]) -> list[float]:
    """Return the rank of every value, from 1; equal ones share the mean of theirs."""
    order = sorted(values)
    first = {value: order.index(value) for value in set(values)}
    return [first[value] + (order.count(value) + 1) / 2 for value in values]


def spearman(a: Sequence[float], b: Sequence[float]) -> float | None:
    """Return the correlation of the ranks of ``a`` and ``b``, from -1 to 1; None for fewer than three pairs, or where one is constant."""
    if len(a) < 3 or len(set(a)) == 1 or len(set(b)) == 1:
        return None
    return statistics.correlation(ranks(a), ranks(b))
