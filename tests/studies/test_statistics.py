"""The statistics, beside SciPy's."""

import numpy as np
import pytest

from stopgrad.studies.statistics import half_width, ranks, spearman, student

stats = pytest.importorskip("scipy.stats")


def test_students_quantiles() -> None:
    for freedom in range(1, 31):
        assert student(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), abs=6e-4)
    assert student(1000) == student(30) > stats.t.ppf(0.975, 1000)


def test_the_interval_of_a_mean() -> None:
    values = [1.5, 2.25, -0.5]
    low, high = stats.t.interval(0.95, 2, loc=np.mean(values), scale=stats.sem(values))
    assert half_width(values) == pytest.approx((high - low) / 2, rel=1e-3)
    assert half_width([1.0]) is None


def test_rank_correlation_with_ties() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 6, 40).tolist(), rng.normal(size=40).tolist()
    assert spearman(a, b) == pytest.approx(stats.spearmanr(a, b).statistic, rel=1e-12)
    assert ranks([3, 1, 3, 2]) == [3.5, 1, 3.5, 2]
    assert spearman([1, 2], [1, 2]) is None
    assert spearman([1, 1, 1], [1, 2, 3]) is None
